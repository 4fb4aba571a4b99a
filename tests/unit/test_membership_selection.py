"""When the topology selects: at once if that is cheap or rare, not for each of many newcomers."""

from math import inf

import pytest
from membership_parts import Driver, boot

from cluster_kit.abc import Found, Gone, Seen, Topology
from cluster_kit.events import Reason
from cluster_kit.membership.peer import Peers
from cluster_kit.membership.reconciler import Connect
from cluster_kit.membership.selection import BURST, INTERVAL_S, NODE_S, Selection
from cluster_kit.node import Node
from cluster_kit.topologies.full_mesh import FullMeshTopology

MANY = 1000


class Counting(FullMeshTopology):
    """Links all nodes, and counts how often it selects."""

    asked = 0

    def select(self, local, known):
        type(self).asked += 1
        return known


def numbered(number, run=1, port=1):
    return Node(
        f"n{number:04}@there", f"10.1.{number // 250}.{number % 250}:{port}", boot_id=boot(run)
    )


def large_cluster():
    """Return a cluster of many nodes, all of which have been linked for long."""
    cluster = Driver(max_nodes=2 * MANY)
    cluster.observe(Found(map(numbered, range(MANY))))
    for _ in range(3):  # not all are dialled at the same time
        cluster.carry_out()
    cluster.wait(60.0)
    assert cluster.planned() == []
    return cluster


def busy_cluster():
    """Return a large cluster with so many newcomers that the last has to wait, and that one."""
    cluster = large_cluster()
    newcomer = MANY
    while cluster.wake_at_s is None:
        cluster.observe(Seen(numbered(newcomer), inf))
        cluster.carry_out()
        newcomer += 1
    return cluster, numbered(newcomer - 1)


def test_in_a_small_cluster_each_of_many_arrivals_counts_at_once():
    cluster = Driver()
    for number in range(60):
        cluster.observe(Seen(numbered(number), inf))
        assert cluster.planned() == [f"connect n{number:04}@there"]


def test_occasional_newcomer_to_a_large_cluster_is_dialled_at_once():
    cluster = large_cluster()
    for number in range(MANY, MANY + 10):
        cluster.wait(1.1 * (number + 1) * NODE_S)
        cluster.observe(Seen(numbered(number), inf))
        assert cluster.planned() == [f"connect n{number}@there"]


def test_topology_is_asked_seldom_while_hundreds_come_one_by_one():
    Counting.asked = 0
    cluster = Driver(Counting(), max_nodes=2 * MANY)
    for number in range(MANY):
        cluster.observe(Seen(numbered(number), inf))
        cluster.carry_out()
        cluster.wait(0.001)
    assert 10 < Counting.asked < 200


def test_delayed_newcomer_is_dialled_soon_without_another_event():
    cluster, newcomer = busy_cluster()
    assert cluster.planned() == []
    wait_s = cluster.wake_at_s - cluster.now_s
    assert 0 < wait_s <= 2 * MANY * NODE_S
    cluster.wait(wait_s + 1e-9)
    assert cluster.planned() == [f"connect {newcomer.name}"]
    assert cluster.wake_at_s is None


def test_in_a_huge_cluster_a_newcomer_waits_no_longer_than_in_a_large_one():
    peers = Peers()
    selection = Selection(peers, FullMeshTopology())
    for number in range(10 * MANY):
        selection.offer(peers[f"n{number}"], 100.0, known=Node(f"n{number}@there"), missed=None)
    for _ in range(3):
        selection.reconsider()
        selection.update(Node("me@here"), 100.0)
    selection.reconsider()
    assert selection.next_s() == 100.25


def test_node_that_leaves_during_the_wait_is_not_dialled_again():
    cluster, _ = busy_cluster()
    one = numbered(0)
    cluster.link_down(one, Reason.CLOSED)
    cluster.observe(Gone(one.name, Reason.LEFT, one.boot_id))
    assert cluster.planned() == [f"disconnect {one.name}"]


def test_node_that_comes_and_goes_during_the_wait_is_never_dialled():
    cluster, newcomer = busy_cluster()
    cluster.observe(Gone(newcomer.name))
    assert cluster.planned() == []


def test_node_that_moves_during_the_wait_is_dialled_at_its_new_address():
    cluster, _ = busy_cluster()
    one, moved = numbered(0), numbered(0, run=2, port=2)
    cluster.link_down(one, Reason.CLOSED)
    cluster.observe(Seen(moved, inf), source="another")
    assert cluster.plan() == [Connect(moved)]


def test_node_that_changes_all_the_time_changes_its_offer_at_a_steady_rate():
    peers, now_s = Peers(), 100.0
    selection = Selection(peers, FullMeshTopology())
    for run in range(10):
        selection.offer(
            peers["b@there"], now_s, known=Node("b@there", boot_id=boot(run)), missed=None
        )
    assert peers["b@there"].offer.known.boot_id == boot(BURST)
    selection.tick(now_s + INTERVAL_S)
    assert peers["b@there"].offer.known.boot_id == boot(9)
    at_s = now_s + INTERVAL_S
    selection.offer(peers["b@there"], at_s, known=Node("b@there", boot_id=boot(10)), missed=None)
    assert peers["b@there"].offer.known.boot_id == boot(9)
    selection.tick(now_s + 2 * INTERVAL_S)
    assert peers["b@there"].offer.known.boot_id == boot(10)


def test_ever_changing_node_is_dialled_at_its_last_address():
    cluster = Driver()
    for port in range(1, BURST + 3):
        cluster.observe(Seen(numbered(1, port=port), inf))
    cluster.wait(INTERVAL_S)
    cluster.refuse()
    cluster.wait(1)
    assert cluster.plan() == [Connect(numbered(1, port=BURST + 2))]


def test_node_that_goes_while_its_change_waits_leaves_nothing_behind():
    peers, now_s = Peers(), 100.0
    selection = Selection(peers, FullMeshTopology())
    for run in range(BURST + 2):
        known = Node("b@there", boot_id=boot(run))
        selection.offer(peers["b@there"], now_s, known=known, missed=None)
    selection.offer(peers["b@there"], now_s, known=None, missed=None)
    selection.update(Node("me@here"), now_s)
    assert selection.next_s() is None
    assert peers["b@there"].is_idle(now_s + BURST * INTERVAL_S)


def test_change_that_waits_and_is_taken_back_needs_no_wake_up():
    peers, now_s = Peers(), 100.0
    selection = Selection(peers, FullMeshTopology())
    runs = [Node("b@there", boot_id=boot(run)) for run in range(BURST + 2)]
    for run in runs:
        selection.offer(peers["b@there"], now_s, known=run, missed=None)
    selection.update(Node("me@here"), now_s)
    assert selection.next_s() == now_s + INTERVAL_S
    selection.offer(peers["b@there"], now_s, known=runs[BURST], missed=None)
    assert selection.next_s() is None


class AllIf(Topology):
    """Selects all of so many nodes, and only the first one otherwise."""

    def __init__(self, *sizes):
        self.sizes = sizes

    def select(self, local, known):
        if len(known) in self.sizes:
            return known
        return frozenset([min(known, key=lambda node: node.key)])


@pytest.mark.parametrize(("sizes", "wanted"), [((2,), "bd"), ((3,), "bc"), ((2, 3), "bcd")])
def test_known_peers_are_selected_among_themselves_and_missed_ones_among_all(sizes, wanted):
    peers = Peers()
    selection = Selection(peers, AllIf(*sizes))
    b, c, d = (Node(f"{name}@there") for name in "bcd")
    for known in (b, d):
        selection.offer(peers[known.key], 100.0, known=known, missed=None)
    selection.offer(peers[c.key], 100.0, known=None, missed=c)
    changed = selection.update(Node("me@here"), 100.0)
    assert [peer.key for peer in changed] == [f"{name}@there" for name in wanted]


def test_all_nodes_are_wanted_after_a_topology_first_selected_few():
    peers = Peers()
    selection = Selection(peers, AllIf(3))
    b, c, d = (Node(f"{name}@there") for name in "bcd")
    changed = []
    for newcomers in ([b, c], [d]):
        for known in newcomers:
            selection.offer(peers[known.key], 100.0, known=known, missed=None)
        changed.append([peer.key for peer in selection.update(Node("me@here"), 100.0)])
    assert changed == [[b.key], [c.key, d.key]]


class Clinging(Topology):
    """Selects all nodes that it has ever been offered."""

    offered = frozenset()

    def select(self, local, known):
        self.offered |= known
        return self.offered


def test_gone_node_is_not_wanted_even_if_the_topology_selects_it():
    cluster = Driver(Clinging())
    cluster.observe(Found([numbered(1)]))
    cluster.carry_out()
    cluster.observe(Found([]))
    assert cluster.planned() == [f"disconnect {numbered(1).name}"]
