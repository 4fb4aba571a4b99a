"""Gossip by IPv6 between hosts: network namespaces on a bridge."""

import asyncio
import errno
import secrets
import signal
from contextlib import contextmanager

import pytest
from cli_process import Cluster, Hosted
from gossip_process import gossipers
from netns_lab import Lab

from cluster_kit import Failed, Interface, Node
from cluster_kit.network import datagrams
from cluster_kit.network.system import SystemNetwork
from cluster_kit.strategies.gossip import GossipStrategy
from cluster_kit.testing import FakeDiscovery, Listener

pytestmark = [pytest.mark.once, pytest.mark.netns]

BRISK = {"interval_s": 0.3, "ttl_s": 3.0}


def options(**given):
    """Return options of a group that no other test is on."""
    return (
        BRISK
        | {
            "multicast_addr": f"ff12::{secrets.randbelow(65536):x}",
            "port": 20_000 + secrets.randbelow(10_000),
        }
        | given
    )


@contextmanager
def lab_of(size):
    with Lab(size) as lab:
        for place in lab.nodes:
            place.plug6()
        yield lab


def meet(peers):
    for peer in peers:
        peer.sees(*(other for other in peers if other is not peer))


def test_hosts_named_by_their_addresses_meet_in_the_default_group_and_notice_goodbyes():
    with lab_of(3) as lab, gossipers() as start:
        peers = [start(f"web@{place.address6}", BRISK, place) for place in lab.nodes]
        meet(peers)
        one, two, three = peers
        assert one.said(seen=two.name)[0]["address"] == "[fd00:cb::2]:4000"
        three.close()
        for peer in (one, two):
            peer.expect(gone=three.name)
            assert peer.errors == []
            assert peer.failures() == []


def test_addresses_of_the_link_are_advertised_as_the_receiver_can_dial_them():
    with lab_of(2) as lab, gossipers() as start:
        here, there = lab.nodes
        there.plug6("lan7")
        one = start(f"web@{here.address_of_link}%eth0", BRISK, here)
        two = start(f"db@{there.address_of_link}%lan7", BRISK, there)
        meet([one, two])
        assert one.said(seen=two.name)[0]["address"] == "[fe80::cb:2%eth0]:4000"
        assert two.said(seen=one.name)[0]["address"] == "[fe80::cb:1%lan7]:4000"


def test_an_interface_can_be_chosen_by_name_for_hosts_of_another_protocol():
    given = options(multicast_if="eth0", if_addr="eth0")
    with lab_of(2) as lab, gossipers() as start:
        meet([start(f"web@{place.address}", given, place) for place in lab.nodes])


def test_node_on_another_interface_is_not_seen():
    with lab_of(2) as lab, gossipers() as start:
        here, there = lab.nodes
        add = "ip link add eth1 type veth peer name end; ip link set end up; ip link set eth1 up"
        assert (
            here.run(["sh", "-c", f"{add}; ip addr add fd00:cc::1/64 dev eth1 nodad"]).wait() == 0
        )
        given = options()
        apart = start("apart@fd00:cc::1", given, here)
        apart.boot()
        one = start(f"one@{here.address6}", given, here)
        two = start(f"two@{there.address6}", given, there)
        meet([one, two])
        one.hears_again(two, times=4)
        assert not apart.said(seen=one.name) + apart.said(seen=two.name)
        assert not one.said(seen=apart.name)


def test_host_whose_ipv6_is_switched_off_says_so_and_is_seen_once_it_is_on():
    with lab_of(2) as lab, gossipers() as start:
        here, there = lab.nodes
        switch = "echo {} > /proc/sys/net/ipv6/conf/eth0/disable_ipv6"
        assert here.run(["sh", "-c", switch.format(1)]).wait() == 0
        one = start(f"one@{here.address6}", BRISK, here)
        two = start(f"two@{there.address6}", BRISK, there)
        one.until(one.failures, "a failure")
        assert "'fd00:cb::1': no interface has that address" in one.failures()[0]
        assert "10.203.0.1 (eth0)" in one.failures()[0]
        assert here.run(["sh", "-c", switch.format(0)]).wait() == 0
        here.plug6()
        meet([one, two])


def test_a_cluster_forms_by_ipv6_alone(tmp_path):
    with Cluster(tmp_path) as cluster, lab_of(2) as lab:
        file = cluster.write(
            "hosts.yaml", {"lan": {"strategy": {"name": "gossip", **BRISK}}}, insecure=True
        )
        one, two = (cluster.keep(Hosted(place, file, place.address6)) for place in lab.nodes)
        assert one.wait_for("node_up", node=two.name)["address"].startswith("[fd00:cb::2]:")
        two.wait_for("node_up", node=one.name)
        one.signal(signal.SIGTERM)
        assert one.wait() == 0
        assert two.wait_for("node_down")["reason"] == "left"


def test_kernel_without_ipv6_is_reported_with_the_way_out(monkeypatch):
    def refuse(*_):
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    class Machine(SystemNetwork):
        def interfaces(self):
            return [Interface("eth0", "fd00::1")]

    async def scenario():
        ctx = FakeDiscovery(Node(name="ann@fd00::1"), network=Machine())
        async with Listener(GossipStrategy(), ctx) as heard:
            failed = await heard.until(
                lambda observation: isinstance(observation, Failed), "a failure"
            )
            assert "this machine has no IPv6; use a host with an IPv4 address" in str(failed.error)

    monkeypatch.setattr(datagrams, "number_of", lambda _: 1)
    monkeypatch.setattr(datagrams, "_datagram_socket", refuse)
    asyncio.run(scenario())
