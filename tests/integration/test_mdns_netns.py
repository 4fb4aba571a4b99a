"""mdns between hosts: network namespaces on a bridge, without a default route."""

import re
import subprocess
import sys

import pytest
from mdns_process import a_type, all_see_each_other, diagnosed, peers
from netns_lab import Lab

pytestmark = [pytest.mark.once, pytest.mark.netns]

HOLD_PORT = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("", 5353))
print("held", flush=True)
sys.stdin.read()
"""


def on_each_node(start, lab, **given):
    service_type = a_type()
    started = [start(f"web@{place.address}", service_type, place, **given) for place in lab.nodes]
    all_see_each_other(started)
    return started


def run(place, *command):
    assert place.run(command).wait() == 0


def test_hosts_without_default_route_see_each_other():
    with Lab(3) as lab, peers() as start:
        for peer in on_each_node(start, lab):
            assert peer.errors == []
            assert peer.failures() == []


def test_host_that_was_cut_off_for_long_is_seen_again():
    with Lab(3) as lab, peers() as start:
        one, *others = on_each_node(start, lab, ttl_s=5)
        lab.nodes[0].cut()
        others[0].hears_again(others[1], times=4)  # by then they have forgotten it
        heard = len(one.lines)
        lab.nodes[0].heal()
        one.until(lambda: len(one.lines) > heard, "anybody")
        one.hears_again(*others)
        for other in others:
            other.hears_again(one)
        assert one.failures() == []


def test_interface_that_goes_is_reported_and_used_again_when_it_is_back():
    with Lab(2) as lab, peers() as start:
        one, other = on_each_node(start, lab)
        lab.nodes[0].unplug()
        one.until(one.failures, "a failure")
        place = lab.nodes[0].address
        assert f"interface '{place}': no interface has that address" in one.failures()[0]
        lab.nodes[0].plug()
        one.hears_again(other)
        other.hears_again(one)
        assert one.said(gone=other.name) == []
        assert other.said(gone=one.name) == []


def test_interface_that_comes_late_is_used():
    with Lab(2) as lab, peers() as start:
        lab.nodes[0].unplug()
        service_type = a_type()
        one, other = (start(f"web@{place.address}", service_type, place) for place in lab.nodes)
        one.until(one.failures, "a failure")
        lab.nodes[0].plug()
        all_see_each_other([one, other])


def test_port_that_another_program_holds_is_reported_and_used_when_it_is_free():
    with Lab(2) as lab, peers() as start:
        holder = lab.nodes[0].run(
            [sys.executable, "-c", HOLD_PORT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert holder.stdout.readline() == "held\n"
        service_type = a_type()
        one, other = (start(f"web@{place.address}", service_type, place) for place in lab.nodes)
        one.until(one.failures, "a failure")
        assert "UDP port 5353 is held by a program that doesn't share it" in one.failures()[0]
        found = diagnosed(one.name, service_type, lab.nodes[0])
        assert [finding["outcome"] for finding in found] == ["ok", "failed"]
        assert "'ss -ulpn sport = :5353' shows which" in found[-1]["cause"]
        holder.stdin.close()
        all_see_each_other([one, other])


def test_interface_without_multicast_is_reported_with_its_cure():
    with Lab(1) as lab, peers() as start:
        run(lab.nodes[0], "ip", "link", "set", "eth0", "multicast", "off")
        one = start(f"web@{lab.nodes[0].address}", a_type(), lab.nodes[0])
        one.until(one.failures, "a failure")
        assert "ip link set eth0 multicast on" in one.failures()[0]
        run(lab.nodes[0], "ip", "link", "set", "eth0", "multicast", "on")
        one.boot()


@pytest.mark.parametrize("direction", ["input", "output"])
def test_firewall_is_reported_and_the_node_is_seen_without_it(require, direction):
    require("nft")
    with Lab(2) as lab, peers() as start:
        run(lab.nodes[0], "nft", "add table inet t")
        run(
            lab.nodes[0],
            "nft",
            f"add chain inet t c {{ type filter hook {direction} priority 0; policy drop; }}",
        )
        service_type = a_type()
        one, other = (start(f"web@{place.address}", service_type, place) for place in lab.nodes)
        one.until(one.failures, "a failure")
        assert "a firewall drops it; allow UDP to port 5353" in one.failures()[0]
        assert one.said(announced=one.name) == []
        found = diagnosed(one.name, service_type, lab.nodes[0])
        assert "failed" in [finding["outcome"] for finding in found]
        assert any("firewall" in (finding["cause"] or "") for finding in found)
        run(lab.nodes[0], "nft", "delete table inet t")
        all_see_each_other([one, other])


def test_only_the_chosen_interface_is_used():
    """A node on loopback is isolated from other interfaces, though another node joined there."""
    with Lab(2) as lab, peers() as start:
        service_type = a_type()
        outside = [start(f"web@{place.address}", service_type, place) for place in lab.nodes]
        inside = [start(f"n{number}@127.0.0.1", service_type, lab.nodes[0]) for number in range(2)]
        all_see_each_other(outside)
        all_see_each_other(inside)
        assert {line["seen"] for peer in inside for line in peer.said() if "seen" in line} == {
            peer.name for peer in inside
        }
        assert {line["seen"] for peer in outside for line in peer.said() if "seen" in line} == {
            peer.name for peer in outside
        }


@pytest.mark.parametrize("ip_version", ["v6", "all"])
def test_hosts_see_each_other_by_ipv6(ip_version):
    with Lab(2) as lab, peers() as start:
        for number, place in enumerate(lab.nodes, 1):
            run(place, "ip", "addr", "add", f"fd00::{number}/64", "dev", "eth0", "nodad")
        service_type = a_type()
        names = [f"web@fd00::{number}" for number in (1, 2)]
        started = [
            start(name, service_type, place, ip_version=ip_version)
            for name, place in zip(names, lab.nodes, strict=True)
        ]
        all_see_each_other(started)
        assert started[0].said(seen=names[1], address="[fd00::2]:4000")
        started[1].close()
        started[0].expect(gone=names[1], reason="left")


def test_hosts_with_nothing_but_link_local_addresses_see_each_other():
    with Lab(2) as lab, peers() as start:
        for number, place in enumerate(lab.nodes, 1):
            run(place, "ip", "addr", "flush", "dev", "eth0")
            run(place, "ip", "addr", "add", f"fe80::{number}/64", "dev", "eth0", "nodad")
        service_type = a_type()
        names = [f"web@fe80::{number}%eth0" for number in (1, 2)]
        one, other = (
            start(name, service_type, place, ip_version="v6")
            for name, place in zip(names, lab.nodes, strict=True)
        )
        all_see_each_other([one, other])
        (address,) = {line["address"] for line in one.said(seen=other.name)}
        assert re.fullmatch(r"\[fe80::2%[0-9]+\]:4000", address)


def test_diagnosis_names_found_and_ignored_nodes():
    with Lab(3) as lab, peers() as start:
        service_type = a_type()
        here, *there = lab.nodes
        start(f"web@{there[0].address}", service_type, there[0]).boot()
        start(f"web@{there[1].address}", service_type, there[1], cluster="other").boot()
        found = diagnosed(f"web@{here.address}", service_type, here)
        assert [finding["outcome"] for finding in found] == ["ok", "ok", "ok"]
        assert found[0]["got"] == "eth0, up"
        assert "heard back" in found[1]["got"]
        assert f"1 node: web@{there[0].address} at {there[0].address}:4000" in found[2]["got"]
        assert "cluster 'other', group 'lan' is foreign" in found[2]["got"]
        (_, _, alone) = diagnosed(f"web@{here.address}", service_type, here, cluster="third")
        assert alone["outcome"] == "empty"
        foreign = "cluster 'test', group 'lan' is foreign: give both the same cluster and group"
        assert foreign in alone["cause"]
