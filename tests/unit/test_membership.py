"""What a membership makes of discovery as a whole, of its own end and of a predecessor."""

from math import inf

from membership_parts import LOCAL, Driver, FirstOnly, bare, boot, error, node

from cluster_kit.abc import Failed, Found, Gone, Seen, Topology
from cluster_kit.events import Reason
from cluster_kit.membership.notifier import BURST, INTERVAL_S
from cluster_kit.membership.reports import (
    Draining,
    Inherited,
    LinkDown,
    LocalChanged,
    SourceFails,
    SourceWorks,
    Stopping,
)
from cluster_kit.node import Node
from cluster_kit.topologies.full_mesh import FullMeshTopology

B, C = node("b", 1), node("c", 1)


class CountingTopology(FullMeshTopology):
    """A full mesh that knows how often it was asked."""

    asked = 0

    def select(self, local, known):
        CountingTopology.asked += 1
        return known


class SameZone(Topology):
    """Links to those in the same zone."""

    def select(self, local, known):
        return frozenset(
            node for node in known if node.metadata["zone"] == local.metadata.get("zone")
        )


# -- found and lost --------------------------------------------------------------------------------


def test_found_node_is_known_and_dialled():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    assert cluster.events() == ["found b@there"]
    assert cluster.membership.known == (B,)
    assert cluster.planned() == ["connect b@there"]


def test_events_name_the_topology():
    cluster = Driver(name="web")
    cluster.observe(Seen(B, 5))
    assert cluster.membership.name == "web"
    assert [event.topology for event in cluster.take_events()] == ["web"]


def test_we_are_never_found():
    cluster = Driver()
    cluster.observe(Found([LOCAL, Node(None, LOCAL.address)]))
    assert cluster.events() == []
    assert cluster.planned() == []


def test_refresh_costs_no_event_and_no_selection():
    cluster = Driver(CountingTopology())
    cluster.observe(Seen(B, 5))
    cluster.plan()
    cluster.quiet()
    asked = CountingTopology.asked
    for _ in range(100):
        cluster.observe(Seen(B, 5))
        cluster.wait(0.01)
        cluster.plan()
    assert cluster.events() == []
    assert CountingTopology.asked == asked


def test_many_observations_cost_one_selection():
    cluster = Driver(CountingTopology())
    asked = CountingTopology.asked
    for number in range(50):
        cluster.observe(Seen(Node(f"n{number}@there"), 5))
    cluster.plan()
    assert CountingTopology.asked == asked + 1


def test_selection_is_never_more_than_was_offered():
    cluster = Driver(FirstOnly())
    cluster.observe(Found([B, C]))
    assert cluster.planned() == ["connect b@there"]


def test_gone_nodes_are_not_offered_for_selection():
    cluster = Driver(FirstOnly())
    cluster.observe(Found([B, C]))
    cluster.carry_out()
    cluster.observe(Found([C]))
    assert cluster.planned() == ["disconnect b@there", "connect c@there"]


def test_metadata_from_discovery_is_an_update():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.quiet()
    cluster.observe(Seen(node("b", 1, zone="a"), 5))
    assert cluster.events() == ["updated b@there"]


def test_failed_lookup_changes_nothing():
    cluster = Driver()
    cluster.observe(Found([B]))
    cluster.carry_out()
    cluster.quiet()
    cluster.observe(Failed(error("failed")))
    assert cluster.events() == []
    assert cluster.planned() == []


def test_node_lapses_only_when_its_source_works_again():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.report(SourceFails("s"))
    cluster.wait(100)
    assert cluster.events() == ["found b@there"]
    cluster.report(SourceWorks("s"))
    cluster.wait(5)
    assert cluster.events() == ["lost b@there silent"]


def test_full_roster_says_so():
    cluster = Driver(max_nodes=1)
    cluster.observe(Seen(B, 5))
    assert not cluster.membership.overflowing_source
    cluster.observe(Seen(C, 5))
    assert cluster.membership.overflowing_source


def test_topology_is_asked_again_when_this_node_changes():
    cluster = Driver(SameZone())
    cluster.observe(Found([node("b", zone="a")]))
    assert cluster.planned() == []
    cluster.report(LocalChanged(LOCAL.evolve(metadata={"zone": "a"})))
    assert cluster.planned() == ["connect b@there"]


def test_own_address_learnt_late_removes_us_from_the_roster():
    cluster = Driver()
    cluster.observe(Found([Node(None, "10.0.0.99:2")]))
    cluster.quiet().plan()
    cluster.report(LocalChanged(LOCAL.evolve(address="10.0.0.99:2")))
    assert cluster.events() == ["lost 10.0.0.99:2 gone"]
    assert cluster.planned() == []


# -- evidence of life ------------------------------------------------------------------------------


def waiting():
    """Return a driver whose next dial is due in more than 15 s."""
    cluster = Driver()
    cluster.observe(Found([B]), source="dns")
    cluster.refuse("name")
    cluster.wait(1)
    return cluster


def test_node_that_another_source_sees_is_dialled_at_once():
    cluster = waiting()
    cluster.observe(Seen(B, 5), source="gossip")
    assert cluster.planned() == ["connect b@there"]


def test_node_that_moved_is_dialled_at_once():
    cluster = waiting()
    cluster.observe(Found([node("b", 1, address="10.7.7.7:1")]), source="dns")
    assert cluster.planned() == ["connect b@there"]


def test_mere_refresh_does_not_end_the_wait():
    cluster = waiting()
    cluster.observe(Found([B]), source="dns")
    assert cluster.planned() == []


# -- this node leaves ------------------------------------------------------------------------------


def test_draining_node_does_not_dial():
    cluster = Driver()
    cluster.report(Draining())
    cluster.observe(Found([B]))
    assert cluster.planned() == []
    assert cluster.events() == ["found b@there"]


# -- a successor goes on ---------------------------------------------------------------------------


def restored(*known, **options):
    cluster = Driver(**options)
    cluster.report(Inherited(known, 30.0))
    return cluster


def test_restored_nodes_are_known_without_being_found_again():
    cluster = restored(B, C)
    assert cluster.events() == []
    assert cluster.membership.known == (B, C)
    assert cluster.planned() == ["connect b@there", "connect c@there"]


def test_restored_node_that_its_source_confirms_is_not_reported():
    cluster = restored(B)
    cluster.observe(Seen(B, 5))
    assert cluster.events() == []
    cluster.wait(5)
    assert cluster.events() == ["lost b@there silent"]


def test_restored_node_that_no_source_vouches_for_is_lost_in_time():
    cluster = restored(B)
    cluster.wait(30)
    assert cluster.events() == ["lost b@there silent"]


def test_restored_node_that_may_not_be_known_is_lost():
    cluster = restored(B, C, LOCAL.evolve(name="old@here"), max_nodes=1)
    assert cluster.events() == ["lost c@there gone", "lost old@here gone"]


# -- when to come back -----------------------------------------------------------------------------


def test_nothing_to_do_needs_no_wake_up():
    cluster = Driver()
    cluster.plan()
    assert cluster.wake_at_s is None


def test_step_starts_at_once_what_its_reports_call_for():
    cluster = Driver()
    cluster.observe(Found([B]))
    assert cluster.wake_at_s is None
    assert cluster.planned() == ["connect b@there"]


def test_node_that_stops_starts_nothing_but_reports_what_it_learns():
    cluster = Driver()
    cluster.observe(Found([B]))
    cluster.carry_out()
    cluster.quiet()
    cluster.report(Stopping(), LinkDown(B, Reason.CLOSED))
    assert cluster.planned() == []
    assert cluster.events() == ["down b@there closed"]


def test_node_that_stops_withdraws_no_request():
    cluster = Driver()
    cluster.observe(Found([B]))
    cluster.carry_out()
    cluster.report(Stopping())
    cluster.observe(Found([]))
    assert cluster.planned() == []


def test_wakes_for_whatever_comes_first():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.refuse("crossed")
    assert cluster.wake_at_s == cluster.now_s + 1
    cluster.wait(1)
    cluster.carry_out()
    assert cluster.planned() == []
    assert cluster.wake_at_s == cluster.now_s + 4


def test_burst_of_events_after_a_pause_counts_from_when_it_comes():
    cluster = Driver()
    cluster.observe(Seen(B, inf))
    cluster.step()
    cluster.now_s += 1000  # without a step
    for _ in range(BURST):
        cluster.link_up(B)
        cluster.link_down(B, Reason.CLOSED)
    cluster.quiet()
    cluster.link_up(B)
    assert cluster.events() == []
    cluster.wait(INTERVAL_S)
    assert cluster.events()[-1] == "up b@there"


def test_nothing_is_kept_of_nodes_that_come_and_go():
    cluster = Driver()
    for number in range(1000):
        cluster.observe(
            Seen(Node(f"n{number}@there", f"10.1.1.1:{number + 1}", boot_id=boot(1)), 1)
        )
        cluster.observe(Seen(bare(f"10.1.1.2:{number + 1}"), 1))
        cluster.refuse()
        cluster.observe(Gone(f"n{number}@there", Reason.GONE))
        cluster.wait(10)
    assert len(cluster.membership._rules.peers) < 300
