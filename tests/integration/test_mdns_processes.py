"""Real processes on one host find each other by multicast DNS on loopback."""

import signal
import socket
import struct

import pytest
from mdns_process import a_type, all_see_each_other, diagnosed, peers

from cluster_kit.node import BootId, Fence, Node
from cluster_kit.strategies.mdns.options import LOOPBACK
from cluster_kit.strategies.mdns.records import Announcement, encode

pytestmark = pytest.mark.once


def mesh(start, size, **given):
    service_type = a_type()
    started = [start(f"n{number}@127.0.0.1", service_type, **given) for number in range(size)]
    all_see_each_other(started)
    return started


def test_processes_of_one_host_see_each_other():
    with peers() as start:
        for peer in mesh(start, 4):
            assert peer.said(seen=peer.name) == []
            assert peer.failures() == []
            assert peer.errors == []


def test_address_and_time_to_live_are_those_announced():
    with peers() as start:
        one, _ = mesh(start, 2, ttl_s=60)
        assert one.said(seen="n1@127.0.0.1", address="127.0.0.1:4000", ttl_s=60)


def test_closed_process_is_gone_for_all():
    with peers() as start:
        first, *others = mesh(start, 3)
        first.close()
        for peer in others:
            goodbye = {"gone": first.name, "reason": "left", "boot": first.boot()}
            assert peer.expect(gone=first.name) == goodbye


def test_killed_process_says_no_goodbye_and_is_not_seen_again():
    with peers() as start:
        first, *others = mesh(start, 3, ttl_s=5)
        first.signal(signal.SIGKILL)
        first.wait()
        seen = [len(peer.said(seen=first.name)) for peer in others]
        others[0].hears_again(others[1], times=3)
        assert [len(peer.said(seen=first.name)) for peer in others] == seen
        assert [peer.said(gone=first.name) for peer in others] == [[], []]


def test_killed_process_is_seen_again_under_its_name():
    with peers() as start:
        service_type = a_type()
        first, other = (start(name, service_type) for name in ("a@127.0.0.1", "b@127.0.0.1"))
        all_see_each_other([first, other])
        first.signal(signal.SIGKILL)
        first.wait()
        again = start(first.name, service_type)
        again.sees(other)
        other.expect(seen=first.name, boot=again.boot())


def test_peers_are_seen_again_for_as_long_as_they_live():
    with peers() as start:
        one, other = mesh(start, 2, ttl_s=5)
        one.hears_again(other, times=2)
        other.hears_again(one, times=2)


def test_change_of_metadata_is_seen_at_once():
    with peers() as start:
        one, other = mesh(start, 2)
        one.change(metadata={"zone": "b", "Größe": "=1024=", "empty": ""})
        other.expect(seen=one.name, metadata={"zone": "b", "Größe": "=1024=", "empty": ""})


def test_change_that_is_taken_back_at_once_is_taken_back_for_all():
    with peers() as start:
        one, other = mesh(start, 2)
        for zone in "abababa":
            one.change(metadata={"zone": zone})
        one.change(metadata={"last": "1"})
        other.expect(seen=one.name, metadata={"last": "1"})
        other.hears_again(one)
        assert other.said(seen=one.name)[-1]["metadata"] == {"last": "1"}


def test_as_much_metadata_as_a_node_may_have_arrives():
    with peers() as start:
        one, other = mesh(start, 2)
        one.change(metadata={"k": "v" * 1023})
        other.expect(seen=one.name, metadata={"k": "v" * 1023})
        one.change(metadata={f"{number:03}": "" for number in range(341)})
        other.expect(seen=one.name, metadata={f"{number:03}": "" for number in range(341)})


def test_leaving_is_seen_at_once():
    with peers() as start:
        one, other = mesh(start, 2)
        one.change(leaving=True)
        other.expect(leaving=one.name)
        assert other.said(gone=one.name) == []


def test_other_clusters_and_types_are_not_seen():
    with peers() as start:
        service_type = a_type()
        one = start("a@127.0.0.1", service_type)
        others = [
            start("b@127.0.0.1", service_type, cluster="foreign"),
            start("c@127.0.0.1", a_type()),
        ]
        friend = start("d@127.0.0.1", service_type)
        for each in others:
            each.boot()
        all_see_each_other([one, friend])
        said = [line for each in (one, friend, *others) for line in each.said()]
        assert not [line for line in said if line.get("seen", "").startswith(("b", "c"))]


def test_looking_registers_nothing():
    with peers() as start:
        service_type = a_type()
        looking = start("a@127.0.0.1", service_type, announce=False)
        one = start("b@127.0.0.1", service_type)
        looking.sees(one)
        one.sees(start("c@127.0.0.1", service_type))
        assert one.said(seen="a@127.0.0.1") == []


def test_frozen_process_sees_the_others_again_when_thawed():
    with peers() as start:
        one, *others = mesh(start, 3, ttl_s=5)
        one.signal(signal.SIGSTOP)
        others[0].hears_again(others[1], times=3)  # by then its time to live has passed
        one.signal(signal.SIGCONT)
        one.hears_again(*others)
        for other in others:
            other.hears_again(one)


def test_missing_interface_does_not_stop_the_others():
    with peers() as start:
        service_type = a_type()
        one = start("a@127.0.0.1", service_type, interfaces=["nowhere0", LOOPBACK])
        other = start("b@127.0.0.1", service_type)
        all_see_each_other([one, other])
        assert one.failures() == []
        one.until(lambda: any("'nowhere0'" in line for line in one.errors), "a warning")


def test_no_usable_interface_is_a_failure_with_its_cause():
    with peers() as start:
        one = start("a@127.0.0.1", a_type(), interfaces=["nowhere0"])
        one.until(one.failures, "a failure")
        assert "interface 'nowhere0': no interface has that name or address" in one.failures()[0]
        assert "127.0.0.1" in one.failures()[0]
        assert one.said(announced=one.name) == []


def test_diagnosis_names_the_nodes_found():
    with peers() as start:
        service_type = a_type()
        start("b@127.0.0.1", service_type).boot()
        found = diagnosed("a@127.0.0.1", service_type)
        assert [finding["outcome"] for finding in found] == ["ok", "ok", "ok"]
        assert "1 node: b@127.0.0.1 at 127.0.0.1:4000" in found[-1]["got"]


def test_diagnosis_names_a_foreign_cluster():
    with peers() as start:
        service_type = a_type()
        start("b@127.0.0.1", service_type).boot()
        found = diagnosed("a@127.0.0.1", service_type, cluster="other")[-1]
        assert found["outcome"] == "empty"
        foreign = "cluster 'test', group 'lan' is foreign: give both the same cluster and group"
        assert foreign in found["cause"]


def test_diagnosis_says_that_loopback_reaches_this_machine_only():
    found = diagnosed("a@127.0.0.1", a_type())[-1]
    assert found["outcome"] == "empty"
    assert "nodes elsewhere are never heard on loopback" in found["cause"]


def test_diagnosis_names_an_interface_that_is_not_there():
    (found,) = diagnosed("a@127.0.0.1", a_type(), interfaces=["nowhere0"])
    assert found["outcome"] == "failed"
    assert found["asked"] == "interface 'nowhere0'"
    assert "this machine has lo" in found["cause"]


@pytest.fixture
def wire():
    """A socket that speaks multicast DNS on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 5353))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        yield lambda datagram: sock.sendto(datagram, ("224.0.0.251", 5353))


def name(*labels):
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def answer(*records):
    header = struct.pack(">HHHHHH", 0, 0x8400, 0, len(records), 0, 0)
    parts = [
        owner + struct.pack(">HHIH", kind, 0x8001, ttl, len(data)) + data
        for owner, kind, ttl, data in records
    ]
    return header + b"".join(parts)


HOSTILE_LABELS = (b"a\nb", b"\xff" * 60, b"x" * 63, b"a.b", b"\0", "\u202e".encode())
HOSTILE_TEXTS = (
    b"",
    b"\xff",
    b"\x00" * 200,
    b"\x09txtvers=1",
    b"\xffname=" + b"@" * 250,
    b"\x05\xff\xfe=\xff\xfe" * 30,
)


def test_hostile_records_do_no_harm(wire):
    with peers() as start:
        service_type = a_type()
        one = start("a@127.0.0.1", service_type)
        one.boot()
        suffix = tuple(label.encode() for label in service_type.rstrip(".").split("."))
        for label in HOSTILE_LABELS:
            for text in HOSTILE_TEXTS:
                for ttl in (0, 1, 2**32 - 1):
                    instance = name(label, *suffix)
                    wire(
                        answer(
                            (name(*suffix), 12, ttl, instance),
                            (
                                instance,
                                33,
                                ttl,
                                struct.pack(">HHH", 0, 0, 65535) + name(b"host", b"local"),
                            ),
                            (instance, 16, ttl, text),
                            (name(b"host", b"local"), 1, ttl, b"\0\0\0\0"),
                        )
                    )
        for cut in range(0, 60, 7):
            wire(answer((name(*suffix), 12, 120, name(b"web", *suffix)))[:cut])
        other = start("b@127.0.0.1", service_type)
        all_see_each_other([one, other])
        assert {line["seen"] for line in one.said() if "seen" in line} == {other.name}
        assert one.errors == []
        assert one.failures() == []


def test_goodbye_to_a_service_alone_is_noticed(wire):
    """As from a node whose pointer nobody has asked for in a long time, so that it is forgotten."""
    with peers() as start:
        service_type = a_type()
        one = start("a@127.0.0.1", service_type)
        one.boot()
        told = Announcement(
            node=Node(name="x@127.0.0.1", boot_id=BootId.new()), fence=Fence("test", "lan")
        )
        instance = name(b"x", *service_type.rstrip(".").encode().split(b"."))
        host = name(b"x", b"local")
        service = struct.pack(">HHH", 0, 0, 4000) + host
        wire(
            answer(
                (instance, 33, 120, service),
                (instance, 16, 120, encode(told)),
                (host, 1, 120, b"\x7f\0\0\1"),
            )
        )
        one.expect(seen="x@127.0.0.1")
        wire(answer((instance, 33, 0, service)))
        one.expect(gone="x@127.0.0.1", reason="left")


def test_stranger_cannot_make_a_node_from_nothing_but_valid_records(wire):
    """An announced node is checked; an address that nobody can dial is none."""
    with peers() as start:
        service_type = a_type()
        one = start("a@127.0.0.1", service_type)
        one.boot()
        suffix = tuple(label.encode() for label in service_type.rstrip(".").split("."))
        for number, address in enumerate((b"\0\0\0\0", b"\xe0\0\0\1", b"\x7f\0\0\1")):
            told = Announcement(
                node=Node(name=f"x{number}@127.0.0.1", boot_id=BootId.new()),
                fence=Fence("test", "lan"),
            )
            instance, host = name(b"x%d" % number, *suffix), name(b"x%d" % number, b"local")
            wire(
                answer(
                    (instance, 33, 120, struct.pack(">HHH", 0, 0, 4000) + host),
                    (instance, 16, 120, encode(told)),
                    (host, 1, 120, address),
                )
            )
        one.expect(seen="x2@127.0.0.1", address="127.0.0.1:4000")
        assert one.said(seen="x0@127.0.0.1") == one.said(seen="x1@127.0.0.1") == []
