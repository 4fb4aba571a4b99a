"""Rendezvous hashing: all nodes agree, and no key moves without need."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster_kit.node import Node
from cluster_kit.rendezvous import among, owners

NAMES = st.sets(st.sampled_from([f"n{i}@host" for i in range(30)]), min_size=1, max_size=12)
KEYS = st.text(max_size=20) | st.binary(max_size=20)


def nodes_of(names):
    return [Node(name=name) for name in names]


@given(KEYS, NAMES, st.randoms(use_true_random=False))
def test_the_order_of_nodes_does_not_matter(key, names, random):
    nodes = nodes_of(sorted(names))
    shuffled = random.sample(nodes, len(nodes))
    assert owners(key, nodes, len(nodes)) == owners(key, shuffled, len(nodes))


@given(KEYS, NAMES)
def test_only_the_keys_of_a_node_that_goes_move(key, names):
    ranked = owners(key, nodes_of(names), len(names))
    for gone in ranked:
        rest = [node for node in ranked if node is not gone]
        assert owners(key, rest, len(ranked)) == tuple(rest)


@given(KEYS, NAMES, st.integers(1, 15))
def test_owners_are_as_many_as_asked_for_or_as_there_are(key, names, count):
    found = owners(key, nodes_of(names), count)
    assert len(found) == len(set(found)) == min(count, len(names))
    assert found == owners(key, nodes_of(names), len(names))[:count]


@given(KEYS, NAMES)
def test_boots_addresses_and_metadata_do_not_matter(key, names):
    plain = owners(key, nodes_of(names), len(names))
    dressed = owners(
        key, [Node(name=name, address="h:1", metadata={"a": name}) for name in names], len(names)
    )
    assert [node.name for node in plain] == [node.name for node in dressed]


def test_keys_are_spread_evenly():
    nodes = nodes_of(f"n{i}@host" for i in range(10))
    shares = Counter(owners(f"user:{i}", nodes)[0] for i in range(20_000))
    assert len(shares) == 10
    # 2,000 each; the deviation of one share is 42
    assert all(1_800 < share < 2_200 for share in shares.values())


def test_text_and_its_bytes_are_one_key():
    nodes = nodes_of(f"n{i}@host" for i in range(10))
    assert owners("größe", nodes, 10) == owners("größe".encode(), nodes, 10)


def test_these_owners_never_change():
    """Nodes of different releases must agree, so the owners must never change."""
    nodes = nodes_of(["a@h", "b@h", "c@h", "d@h"])
    assert [
        "".join(node.name[0] for node in owners(f"user:{i}", nodes, 4)) for i in range(4)
    ] == EVER


EVER = ["dbac", "cadb", "abcd", "bdac"]


def test_a_node_without_a_name_owns_nothing():
    assert owners("k", [Node(address="10.0.0.1:80")]) == ()


def test_where_chooses_by_metadata():
    cache = Node(name="a@h", metadata={"role": "cache", "zone": "1"})
    web = Node(name="b@h", metadata={"role": "web"})
    assert among([cache, web], {"role": "cache"}) == (cache,)
    assert among([cache, web], None) == (cache, web)
    assert among([cache, web], {"role": "cache", "zone": "2"}) == ()


@pytest.mark.parametrize("key", [7, None, ["a"]])
def test_a_key_is_text_or_bytes(key):
    with pytest.raises(TypeError, match="expected text or bytes"):
        owners(key, [])


@pytest.mark.parametrize("count", [0, -1, "2", True, 1.0])
def test_a_count_is_a_number_from_one_up(count):
    with pytest.raises(TypeError, match="at least 1"):
        owners("k", [], count)


def test_node_whose_metadata_is_just_what_is_asked_for_is_among_them():
    node = Node("a@there", metadata={"zone": "a"})
    assert among([node], {"zone": "a"}) == (node,)
