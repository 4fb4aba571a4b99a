"""The codec against the documented form, and against answers recorded from Debian's epmd (OTP 25,
erts 13.1.5).
"""

import pytest

from cluster_kit.errors import LocalProtocolError, RemoteProtocolError
from cluster_kit.wire.epmd import (
    MAX_EXTRA_BYTES,
    MAX_LISTING_BYTES,
    MAX_NAME_BYTES,
    MAX_NAMES,
    Dumped,
    NodeType,
    Registered,
    Registration,
    dump_request,
    names_request,
    port_request,
    read_dump,
    read_names,
    read_port,
    read_registered,
    register_request,
)

ERLANG_NODE = b"w\x00\x82gM\x00\x00\x06\x00\x05\x00\x01b\x00\x00"  # erl -name b@127.0.0.1
MARKED_NODE = (
    b"w\x00\x12gH\x00\x00\x06\x00\x05\x00\x02py\x00\x14ckx\x00\xffckx\x00\xffckx\x00\xffckx\x00\xff"
)
NOT_REGISTERED = b"w\x01"
NAMES = (
    b"\x00\x00_1name zero at port 4713\nname old at port 4712\n"
    b"name py at port 4711\nname b at port 33383\n"
)
NO_NAMES = b"\x00\x00_1"
DUMP = (
    b"\x00\x00_1active name     <zero> at port 4713, fd = 11\n\x00active name     <py> at port "
    b"4711, fd = 6\n\x00old/unused name <old>, port = 4712, fd = 8 \n\x00"
)
DOCUMENTED_UNUSED = b"\x00\x00\x11\x11old/unused name old at port 4712, fd = 8 \n\x00"
ACCEPTED_X, ACCEPTED = b"v\x00k\x04>$", b"y\x00\x00\x03"
REFUSED_X, REFUSED = b"v\x01\x00\x00\x00c", b"y\x01\x00c"


# Requests


def test_registration_matches_the_documented_form():
    registration = Registration(name="py", port=4711, node_type=NodeType.HIDDEN, extra=b"xyz")
    body = b"\x78" + b"\x12\x67" + b"\x48" + b"\x00" + b"\x00\x06" + b"\x00\x05"
    body += b"\x00\x02py" + b"\x00\x03xyz"
    assert register_request(registration) == len(body).to_bytes(2) + body


def test_port_request_matches_the_documented_form():
    assert port_request("web") == b"\x00\x04zweb"


def test_names_and_dump_requests_match_the_documented_form():
    assert names_request() == b"\x00\x01n"
    assert dump_request() == b"\x00\x01d"


def test_names_are_encoded_as_utf_8():
    assert port_request("é") == b"\x00\x03z\xc3\xa9"


def test_longest_name_and_extra_fit():
    longest = Registration(name="x" * 1020, port=1, extra=bytes(2048))
    request = register_request(longest)
    assert request[:5] == b"\x0c\x09x\x00\x01"
    assert read_port(b"w\x00" + request[3:]) == longest
    assert port_request("x" * 1020) == b"\x03\xfdz" + b"x" * 1020


@pytest.mark.parametrize("name", ["", "a\0b", "x" * (MAX_NAME_BYTES + 1)])
def test_impossible_name_is_a_local_protocol_error(name):
    with pytest.raises(LocalProtocolError, match="name"):
        port_request(name)
    with pytest.raises(LocalProtocolError, match="name"):
        register_request(Registration(name=name, port=1))


@pytest.mark.parametrize(
    "wrong", [{"port": 65536}, {"port": -1}, {"node_type": 256}, {"highest_version": 65536}]
)
def test_registration_out_of_range_is_a_local_protocol_error(wrong):
    with pytest.raises(LocalProtocolError, match="cannot register"):
        register_request(Registration(**({"name": "a", "port": 1} | wrong)))


def test_registration_with_too_much_extra_is_a_local_protocol_error():
    with pytest.raises(LocalProtocolError, match="extra"):
        register_request(Registration(name="a", port=1, extra=bytes(MAX_EXTRA_BYTES + 1)))


# Answers to a registration


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ACCEPTED_X, Registered(0, 0x6B043E24)),
        (ACCEPTED, Registered(0, 3)),
        (REFUSED_X, Registered(1, 99)),
        (REFUSED, Registered(1, 99)),
    ],
)
def test_registration_answer_is_read(answer, expected):
    assert read_registered(answer) == expected


@pytest.mark.parametrize("answer", [ACCEPTED_X, ACCEPTED])
def test_incomplete_registration_answer_is_awaited(answer):
    assert [read_registered(answer[:size]) for size in range(len(answer))] == [None] * len(answer)


@pytest.mark.parametrize("answer", [b"w\x00", b"HTTP", ACCEPTED_X + b"!", ACCEPTED + b"!"])
def test_invalid_registration_answer_is_refused(answer):
    with pytest.raises(RemoteProtocolError, match="registration"):
        read_registered(answer)


# Answers about a name


def test_answer_about_an_erlang_node_is_read():
    assert read_port(ERLANG_NODE) == Registration(
        name="b", port=33383, highest_version=6, lowest_version=5
    )


def test_answer_about_a_hidden_node_with_extra_is_read():
    found = read_port(MARKED_NODE)
    assert (found.port, found.node_type, found.extra) == (4711, NodeType.HIDDEN, b"ckx\x00\xff" * 4)


def test_answer_about_an_unregistered_name_is_none():
    assert read_port(NOT_REGISTERED) is None


@pytest.mark.parametrize("size", range(len(MARKED_NODE)))
def test_truncated_answer_about_a_name_is_refused(size):
    with pytest.raises(RemoteProtocolError):
        read_port(MARKED_NODE[:size])


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        ERLANG_NODE[:10] + b"\x04\x00" + b"x" * 1024 + b"\x00\x00",
        ERLANG_NODE[:13] + b"\x10\x00" + bytes(4096),
        ERLANG_NODE.replace(b"b", b"\xff"),
    ],
    ids=["http", "long name", "long extra", "not UTF-8"],
)
def test_invalid_answer_about_a_name_is_refused(answer):
    with pytest.raises(RemoteProtocolError):
        read_port(answer)


# Listings


def test_listing_is_read():
    assert read_names(NAMES) == {"zero": 4713, "old": 4712, "py": 4711, "b": 33383}


def test_names_that_cannot_be_asked_for_hide_no_others():
    odd = b"name nul\0 at port 1\nname \x1b[2J at port 2\nname \xff at port 3\n"
    assert read_names(NO_NAMES + odd + b"name py at port 5\n") == {"py": 5}


def test_empty_listing_is_read():
    assert read_names(NO_NAMES) == {}


def test_dump_is_read():
    assert read_dump(DUMP) == (
        Dumped("zero", 4713, active=True),
        Dumped("py", 4711, active=True),
        Dumped("old", 4712, active=False),
    )


def test_listing_truncated_within_a_line_is_refused():
    with pytest.raises(RemoteProtocolError, match="cut off"):
        read_names(NAMES[:-1])
    with pytest.raises(RemoteProtocolError, match="cut off"):
        read_dump(DUMP[:-1])


@pytest.mark.parametrize(
    "odd",
    [
        b"x",
        b"name c at port 65536",
        b"name \xff at port 1",
        b"name " + b"n" * 1021 + b" at port 1",
        b"",
    ],
)
def test_malformed_line_hides_no_others(odd):
    assert read_names(NO_NAMES + b"name a at port 1\n" + odd + b"\nname b at port 2\n") == {
        "a": 1,
        "b": 2,
    }


def test_name_may_look_like_a_line():
    assert read_names(NO_NAMES + b"name a at port 1 at port 2\n") == {"a at port 1": 2}


@pytest.mark.parametrize("read", [read_names, read_dump])
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\x00",
        b"HTTP/1.1 200 OK\r\n",
        b"\x00\x00\x00\x00",
        b"\x00\x01\x00\x00",
    ],
    ids=["nothing", "too little", "http", "port 0", "port 65536"],
)
def test_invalid_listing_is_refused(read, answer):
    with pytest.raises(RemoteProtocolError):
        read(answer)


@pytest.mark.parametrize("port", [1, 65535])
def test_lowest_and_highest_ports_are_accepted(port):
    assert read_names(port.to_bytes(4) + b"name a at port %d\n" % port) == {"a": port}


def test_length_of_a_listing_is_bounded():
    last = b"name a at port 1\n"
    odd = bytes(MAX_LISTING_BYTES - len(NO_NAMES) - len(last) - 1) + b"\n"
    assert read_names(NO_NAMES + odd + last) == {"a": 1}
    with pytest.raises(RemoteProtocolError, match="listing of more than 262144 bytes"):
        read_names(NO_NAMES + b"x" + odd + last)


def test_longest_name_is_listed():
    assert read_names(NO_NAMES + b"name " + b"n" * 1020 + b" at port 1\n") == {"n" * 1020: 1}


def test_more_names_than_epmd_can_hold_are_refused():
    names = b"".join(b"name n%d at port 1\n" % number for number in range(MAX_NAMES))
    assert len(read_names(NO_NAMES + names)) == MAX_NAMES
    with pytest.raises(RemoteProtocolError, match=str(MAX_NAMES)):
        read_names(NO_NAMES + b"name a at port 1\n" * (MAX_NAMES + 1))
