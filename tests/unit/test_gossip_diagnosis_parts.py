"""The parts of gossip's diagnosis that need no network: judging an interface, sorting what is
heard, reading this machine.
"""

import socket
import threading
from pathlib import Path

import pytest

from cluster_kit.diagnosis import Outcome
from cluster_kit.network import Datagram, Endpoint, Interface
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.strategies.gossip import diagnosis
from cluster_kit.strategies.gossip.diagnosis import ECHO, TrafficSorter, holders, judge_interface
from cluster_kit.testing import FakeDiscovery
from cluster_kit.wire.gossip import HEADER, MAGIC, Kind, Packet, decode, encode

FENCE = Fence("shop", "lan")
ANN = Node(name="ann@127.0.0.1", address="127.0.0.1:4001", boot_id=BootId(1, 1))
BOB = Node(name="bob@127.0.0.1", address="127.0.0.1:4002", boot_id=BootId(2, 2))
SOURCE = Endpoint("10.0.0.3", 50_000)

LO = Interface("lo", "127.0.0.1", is_loopback=True, has_multicast=False)
ETH0 = Interface("eth0", "10.0.0.1")
COMM = Path("/proc/self/comm")


# -- the interface ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "name"), [("127.0.0.1", "lo"), ("127.8.8.8", "lo"), ("10.0.0.1", "eth0")]
)
def test_interface_that_can_be_used_is_named(address, name):
    finding = judge_interface(address, [LO, ETH0], multicast=True)
    assert (finding.outcome, finding.got) == (Outcome.OK, f"{name}, up")


@pytest.mark.parametrize(
    ("state", "got", "cure"),
    [
        ({"is_up": False, "has_carrier": False}, "eth0: it is down", "ip link set eth0 up"),
        ({"has_carrier": False}, "eth0: it has no carrier", "cable"),
        (
            {"has_multicast": False},
            "eth0: it carries no multicast",
            "ip link set eth0 multicast on",
        ),
    ],
)
def test_interface_that_can_not_be_used_failed_with_its_cure(state, got, cure):
    finding = judge_interface("10.0.0.1", [LO, ETH0._replace(**state)], multicast=True)
    assert (finding.outcome, finding.got) == (Outcome.FAILED, got)
    assert cure in finding.cause


def test_broadcast_needs_no_multicast():
    finding = judge_interface("10.0.0.1", [ETH0._replace(has_multicast=False)], multicast=False)
    assert finding.outcome is Outcome.OK


def test_address_of_no_interface_failed_and_names_those_there_are():
    finding = judge_interface("10.9.9.9", [LO, ETH0], multicast=True)
    assert finding.outcome is Outcome.FAILED
    assert finding.cause.endswith("this machine has 127.0.0.1 (lo), 10.0.0.1 (eth0)")


def test_address_of_the_link_is_judged_on_its_interface():
    known = [Interface("eth0", "fe80::7", is_up=False), Interface("eth1", "fe80::7")]
    finding = judge_interface("fe80::7%eth1", known, multicast=True)
    assert (finding.asked, finding.got) == ("interface of fe80::7", "eth1, up")


def test_holder_of_a_port_is_named():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        [holder] = holders(port)
        assert holder.endswith(f"({threading.get_native_id()})")
    assert holders(port) == []


@pytest.mark.skipif(not COMM.exists(), reason="only Linux tells what a process is called")
def test_holder_may_be_called_what_is_no_text():
    called = COMM.read_bytes()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        COMM.write_bytes(b"a\xff\xfe")
        try:
            [holder] = holders(sock.getsockname()[1])
        finally:
            COMM.write_bytes(called.rstrip(b"\n"))
    assert holder.startswith("a\ufffd\ufffd (")


# -- what is heard ---------------------------------------------------------------------------------


@pytest.fixture
def ear():
    return TrafficSorter(FakeDiscovery(ANN, fence=FENCE))


def packet(node=BOB, fence=FENCE, kind=Kind.HEARTBEAT):
    return encode(Packet.of(node, fence, kind, leaving=False))


def heard(ear, *datagrams):
    for datagram in datagrams:
        ear.hear([Datagram(datagram, SOURCE)])
    return ear


def test_echo_is_no_kind_that_anybody_knows(ear):
    assert ECHO not in set(Kind)
    assert decode(ear.echo) is None


def test_only_the_own_echo_is_recognised(ear):
    other = TrafficSorter(FakeDiscovery(ANN.evolve(boot_id=BootId(9, 9)), fence=FENCE))
    heard(ear, other.echo)
    assert not ear.echoed.is_set()
    heard(ear, ear.echo)
    assert ear.echoed.is_set()
    assert (ear.nodes, ear.others, ear.own) == (set(), {}, False)


def test_node_of_the_same_fence_counts_until_its_goodbye(ear):
    assert heard(ear, packet()).nodes == {BOB.name}
    assert heard(ear, packet(kind=Kind.GOODBYE)).nodes == set()


def test_another_process_of_our_name_is_no_other_node(ear):
    heard(ear, packet(ANN.evolve(boot_id=BootId(5, 5))))
    assert ear.own
    assert not ear.nodes


def test_foreigners_are_named_with_where_they_are_from(ear):
    heard(
        ear,
        packet(fence=Fence("shop-test", "lan")),
        packet(fence=Fence("shop-test", "lan")),
        packet(fence=Fence("shop", "wan")),
    )
    assert list(ear.others) == [
        "cluster 'shop-test', group 'lan' from 10.0.0.3",
        "cluster 'shop', group 'wan' from 10.0.0.3",
    ]


@pytest.mark.parametrize(
    ("datagram", "who"),
    [
        (b"heartbeat::\x83t\x00\x00\x00\x01", "libcluster's own gossip from 10.0.0.3"),
        (MAGIC + bytes((99, 0)), "gossip of another release from 10.0.0.3"),
        (HEADER + b"\xff\xff", "gossip of another release from 10.0.0.3"),
        (
            b"\x00\x01\x1b[2Jabc",
            r"another protocol (it begins with b'\x00\x01\x1b[2Jab') from 10.0.0.3",
        ),
        (b"", "another protocol (it begins with b'') from 10.0.0.3"),
    ],
)
def test_unreadable_datagrams_are_identified(ear, datagram, who):
    assert list(heard(ear, datagram).others) == [who]
    assert all(ear.others.values())


def test_memory_is_bounded(ear, monkeypatch):
    monkeypatch.setattr(diagnosis, "MAX_KEPT", 3)
    for number in range(10):
        heard(
            ear, packet(BOB.evolve(name=f"n{number}@h")), packet(fence=Fence(f"c{number}", "lan"))
        )
    assert len(ear.nodes) == len(ear.others) == 3
