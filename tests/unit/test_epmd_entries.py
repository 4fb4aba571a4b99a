"""Whom an entry of EPMD stands for, and what a marker says."""

import pytest

from cluster_kit.errors import LocalProtocolError, RemoteProtocolError
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.strategies.epmd.entries import (
    MAGIC,
    Marker,
    decode_marker,
    describe,
    encode_marker,
    judge,
)
from cluster_kit.strategies.epmd.options import LOOPBACK, EpmdQuestion
from cluster_kit.strategies.epmd.registrar import registration_of
from cluster_kit.wire.epmd import NodeType, Registration, register_request

FENCE = Fence("shop", "lan")
BOOT = BootId(7, 8)


def entry(host="10.0.0.1", fence=FENCE, name="web", port=4711):
    return Registration(name=name, port=port, extra=encode_marker(Marker(fence, BOOT, host)))


def listing(epmd, host=None):
    return EpmdQuestion(epmd, host or epmd)


def test_node_that_was_asked_for_is_called_that():
    target = EpmdQuestion("web1.example", "web1.example", ("web",))
    assert judge(entry(), target, FENCE) == Node("web@web1.example", "web1.example:4711", {}, BOOT)


def test_node_of_a_listing_is_called_what_it_calls_itself():
    assert judge(entry(), listing("web1.example"), FENCE) == Node(
        "web@10.0.0.1", "web1.example:4711", {}, BOOT
    )


def test_node_of_this_host_is_dialled_where_it_listens():
    assert judge(entry(), listing(LOOPBACK, "10.0.0.2"), FENCE) == Node(
        "web@10.0.0.1", "10.0.0.1:4711", {}, BOOT
    )


def test_ipv6_host_is_put_in_brackets():
    assert judge(entry("::1"), listing(LOOPBACK, "::1"), FENCE).address == "[::1]:4711"


def test_node_without_a_marker_is_of_the_host_that_was_asked():
    erlang = Registration(name="b", port=33383)
    assert judge(erlang, listing("10.0.0.9"), FENCE) == Node("b@10.0.0.9", "10.0.0.9:33383")
    assert judge(erlang, listing(LOOPBACK, "10.0.0.2"), FENCE) == Node(
        "b@10.0.0.2", "10.0.0.2:33383"
    )


def test_node_that_does_not_listen_has_no_address():
    assert judge(Registration(name="b", port=0), listing("10.0.0.9"), FENCE) == Node("b@10.0.0.9")


@pytest.mark.parametrize("fence", [Fence("other", "lan"), Fence("shop", "other")])
@pytest.mark.parametrize("names", [None, ("web",)])
def test_foreign_node_is_not_for_us(fence, names):
    why = judge(entry(fence=fence), EpmdQuestion("10.0.0.1", "10.0.0.1", names), FENCE)
    assert f"cluster {fence.cluster!r}, group {fence.group!r}" in why


def test_node_that_serves_only_another_machine_is_not_for_us():
    assert "web@127.0.0.1" in judge(entry("127.0.0.1"), listing("10.0.0.9"), FENCE)


def test_name_that_no_node_can_have_is_not_for_us():
    assert "rename" in judge(Registration(name="two words", port=1), listing("10.0.0.9"), FENCE)


def test_host_that_cannot_be_dialled_is_not_for_us():
    assert "host '[]'" in judge(entry("[]"), listing(LOOPBACK), FENCE)


def test_host_is_compared_in_whatever_spelling_it_is_registered():
    found = judge(entry("LocalHost."), listing(LOOPBACK), FENCE)
    assert (found.name, found.address) == ("web@localhost", "localhost:4711")


@pytest.mark.parametrize(
    "extra", [MAGIC, MAGIC + b"\x02" + bytes(40), encode_marker(Marker(FENCE, BOOT, "h"))[:-1]]
)
def test_marker_that_cannot_be_read_is_not_for_us(extra):
    assert "same version" in judge(
        Registration(name="web", port=1, extra=extra), listing("10.0.0.9"), FENCE
    )


def test_entry_is_described_in_words():
    assert describe(entry()) == "a node of cluster 'shop', group 'lan', port 4711"
    assert describe(Registration(name="b", port=5)) == "an Erlang node, port 5"
    assert "another version" in describe(Registration(name="b", port=5, extra=MAGIC + b"\x09"))


def test_marker_survives_the_way():
    marker = Marker(FENCE, BOOT, "10.0.0.1")
    assert decode_marker(encode_marker(marker)) == marker


def test_extra_of_others_is_no_marker():
    assert decode_marker(b"") is None
    assert decode_marker(b"something else") is None


def test_marker_with_an_impossible_boot_is_malformed():
    data = bytearray(encode_marker(Marker(FENCE, BOOT, "h")))
    data[len(MAGIC) + 1] = 0xFF
    with pytest.raises(RemoteProtocolError, match="malformed"):
        decode_marker(bytes(data))


@pytest.mark.parametrize("host", ["x" * 256, "hôte"])
def test_marker_that_does_not_fit_is_our_fault(host):
    with pytest.raises(LocalProtocolError):
        encode_marker(Marker(FENCE, BOOT, host))


def test_own_registration_is_found_as_ourselves():
    local = Node("web@10.0.0.1", "10.0.0.1:4711", {"zone": "a"}, BOOT)
    registration = registration_of(local, FENCE)
    assert judge(registration, listing(LOOPBACK), FENCE) == Node(
        "web@10.0.0.1", "10.0.0.1:4711", {}, BOOT
    )


def test_own_registration_claims_nothing_that_we_do_not_speak():
    registration = registration_of(Node("web@10.0.0.1", "10.0.0.1:4711", {}, BOOT), FENCE)
    assert registration.node_type == NodeType.HIDDEN
    assert (registration.highest_version, registration.lowest_version) == (0, 0)


def test_longest_registration_is_one_that_epmd_takes():
    name = "n" * 100 + "@" + ".".join(["h" * 50] * 3)
    registration = registration_of(Node(name, "h:1", {}, BOOT), Fence("c" * 255, "g" * 255))
    assert len(register_request(registration)) <= 1024
