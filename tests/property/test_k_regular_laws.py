"""What ``k_regular`` promises beyond any topology: few links, short paths, few changes."""

import json
import os
import subprocess
import sys
from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.node import Node
from cluster_kit.topologies.k_regular import KRegularTopology
from cluster_kit.topologies.ring import RingTopology

basenames = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=12)


def cluster_of(basename, n):
    return [Node(name=f"{basename}{number}@10.0.0.{number % 250}") for number in range(n)]


def graph(topology, cluster):
    """Return the links of each name."""
    everybody = frozenset(cluster)
    return {
        node.name: {peer.name for peer in topology.select(node, everybody - {node})}
        for node in cluster
    }


def pairs(links):
    return {frozenset((name, peer)) for name, peers in links.items() for peer in peers}


def steps_from(links, start):
    """Return the number of steps from ``start`` to the farthest node, and of nodes reached."""
    reached, frontier, steps = {start}, {start}, 0
    while frontier := set().union(*(links[name] for name in frontier)) - reached:
        reached |= frontier
        steps += 1
    return steps, len(reached)


each_k = pytest.mark.parametrize("k", [4, 6, 8])


@each_k
@settings(max_examples=30, deadline=None)
@given(basename=basenames, n=st.integers(1, 80))
def test_links_are_mutual_few_and_connect(k, basename, n):
    links = graph(KRegularTopology(k=k), cluster_of(basename, n))
    assert all(name in links[peer] for name, peers in links.items() for peer in peers)
    fewest = n - 1 if n <= k + 1 else 2
    assert all(fewest <= len(peers) <= k for peers in links.values())
    assert all(steps_from(links, name)[1] == n for name in links)


@each_k
@settings(max_examples=20, deadline=None)
@given(basename=basenames, n=st.integers(50, 500))
def test_the_longest_way_grows_with_the_logarithm_of_the_cluster(k, basename, n):
    links = graph(KRegularTopology(k=k), cluster_of(basename, n))
    assert max(steps_from(links, name)[0] for name in links) <= 2 * log(n, k - 1) + 1
    assert sum(map(len, links.values())) >= 0.9 * (n - k) * k  # few links are of two rings at once


@each_k
@settings(max_examples=30, deadline=None)
@given(basename=basenames, n=st.integers(10, 80), newcomer=basenames)
def test_a_join_or_leave_moves_three_links_a_ring_at_most(k, basename, n, newcomer):
    cluster = cluster_of(basename, n)
    joined = [*cluster, Node(name=f"{newcomer}@new")]
    without, having = (pairs(graph(KRegularTopology(k=k), each)) for each in (cluster, joined))
    assert len(without ^ having) <= 3 * k // 2


@settings(max_examples=30, deadline=None)
@given(basename=basenames, n=st.integers(4, 80), newcomer=basenames)
def test_a_join_or_leave_moves_three_links_of_a_ring(basename, n, newcomer):
    cluster = cluster_of(basename, n)
    joined = [*cluster, Node(name=f"{newcomer}@new")]
    without, having = (pairs(graph(RingTopology(), each)) for each in (cluster, joined))
    assert len(without ^ having) == 3


@pytest.mark.parametrize(
    "topology", [KRegularTopology(k=2), KRegularTopology(k=4), RingTopology()], ids=str
)
@settings(max_examples=30, deadline=None)
@given(basename=basenames, n=st.integers(3, 40), data=st.data())
def test_the_loss_of_any_one_node_cuts_nobody_off(topology, basename, n, data):
    links = graph(topology, cluster_of(basename, n))
    lost = data.draw(st.sampled_from(sorted(links)))
    left = {name: peers - {lost} for name, peers in links.items() if name != lost}
    assert steps_from(left, min(left))[1] == n - 1


@settings(max_examples=30, deadline=None)
@given(basename=basenames, n=st.integers(4, 80), data=st.data())
def test_the_order_in_which_nodes_are_known_does_not_matter(basename, n, data):
    local, *others = cluster_of(basename, n)
    shuffled = data.draw(st.permutations(others))
    for topology in (KRegularTopology(k=2), KRegularTopology(k=6), RingTopology()):
        assert topology.select(local, frozenset(shuffled)) == topology.select(
            local, frozenset(others)
        )


@settings(max_examples=30, deadline=None)
@given(basename=basenames, n=st.integers(12, 80))
def test_nodes_of_different_k_share_rings(basename, n):
    four, six = (pairs(graph(KRegularTopology(k=k), cluster_of(basename, n))) for k in (4, 6))
    assert four <= six


ASK = """
import json
from cluster_kit.node import Node
from cluster_kit.topologies.k_regular import KRegularTopology
nodes = frozenset(Node(name=f"n{number}@there") for number in range(200))
picked = {node.name: KRegularTopology(k=6).select(node, nodes - {node}) for node in nodes}
print(json.dumps({name: sorted(map(str, peers)) for name, peers in picked.items()}, sort_keys=True))
"""


def test_processes_agree_whatever_their_hash_seed():
    answers = []
    for seed in ("0", "1", "4294967295"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True
        )
        answers.append(json.loads(run.stdout))
    assert len(answers[0]) == 200
    assert answers[0] == answers[1] == answers[2]
