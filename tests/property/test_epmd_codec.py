"""EPMD's codecs raise nothing but ``RemoteProtocolError``, and read what they write."""

import struct
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from cluster_kit.errors import RemoteProtocolError
from cluster_kit.host import canonical_host
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
from cluster_kit.strategies.erlang_hosts import parse_hosts
from cluster_kit.wire.epmd import (
    MAX_EXTRA_BYTES,
    MAX_NAME_BYTES,
    Registration,
    read_dump,
    read_names,
    read_port,
    read_registered,
    register_request,
)

FENCE = Fence("shop", "lan")

words = st.integers(0, 65535)
octets = st.integers(0, 255)
names = st.text(min_size=1, max_size=60).filter(lambda name: "\0" not in name)
plain_names = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=100
)
visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=255)
markers = st.builds(
    Marker,
    st.builds(Fence, visible, visible),
    st.builds(BootId, st.integers(0, 2**63 - 1), st.integers(0, 2**64 - 1)),
    st.ip_addresses().map(str).map(canonical_host)
    | st.sampled_from(["localhost", "web-1.shop.example"]),
)
registrations = st.builds(
    Registration,
    name=names,
    port=words,
    node_type=octets,
    protocol=octets,
    highest_version=words,
    lowest_version=words,
    extra=st.binary(max_size=MAX_EXTRA_BYTES) | markers.map(encode_marker),
)
noise = st.binary(max_size=300)


def read_request(request):
    """Read a registration as EPMD does, by the table of the documentation."""
    size, tag, port, node_type, protocol, highest, lowest, name_size = struct.unpack_from(
        ">HBHBBHHH", request
    )
    name, rest = request[13 : 13 + name_size], request[13 + name_size :]
    (extra_size,) = struct.unpack_from(">H", rest)
    assert (size, tag, len(rest)) == (len(request) - 2, 120, 2 + extra_size)
    return Registration(
        name=name.decode(),
        port=port,
        node_type=node_type,
        protocol=protocol,
        highest_version=highest,
        lowest_version=lowest,
        extra=rest[2:],
    )


@given(registrations)
def test_registration_is_written_as_documented(registration):
    assert read_request(register_request(registration)) == registration


@given(registrations)
def test_registration_is_read_back_by_a_lookup(registration):
    request = register_request(registration)
    answer = b"w\x00" + request[3:]  # PORT2_RESP repeats the fields of ALIVE2_REQ
    assert read_port(answer) == read_request(request)


@given(st.dictionaries(plain_names, words, max_size=20))
def test_names_are_read(registered):
    lines = "".join(f"name {name} at port {port}\n" for name, port in registered.items())
    assert read_names(struct.pack(">I", 4369) + lines.encode()) == registered


@given(st.sampled_from([b"v", b"y"]), noise)
def test_random_answers_to_a_registration_are_survived(tag, data):
    with suppress(RemoteProtocolError):
        read_registered(tag + data[:8])


@given(registrations, st.data())
def test_damaged_answers_about_a_name_are_survived(registration, data):
    answer = bytearray(b"w\x00" + register_request(registration)[3:])
    for _ in range(data.draw(st.integers(1, 4))):
        answer[data.draw(st.integers(0, len(answer) - 1))] = data.draw(octets)
    with suppress(RemoteProtocolError):
        found = read_port(bytes(answer))
        assert found is None or len(found.name.encode()) <= MAX_NAME_BYTES


@given(
    st.lists(
        st.sampled_from(
            [
                b"name ",
                b"active name  <",
                b"> at port ",
                b" at port ",
                b"1",
                b"\n",
                b"\0",
                b", fd = 1",
                b"\xff",
            ]
        )
    )
)
def test_listings_of_shuffled_words_are_survived(parts):
    for read in (read_names, read_dump):
        with suppress(RemoteProtocolError):
            read(struct.pack(">I", 4369) + b"".join(parts))


@given(markers)
def test_marker_that_is_written_is_read(marker):
    assert decode_marker(encode_marker(marker)) == marker


@given(markers, noise)
def test_fields_that_a_later_version_appends_are_skipped(marker, more):
    assert decode_marker(encode_marker(marker) + more) == marker


@given(noise)
def test_random_bytes_behind_our_magic_are_survived(data):
    for header in (MAGIC, MAGIC + b"\x01"):
        with suppress(RemoteProtocolError):
            decode_marker(header + data)


@given(registrations, st.sampled_from([None, ("web",)]), st.sampled_from([LOOPBACK, "10.0.0.9"]))
def test_any_entry_is_a_node_or_says_why_not(registration, wanted, epmd):
    verdict = judge(registration, EpmdQuestion(epmd, "host.example", wanted), FENCE)
    assert isinstance(verdict, Node | str)
    assert "\n" not in describe(registration)


@given(st.text())
def test_any_text_is_a_host_file_or_says_why_not(text):
    with suppress(ValueError):
        assert isinstance(parse_hosts(text), tuple)


@given(
    st.lists(
        st.from_regex(
            r"[a-z0-9]([a-z0-9-]{0,9}[a-z0-9])?(\.[a-z]{1,9}[0-9]?){1,2}", fullmatch=True
        ),
        unique=True,
    ),
    st.sampled_from([" ", "\n", " % x.\n"]),
)
def test_hosts_that_are_listed_are_read(hosts, between):
    assert parse_hosts(between.join(f"'{host}'.{between}" for host in hosts)) == tuple(hosts)
