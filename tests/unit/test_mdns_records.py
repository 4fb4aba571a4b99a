"""The TXT record and the names of a service: announcements come back, hostile ones are refused,
everything fits.
"""

import ipaddress
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cluster_kit.errors import RemoteProtocolError
from cluster_kit.node import MAX_METADATA_BYTES, MAX_NAME_CHARS, BootId, Fence, Node
from cluster_kit.strategies.mdns.records import (
    MAX_TEXT_BYTES,
    Announcement,
    address_to_dial,
    decode,
    encode,
    host_name,
    instance_name,
    is_instance,
)

TYPE = "_clusterkit._tcp.local."
BOOT = BootId(1_800_000_000_000, 0xFEED)
ANN = Node(name="ann@10.0.0.1", boot_id=BOOT)


def announcement(node=ANN, fence=None, **fields):
    return Announcement(node=node, fence=fence or Fence("shop", "lan"), **fields)


def strings(text):
    found = []
    while text:
        found.append(text[1 : 1 + text[0]])
        text = text[1 + text[0] :]
    return found


def record(**changes):
    pairs = {
        "txtvers": "1",
        "name": "ann@10.0.0.1",
        "cluster": "shop",
        "group": "lan",
        "boot": str(BOOT),
    } | changes
    entries = [f"{key}={value}".encode() for key, value in pairs.items() if value is not None]
    return b"".join(bytes((len(entry),)) + entry for entry in entries)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
tags = st.dictionaries(texts, texts, max_size=8).filter(
    lambda tags: (
        sum(len(key.encode()) + len(value.encode()) for key, value in tags.items())
        <= MAX_METADATA_BYTES
    )
)


@given(tags, texts, texts, st.booleans(), st.integers(0, 10**18 - 1))
@example(
    {"": "", "=": "=", "%3D": "%", "a=b": "c", "Zone": "a", "zone": "b", "+": "+="},
    "",
    "\n",
    True,
    0,
)
def test_announcement_round_trips(metadata, cluster, group, leaving, revision):
    given = announcement(
        ANN.evolve(metadata=metadata), Fence(cluster, group), leaving=leaving, revision=revision
    )
    assert decode(encode(given)) == given


@given(st.binary(max_size=600))
def test_any_bytes_are_read_or_refused(text):
    with suppress(RemoteProtocolError):
        decode(text)


@st.composite
def damaged(draw):
    """Return a record of a node with some strings doubled, left out or changed in a byte."""
    found = draw(
        st.lists(
            st.sampled_from(
                strings(record(**{"m.zone": "a", "leaving": "1", "rev": "7"}) + b"\x03+=x")
            ),
            max_size=12,
        )
    )
    at = draw(st.integers(0, 400))
    text = bytearray(b"".join(bytes((len(each),)) + each for each in found))
    if at < len(text):
        text[at] = draw(st.integers(0, 255))
    return bytes(text)


@given(damaged())
@example(record())
def test_whatever_is_read_can_be_announced_again(text):
    with suppress(RemoteProtocolError):
        read = decode(text)
        assert decode(encode(read)) == read


@pytest.mark.parametrize(
    "change",
    ["cut", "name", "cluster", "group", "boot", "txtvers", "tag", "utf8", "metadata", "huge"],
)
def test_invalid_record_is_refused(change):
    text = {
        "cut": record()[:-1],
        "name": record(name="a\nb@c"),
        "cluster": record(cluster=None),
        "group": record(group=None),
        "boot": record(boot="1-2"),
        "txtvers": record(txtvers="2"),
        "tag": record(**{"m.%ff": "x"}),
        "utf8": record() + b"\x05m.a=\xff",
        "metadata": record() + b"".join(b"\xffm.%03d=" % n + b"x" * 249 for n in range(5)),
        "huge": record() + b"\xff" + b"x" * 255 + b"\xff" + (b"+=" + b"x" * 253 + b"\xff") * 40,
    }[change]
    with pytest.raises(RemoteProtocolError, match=r"^mdns: "):
        decode(text)


def test_unknown_keys_are_skipped():
    assert decode(record(novelty="1")) == decode(record())


def test_first_of_several_values_counts():
    assert decode(record() + b"\x0fcluster=another").fence == Fence("shop", "lan")


def test_every_string_is_short_enough():
    node = Node(name="a" * 253 + "@b", metadata={"k" * 500: "v" * 500}, boot_id=BOOT)
    assert max(map(len, strings(encode(announcement(node))))) == 255


@pytest.mark.parametrize(
    "metadata",
    [
        {"k": "v" * (MAX_METADATA_BYTES - 1)},
        {"é" * (MAX_METADATA_BYTES // 2): ""},
        dict.fromkeys(
            [chr(first) for first in range(128)] + [f"{chr(first)}=" for first in range(128)] * 3,
            "",
        ),
    ],
)
def test_everything_that_a_node_may_be_fits(metadata):
    long = "x" * 255
    name = "a" * (MAX_NAME_CHARS - 2) + "@b"
    given = announcement(
        Node(name=name, metadata=metadata, boot_id=BOOT),
        Fence(long, long),
        leaving=True,
        revision=10**18 - 1,
    )
    assert len(encode(given)) < MAX_TEXT_BYTES
    assert decode(encode(given)) == given


@pytest.mark.parametrize(
    "name", ["ann@10.0.0.1", "a" * 250 + "@b", "ä@b".replace("ä", "~!$"), "A.b.c@d"]
)
def test_instance_name_is_one_short_label(name):
    instance = instance_name(Node(name=name, boot_id=BOOT), TYPE)
    assert is_instance(instance, TYPE)
    assert "." not in instance.removesuffix(f".{TYPE}")


def test_runs_of_a_node_have_names_of_their_own():
    again = ANN.evolve(boot_id=BootId(BOOT.started_ms, BOOT.nonce + 1))
    assert instance_name(ANN, TYPE) != instance_name(again, TYPE)
    assert host_name(ANN.boot_id) != host_name(again.boot_id)


@pytest.mark.parametrize(
    "name",
    [
        TYPE,
        f".{TYPE}",
        f"a.b.{TYPE}",
        f"a\nb.{TYPE}",
        f"{'é' * 32}.{TYPE}",
        f"a�.{TYPE}",
        "a._other._tcp.local.",
        "",
    ],
)
def test_name_that_cannot_be_asked_for_is_none_of_an_instance(name):
    assert not is_instance(name, TYPE)


def test_type_is_compared_without_case():
    assert is_instance("web 1._ClusterKit._TCP.local.", TYPE)


@pytest.mark.parametrize(
    ("addresses", "best"),
    [
        (["fd00::1", "10.0.0.1"], "10.0.0.1:1"),
        (["fe80::1%2", "fd00::1"], "[fd00::1]:1"),
        (["fe80::1%2"], "[fe80::1%2]:1"),
        (["fe80::1"], None),
        (["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "127.0.0.1", "::1"], None),
        ([], None),
    ],
)
def test_address_to_dial_is_the_best_that_can_be(addresses, best):
    assert address_to_dial(addresses, 1, loopback=False) == best


def test_loopback_is_dialled_from_loopback_only():
    assert address_to_dial(["127.0.0.1"], 1, loopback=True) == "127.0.0.1:1"
    assert address_to_dial(["127.0.0.1"], 1, loopback=False) is None


@given(st.lists(st.ip_addresses().map(str), max_size=5), st.booleans())
def test_address_to_dial_is_an_announced_one(addresses, loopback):
    found = address_to_dial(addresses, 1, loopback=loopback)
    if found is not None:
        address = ipaddress.ip_address(found.rpartition(":")[0].strip("[]"))
        assert str(address) in addresses
        assert not address.is_unspecified
        assert not address.is_multicast
