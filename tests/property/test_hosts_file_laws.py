"""The hosts file's parser accepts anything, and never takes a truncated file for the whole."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.node import Node
from cluster_kit.strategies.hosts_file.parser import MAX_FAULTS, parse
from cluster_kit.strategies.static import parse_node

hosts = st.sampled_from(["10.0.0.7", "web.example", "[fe80::7]", "h"])
entries = st.builds(
    "{}{}:{}".format, st.sampled_from(["", "ann@", "bob@", "web#1@"]), hosts, st.integers(1, 65535)
) | st.sampled_from(["", "  ", "# note", "ann@h:1 # note"])
broken = st.sampled_from(
    ["web", "ann@h", ":1", "ann@h:0", "a b@h:1", "h:70000", "ann@h:1x", "\0", "\u2028h:1"]
)
alphabet = st.characters(codec="utf-8") | st.sampled_from(list("\n\r\t #@:[]\0\ufeff"))


def joined(lines, end="\n"):
    return "".join(line + end for line in lines).encode()


@settings(deadline=None)
@given(st.binary() | st.text(alphabet).map(str.encode) | st.lists(entries | broken).map(joined))
def test_anything_is_nodes_or_faults_with_their_lines(content):
    listing = parse(content)
    lines = [fault.line for fault in listing.faults]
    assert lines == sorted(set(lines))
    assert len(lines) <= MAX_FAULTS
    assert all(1 <= line <= content.count(b"\n") + 1 for line in lines)
    assert all("\n" not in text for fault in listing.faults for text in (fault.what, fault.cure))
    assert all(isinstance(node, Node) for node in listing.nodes)
    if not listing.faults:
        assert content.endswith(b"\n")
        assert len({node.key for node in listing.nodes}) == len(listing.nodes)
        assert listing.nodes or b"#" in content


@settings(deadline=None)
@given(st.lists(entries), st.integers(0, 200))
def test_file_cut_off_inside_a_line_has_a_fault(lines, length):
    content = joined(lines)[:length]
    if not content.endswith(b"\n"):
        assert parse(content).faults


@settings(deadline=None)
@given(st.lists(entries, min_size=1), broken, st.data())
def test_broken_line_is_reported_at_its_number(lines, line, data):
    at = data.draw(st.integers(0, len(lines)))
    faults = parse(joined([*lines[:at], line, *lines[at:]])).faults
    assert at + 1 in [fault.line for fault in faults] or len(faults) == MAX_FAULTS


@settings(deadline=None)
@given(
    st.lists(st.tuples(hosts, st.integers(1, 65535)), unique=True, min_size=1),
    st.sampled_from(["\n", "\r\n", " # x\n"]),
)
def test_written_nodes_are_read_back(places, end):
    written = [f"{host}:{port}" for host, port in places]
    listing = parse(joined(written, end))
    assert not listing.faults
    assert list(listing.nodes) == [parse_node(entry) for entry in written]


@pytest.mark.parametrize("content", [b"a@h:1\n", b"# nobody\n"])
def test_reading_again_says_the_same(content):
    assert parse(content) == parse(content)
