"""What keeps nodes apart, for how long, and what all should see in the end."""

from math import inf

import pytest

from cluster_kit.node import BootId, Node
from cluster_kit.testing.simulation.connectivity import Connectivity, closes, is_fair, paths_of
from cluster_kit.testing.simulation.identity import address_of, node_of
from cluster_kit.testing.simulation.invariants.truth import (
    Disagreement,
    Truth,
    expected_links,
    faults_of_topology,
    picks_of,
)
from cluster_kit.testing.simulation.scripts.script import MAX_NODES
from cluster_kit.testing.simulation.scripts.steps import (
    Cut,
    Packets,
    Partition,
    RingCut,
    SlowReader,
)
from cluster_kit.topologies.full_mesh import FullMeshTopology
from cluster_kit.topologies.ring import RingTopology

NUMBERS = range(1, 6)


def affected(step):
    paths = paths_of(step, NUMBERS)
    return {
        (one, other) for one in NUMBERS for other in NUMBERS if one != other and paths(one, other)
    }


def both_ways(*pairs):
    return {each for one, other in pairs for each in ((one, other), (other, one))}


@pytest.mark.parametrize(
    ("step", "paths"),
    [
        (
            Partition(at_s=0, groups=((1, 2),)),
            both_ways(*[(one, other) for one in (1, 2) for other in (3, 4, 5)]),
        ),
        (
            Partition(at_s=0, groups=((1,), (2,))),
            both_ways((1, 2), *[(one, other) for one in (1, 2) for other in (3, 4, 5)]),
        ),
        (Cut(at_s=0, nodes=(1,), to=(2,)), both_ways((1, 2))),
        (Cut(at_s=0, nodes=(1,), to=(2,), one_way=True), {(1, 2)}),
        (Cut(at_s=0, nodes=(1,), one_way=True), {(1, 2), (1, 3), (1, 4), (1, 5)}),
        (Cut(at_s=0, to=(1,), one_way=True), {(2, 1), (3, 1), (4, 1), (5, 1)}),
        (
            Cut(at_s=0, nodes=(1, 2)),
            both_ways(*[(one, other) for one in (1, 2) for other in (3, 4, 5)]),
        ),
        (
            Cut(at_s=0),
            both_ways(*[(one, other) for one in NUMBERS for other in NUMBERS if one < other]),
        ),
    ],
    ids=str,
)
def test_partitions_and_cuts_close_paths(step, paths):
    assert closes(step)
    assert affected(step) == paths


def test_a_ring_cut_leaves_the_paths_between_neighbours():
    assert affected(RingCut(at_s=0)) == both_ways((1, 3), (1, 4), (2, 4), (2, 5), (3, 5))


@pytest.mark.parametrize(
    ("step", "fair", "closing"),
    [
        (Packets(at_s=0, loss=0.1), True, False),
        (Packets(at_s=0, loss=0.5), False, False),
        (Packets(at_s=0, loss=1), False, True),
        (Packets(at_s=0, delay_s=2), False, False),
        (SlowReader(at_s=0, bytes_per_s=1), False, False),
    ],
    ids=str,
)
def test_some_loss_and_delay_is_fair(step, fair, closing):
    assert (is_fair(step), closes(step)) == (fair, closing)


def test_loss_adds_up():
    assert is_fair(Packets(at_s=0, loss=0.05), 0.05)
    assert not is_fair(Packets(at_s=0, loss=0.06), 0.05)
    assert is_fair(Packets(at_s=0, delay_s=0.1), 0.3)


def test_nodes_are_apart_while_one_is_gone_and_for_the_aftermath():
    connectivity = Connectivity()
    connectivity.node_absent(1, was_there=False).until_s = 0.5
    assert connectivity.undisturbed_since_s(1, 2, 10) == 0.5
    crash = connectivity.node_absent(2)
    assert connectivity.undisturbed_since_s(1, 2, 10) == inf
    assert connectivity.undisturbed_since_s(1, 3, 10) == 0.5
    crash.until_s = 6.0
    assert connectivity.undisturbed_since_s(1, 2, 10) == 16.0


def truth_of(numbers, links, *, listed=()):
    return Truth(
        there={number: node_of(number).evolve(boot_id=BootId(number, 1)) for number in numbers},
        numbers={node_of(number).key: number for number in NUMBERS},
        listed=frozenset(listed),
        is_open=lambda *_: True,
        is_fair=lambda *_: True,
        is_whole=True,
        links=links,
    )


def test_a_goodbye_must_be_received_unless_something_disturbed_it():
    connectivity = Connectivity()
    connectivity.node_absent(3, was_there=False).until_s = 1.0
    connectivity.node_absent(1).until_s = 3.0
    cut = connectivity.paths_disturbed(
        paths_of(Cut(at_s=0, nodes=(2,), to=(4,)), NUMBERS), closes=True
    )
    connectivity.node_absent(4)
    assert connectivity.was_quiet(3, 4, 10.0, 4.0)
    assert connectivity.was_quiet(1, 4, 10.0, 4.0)
    assert not connectivity.was_quiet(1, 4, 10.0, 8.0)
    assert not connectivity.was_quiet(2, 4, 10.0, 4.0)
    cut.until_s = 5.5
    assert connectivity.was_quiet(2, 4, 10.0, 4.0)
    connectivity.node_absent(3)
    assert not connectivity.was_quiet(3, 4, 10.0, 4.0)


def test_a_view_is_wrong_about_nodes_that_are_missing_left_over_or_outdated():
    truth = truth_of((1, 2, 3), {1: frozenset({2}), 2: frozenset({1}), 3: frozenset()})
    two, three = truth.there[2], truth.there[3]
    known, up = {two.key: two, three.key: three}, {two.key: two}
    disagreement = Disagreement(1, truth, known, up)
    assert not disagreement.about
    up[three.key] = three
    del known[two.key]
    disagreement.update(three.key)
    disagreement.update(two.key)
    assert (
        disagreement.describe() == f"{two.key} is not known; {three.key} is up, and should not be"
    )
    known[two.key] = two.evolve(boot_id=BootId(1, 1))
    disagreement.update(two.key)
    assert f"{two.key} is seen as an earlier run" in disagreement.describe()
    stranger = Node("who@there")
    known[stranger.key] = stranger
    disagreement.update(stranger.key)
    assert f"{stranger.key} is known, and should not be" in disagreement.describe()


def test_a_listed_node_must_be_known_even_when_it_is_gone():
    gone = node_of(2)
    disagreement = Disagreement(1, truth_of((1,), {1: frozenset()}, listed=[gone.key]), {}, {})
    assert disagreement.about == {gone.key}


def test_links_are_expected_where_both_ends_run_and_reach_each_other():
    there = {number: node_of(number) for number in NUMBERS}
    everyone = frozenset(there.values())
    rosters = {number: everyone - {node} for number, node in there.items()}
    picks = picks_of(there, RingTopology(), rosters, pytest.fail)
    assert not list(faults_of_topology(there, picks))
    assert expected_links(there, picks, lambda one, other: (one, other) != (1, 2))[1] == {5}


def test_one_sided_picks_and_disconnected_nodes_are_faults_of_a_topology():
    there = {number: node_of(number) for number in (1, 2, 3)}
    one, two, three = (frozenset([node.key]) for node in there.values())
    assert list(faults_of_topology(there, {1: two, 2: one, 3: frozenset()})) == [
        f"all links together don't connect {node_of(3)} to {node_of(1)}"
    ]
    assert "doesn't select" in next(faults_of_topology(there, {1: two, 2: three, 3: two}))


def test_a_full_mesh_of_one_is_connected():
    there = {1: node_of(1)}
    assert not list(
        faults_of_topology(
            there, picks_of(there, FullMeshTopology(), {1: frozenset()}, pytest.fail)
        )
    )


def test_every_node_has_an_address_of_its_own():
    addresses = [address_of(number) for number in range(1, MAX_NODES + 1)]
    assert len(set(addresses)) == MAX_NODES
