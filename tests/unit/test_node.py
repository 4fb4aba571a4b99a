"""Nodes, boot ids and addresses check themselves and survive a pipe."""

import pickle
from types import MappingProxyType

import pytest

from cluster_kit.host import is_loopback, is_unspecified
from cluster_kit.node import (
    MAX_ADDRESS_CHARS,
    MAX_METADATA_BYTES,
    BootId,
    Node,
    canonical_key,
    host_and_port,
    is_earlier_run,
    is_other_run,
    join_address,
    may_be_same_run,
    split_address,
    split_endpoint,
)


def test_node_survives_pickling_with_metadata_and_boot():
    node = Node("a@host", "host:1", {"zone": "x"}, BootId.new())
    assert pickle.loads(pickle.dumps(node)) == node


def test_node_metadata_is_a_private_copy_that_cannot_be_changed():
    tags = {"zone": "a"}
    node = Node("a@host", metadata=tags)
    tags["zone"] = "b"
    assert node.metadata["zone"] == "a"
    with pytest.raises(TypeError):
        node.metadata["zone"] = "c"


def test_nodes_that_differ_in_metadata_are_unequal_but_hash_alike():
    one, other = Node("a@h", metadata={"x": "1"}), Node("a@h", metadata={"x": "2"})
    assert one != other
    assert hash(one) == hash(other)


def test_key_is_the_name_and_else_the_address():
    assert Node("a@h", "h:1").key == "a@h"
    assert Node(address="h:1").key == "h:1"


@pytest.mark.parametrize(
    "name", ["a", "@h", "a@", "a b@h", "a@h\n", "a@b@c", "ä@h", "a@" + "h" * 300, "\x1b[2J@h"]
)
def test_malformed_names_are_refused(name):
    with pytest.raises(ValueError, match="name"):
        Node(name)


@pytest.mark.parametrize(
    "address",
    ["", ":1", "h:65536", "::1:80", "h h:1", "h:\u0661", "x" * 400 + ":1", "10.0.0.5", "fe80::a"],
)
def test_malformed_addresses_are_refused(address):
    with pytest.raises(ValueError, match="address"):
        Node(address=address)


OPAQUE = (
    "unix:/run/Web.sock",
    "/run/x.sock",
    "mem-1",
    "Mem:X",
    "mem:140234234234",
    "ws://Host:80/Cluster",
    "ws://Host:80",
    "h:",
)


@pytest.mark.parametrize("address", OPAQUE)
def test_address_that_is_no_host_and_port_is_kept_as_it_is(address):
    node = Node(address=address)
    assert (node.address, node.key, node.host) == (address, address, "")
    assert host_and_port(node.address) is None
    assert canonical_key(address) == address
    assert pickle.loads(pickle.dumps(node)) == node


def test_host_and_port_are_read_where_an_address_has_them():
    assert host_and_port(Node(address="[::1]:080").address) == ("::1", 80)
    assert host_and_port(None) is None


HOSTILE = (
    "unix:/a b",
    "unix:/a\n",
    "unix:/\x1b[2J",
    "unix:/\x7f",
    "unix:/\N{LATIN SMALL LETTER E WITH ACUTE}",
    "unix:/a@b",
    "unix:/\ud800",
)


@pytest.mark.parametrize("address", [*HOSTILE, "unix:/" + "x" * MAX_ADDRESS_CHARS])
def test_address_that_cannot_be_shown_or_is_too_long_is_refused(address):
    with pytest.raises(
        ValueError,
        match=r"address: .*expected host:port, or in another form at most \d+ visible ASCII",
    ):
        Node(address=address)


@pytest.mark.parametrize("metadata", [{"a": 1}, {1: "a"}, {"a": "x" * (MAX_METADATA_BYTES + 1)}])
def test_metadata_must_be_little_text(metadata):
    with pytest.raises(ValueError, match="metadata"):
        Node("a@h", metadata=metadata)


def test_a_node_needs_a_name_or_an_address():
    with pytest.raises(ValueError, match="neither"):
        Node()


@pytest.mark.parametrize(
    ("text", "parts"),
    [("h:80", ("h", 80)), ("[::1]:0", ("::1", 0)), ("10.0.0.1:65535", ("10.0.0.1", 65535))],
)
def test_addresses_split_and_join(text, parts):
    assert split_address(text) == parts
    assert join_address(*parts) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Node("web@LocalHost.", "LOCALHOST:80"), Node("web@localhost", "localhost.:080")),
        (Node("web@0:0:0:0:0:0:0:1", "[0::1]:80"), Node("web@::1", "[::1]:80")),
        (Node("web@::ffff:10.0.0.5"), Node("web@10.0.0.5")),
    ],
)
def test_spellings_of_one_host_make_one_node(one, other):
    assert one == other
    assert hash(one) == hash(other)
    assert (one.name, one.address, one.host) == (other.name, other.address, other.host)


def test_basename_is_compared_with_its_case():
    assert Node("Web@host") != Node("web@host")


@pytest.mark.parametrize(
    "host", ["$(POD_IP)", "$POD_IP", "10.0.0.5:4370", "http://x", "host/path", "[::1]"]
)
def test_name_of_what_cannot_be_a_host_is_refused(host):
    with pytest.raises(ValueError, match=r"name .*: host "):
        Node(f"web@{host}")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Host", ("host", None)),
        ("10.0.0.5:80", ("10.0.0.5", 80)),
        ("::1", ("::1", None)),
        ("[0::1]", ("::1", None)),
        ("[fe80::1%eth0]:80", ("fe80::1%eth0", 80)),
    ],
)
def test_endpoint_is_a_host_with_or_without_a_port(text, parts):
    assert split_endpoint(text) == parts


@pytest.mark.parametrize(
    "text", ["", "[::1", "::1]", "[10.0.0.5]", "[host]", "host:", "host:x", "[::1]:x", "a:b:c"]
)
def test_malformed_endpoints_are_refused(text):
    with pytest.raises(ValueError, match=r"host|address"):
        split_endpoint(text)


def test_boot_ids_order_by_start_and_then_by_chance():
    assert BootId(1, 9) < BootId(2, 0) < BootId(2, 1)


@pytest.mark.parametrize(
    ("host", "loopback", "unspecified"),
    [
        ("127.0.0.1", True, False),
        ("127.9.9.9", True, False),
        ("::1", True, False),
        ("localhost", True, False),
        ("10.0.0.1", False, False),
        ("0.0.0.0", False, True),
        ("::", False, True),
        ("example.org", False, False),
        ("localhost.example.org", False, False),
    ],
)
def test_hosts_are_judged_by_their_form(host, loopback, unspecified):
    assert is_loopback(host) is loopback
    assert is_unspecified(host) is unspecified


class Odd(str):
    """Text of a class that another process may not have."""


def test_node_is_made_of_nothing_but_text():
    node = Node(Odd("a@h"), Odd("h:1"), MappingProxyType({Odd("role"): Odd("web")}))
    texts = [node.name, node.address, *node.metadata.keys(), *node.metadata.values()]
    assert {type(text) for text in texts} == {str}
    assert node == Node("a@h", "h:1", {"role": "web"})


def test_metadata_that_no_wire_can_carry_is_refused():
    with pytest.raises(ValueError, match="is not text that UTF-8 can hold"):
        Node("a@h", metadata={"path": "\udc80"})


def test_node_has_no_other_classes():
    with pytest.raises(TypeError, match="cannot be subclassed"):
        type("Special", (Node,), {})


@pytest.mark.parametrize(
    "odd", [{"name": 5}, {"name": "a@h", "address": 5}, {"name": "a@h", "boot_id": "5-5"}]
)
def test_node_of_something_else_is_refused(odd):
    with pytest.raises(ValueError, match="node: "):
        Node(**odd)


def test_repr_shows_what_there_is_and_makes_the_same_node():
    boot_id = BootId(1_700_000_000_000, 0xDEADBEEF)
    whole = Node("a@h", "h:1", {"zone": "x"}, boot_id)
    assert repr(whole) == (
        "Node(name='a@h', address='h:1', metadata={'zone': 'x'}, "
        "boot_id=BootId.parse('18bcfe56800-00000000deadbeef'))"
    )
    for node in (whole, Node("a@h"), Node(address="h:1")):
        assert eval(repr(node)) == node
    assert repr(Node("a@h")) == "Node(name='a@h')"


FIRST, SECOND, MOVED = BootId(1, 0), BootId(2, 0), "h:2"


@pytest.mark.parametrize(
    ("one", "other", "may_be_same", "is_other", "is_earlier"),
    [
        (Node("a@h", "h:1", boot_id=FIRST), Node("a@h", MOVED, boot_id=FIRST), True, False, False),
        (Node("a@h", "h:1", boot_id=FIRST), Node("a@h", "h:1", boot_id=SECOND), False, True, True),
        (Node("a@h", "h:1", boot_id=SECOND), Node("a@h", "h:1", boot_id=FIRST), False, True, False),
        (Node("a@h", "h:1", boot_id=FIRST), Node("a@h", "h:1"), True, False, False),
        (Node("a@h", "h:1", boot_id=FIRST), Node("a@h", MOVED), True, True, False),
        (Node("a@h", "h:1"), Node("a@h"), True, False, False),
    ],
)
def test_runs_are_known_apart_by_boot_id_or_else_by_address(
    one, other, may_be_same, is_other, is_earlier
):
    assert may_be_same_run(one, other) is may_be_same is may_be_same_run(other, one)
    assert is_other_run(one, other) is is_other is is_other_run(other, one)
    assert is_earlier_run(one, other) is is_earlier
