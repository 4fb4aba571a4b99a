"""What the lines of a hosts file say, and which of them can't be used."""

import pytest

from cluster_kit.node import Node
from cluster_kit.strategies.hosts_file.parser import MAX_FAULTS, parse

ANN = Node(name="ann@10.0.0.7", address="10.0.0.7:4000")
BOB = Node(address="10.0.0.8:4000")


@pytest.mark.parametrize(
    ("content", "nodes"),
    [
        ("ann@10.0.0.7:4000\n", [ANN]),
        ("ann@10.0.0.7:4000\n10.0.0.8:4000\n", [ANN, BOB]),
        ("10.0.0.8:4000\nann@10.0.0.7:4000\n", [BOB, ANN]),
        ("[fe80::7]:4000\n", [Node(address="[fe80::7]:4000")]),
        ("# all of them\n\n  ann@10.0.0.7:4000\t \n\n", [ANN]),
        ("ann@10.0.0.7:4000 # in the other rack\n", [ANN]),
        ("ann@10.0.0.7:4000\t#\n", [ANN]),
        ("web#1@h:1\n", [Node(name="web#1@h", address="h:1")]),
        ("ann@10.0.0.7:4000\r\n10.0.0.8:4000\r\n", [ANN, BOB]),
        ("\ufeffann@10.0.0.7:4000\n", [ANN]),
        ("# n\u00e9e\nann@10.0.0.7:4000\n", [ANN]),
        ("ann@10.0.0.7:4000\nann@10.0.0.7:4000 # again\n", [ANN]),
        ("#\n", []),
        ("# nobody\n\n", []),
        ("\n  # nobody\n", []),
    ],
)
def test_nodes_are_read(content, nodes):
    listing = parse(content.encode())
    assert list(listing.nodes) == nodes
    assert listing.faults == ()


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        (b"", 1, "is empty"),
        (b"\n", 1, "is empty"),
        (b" \r\n\t\n", 1, "is empty"),
        (b"\xef\xbb\xbf", 1, "is empty"),
        (b"a@h:1", 1, "has no newline"),
        (b"a@h:1\nb@h:", 2, "has no newline"),
        (b"a@h:1\n# the ot", 2, "has no newline"),
        (b"a@h:1\r", 1, "has no newline"),
        (b"a@h:1\n\nweb\n", 3, "cannot use 'web': expected one name@host:port or host:port"),
        (b"a@h:0\n", 1, "port 0 cannot be dialled"),
        (b"a@h:1 b@h:2\n", 1, "cannot use 'a@h:1 b@h:2': expected one"),
        (b"a@h:1,\n", 1, "cannot use 'a@h:1,'"),
        (b"- a@h:1\n", 1, "cannot use '- a@h:1'"),
        (b"a@h:1#c\n", 1, "cannot use 'a@h:1#c'"),
        (b"# ok\na@h\xfc:1\n", 2, "byte 4 of the line, 0xfc, is not UTF-8"),
        (b"# n\xe9e\n", 1, "is not UTF-8"),
        (b"a@h:1\n\0\0\0\0\n", 2, "cannot use"),
        (b"a@h:1\nb@h:1\n", 2, "'h:1' is in line 1, too"),
        (b"a@h:1\n\na@h:2\n", 3, "'a@h' is in line 1, too"),
        (b"a@h:1\nh:1\n", 2, "'h:1' is in line 1, too"),
    ],
)
def test_fault_is_named_with_its_line_and_a_cure(content, line, what):
    [fault] = parse(content).faults
    assert (fault.line, fault.in_file("hosts").place) == (line, f"hosts:{line}")
    assert what in fault.what
    assert fault.cure


def test_other_encoding_is_named():
    assert "0xff, is not UTF-8" in parse("a@h:1\n".encode("utf-16")).faults[0].what


def test_every_faulty_line_is_reported():
    assert [fault.line for fault in parse(b"web\na@h:1\n:\nb@h:x").faults] == [1, 3, 4]


def test_number_and_length_of_faults_are_bounded():
    faults = parse((b":" * 1000 + b"\n") * 1000).faults
    assert len(faults) == MAX_FAULTS
    assert max(len(fault.what) for fault in faults) < 400


@pytest.mark.parametrize(
    "line", [b"a@h:1, b@h:2", b"a@h:1,", b"10.0.0.7:4000,10.0.0.8:4000", b"[fd00::1]:1,[fd00::2]:1"]
)
def test_error_for_a_line_with_commas_mentions_commas(line):
    (fault,) = parse(line + b"\n").faults
    assert "a comma does not separate nodes; write one" in fault.what
    assert "bracket" not in fault.what


@pytest.mark.parametrize("line", [b"\x0b", b"\x0c", b"\x1c"])
def test_line_of_unusual_whitespace_is_one_fault(line):
    [fault] = parse(line + b"\n").faults
    assert fault.line == 1
    assert "expected one" in fault.what
