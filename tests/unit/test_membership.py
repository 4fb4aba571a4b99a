from math import inf

import pytest
from membership_parts import B_ADDRESS, LOCAL, Driver, bare, boot, error, node

from cluster_kit.abc import Failed, Found, Gone, Leaving, Seen, Topology
from cluster_kit.events import Reason
from cluster_kit.membership.departures import BELATED_S, MAX_ENDED
from cluster_kit.membership.notifier import BURST, INTERVAL_S
from cluster_kit.membership.reconciler import FINAL_RETRY_S, Connect
from cluster_kit.membership.reports import (
    Connected,
    ConnectFailed,
    Disconnected,
    Draining,
    Inherited,
    LinkDown,
    LinkLeaving,
    LinkUpdated,
    LocalChanged,
    Stopping,
)
from cluster_kit.membership.sources import EXCHANGE
from cluster_kit.node import Node
from cluster_kit.topologies.full_mesh import FullMeshTopology

B, C = node("b", 1), node("c", 1)


class CountingTopology(FullMeshTopology):
    """A full mesh that knows how often it was asked."""

    asked = 0

    def select(self, local, known):
        CountingTopology.asked += 1
        return known


class FirstOnly(Topology):
    """Links to the first other node by name, known or not."""

    def select(self, local, known):
        return frozenset(sorted(known, key=lambda node: node.key)[:1]) | {
            Node("stranger@there"),
            local,
        }


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


# -- silence is not a goodbye ----------------------------------------------------------------------


def test_healthy_link_outlives_the_silence_of_discovery():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.quiet()
    cluster.wait(10)
    assert cluster.events() == ["lost b@there silent"]
    assert cluster.planned() == []
    assert cluster.membership.up == (B,)


def test_link_lost_after_the_silence_of_discovery_is_redialled():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.wait(10)
    cluster.link_down(B, Reason.SILENT)
    assert cluster.planned() == ["connect b@there"]


def test_remembered_link_that_is_up_again_is_not_withdrawn():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.link_down(B, Reason.SILENT)
    cluster.wait(10)
    cluster.carry_out()
    cluster.wait(1000)
    assert cluster.planned() == []
    assert cluster.membership.up == (B,)


def test_never_linked_node_that_falls_silent_is_not_dialled_any_more():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.refuse()
    cluster.wait(10)
    assert cluster.planned() == []


def test_explicit_absence_disconnects_at_once():
    cluster = Driver()
    cluster.observe(Found([B]))
    cluster.carry_out()
    cluster.quiet()
    cluster.observe(Found([]))
    assert cluster.events() == ["lost b@there gone"]
    assert cluster.planned() == ["disconnect b@there"]


def test_goodbye_after_silence_disconnects_once_the_link_is_down():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.wait(10)
    cluster.observe(Gone("b@there", Reason.LEFT, B.boot_id))
    assert cluster.planned() == []
    cluster.link_down(B, Reason.CLOSED)
    assert cluster.planned() == ["disconnect b@there"]


def test_goodbye_of_a_missed_peer_ends_the_redial():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.wait(4)
    cluster.link_down(B, Reason.SILENT)
    cluster.wait(10)
    cluster.refuse(jitter=1.0)
    cluster.observe(Gone("b@there", Reason.LEFT))
    cluster.carry_out()
    assert cluster.planned() == []
    assert cluster.wake_at_s is None


def test_absence_of_a_missed_peer_ends_the_redial():
    cluster = Driver()
    cluster.observe(Found([B]))
    cluster.carry_out()
    cluster.link_down(B, Reason.CLOSED)
    cluster.observe(Found([]))
    cluster.carry_out()
    assert cluster.planned() == []
    assert cluster.wake_at_s is None


def test_goodbye_of_a_stranger_changes_nothing():
    cluster = Driver()
    cluster.observe(Gone("b@there", Reason.LEFT))
    assert cluster.events() == []


def test_goodbye_of_an_earlier_boot_forgets_no_node():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.wait(10)
    cluster.observe(Gone("b@there", Reason.LEFT, boot(77)))
    assert cluster.planned() == []


def test_link_of_one_who_is_gone_is_not_missed_when_it_closes():
    cluster = Driver()
    cluster.observe(Found([B]))
    cluster.carry_out()
    cluster.observe(Found([]))
    cluster.carry_out()
    cluster.link_down(B, Reason.CLOSED)
    assert cluster.planned() == []
    assert cluster.wake_at_s is None


def test_without_pruning_a_goodbye_changes_nothing():
    cluster = Driver(prune=False)
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.observe(Gone("b@there"))
    cluster.wait(10)
    assert cluster.planned() == []
    assert cluster.membership.known == (B,)


# -- lost peers are remembered ---------------------------------------------------------------------


def test_lost_peer_is_redialled_for_as_long_as_it_is_remembered():
    cluster = Driver(remember_s=60)
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.wait(10)
    cluster.link_down(B, Reason.SILENT)
    for _ in range(11):
        cluster.refuse()
        cluster.wait(5)
    assert cluster.planned() == ["connect b@there"]
    cluster.report(ConnectFailed(B, error("refused"), 0.5))
    cluster.wait(5)
    assert cluster.planned() == []
    assert cluster.wake_at_s is None


def test_peer_that_discovery_loses_after_the_link_is_remembered_for_as_long():
    cluster = Driver(remember_s=60)
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.link_down(B, Reason.SILENT)
    cluster.wait(10)
    cluster.refuse()
    cluster.wait(50)
    assert cluster.planned() == []
    assert cluster.wake_at_s is None


def test_missed_peer_that_turns_out_to_be_us_is_forgotten():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.wait(10)
    cluster.link_down(B, Reason.CLOSED)
    cluster.refuse("self")
    cluster.wait(31)
    assert cluster.planned() == []
    assert cluster.wake_at_s is None


def test_lost_peer_is_redialled_at_its_last_address():
    cluster = Driver()
    moved = B.evolve(address="10.5.5.5:1")
    cluster.observe(Seen(node("b", 1, address=None), 5))
    cluster.link_up(moved)
    cluster.wait(10)
    cluster.link_down(moved, Reason.CLOSED)
    assert [command.node for command in cluster.plan()] == [moved]


def test_topology_decides_about_remembered_peers_too():
    cluster = Driver(FirstOnly())
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.link_down(B, Reason.SILENT)
    cluster.now_s += 10
    cluster.observe(Seen(node("a", 1), 5))
    cluster.observe(Seen(C, 5))
    assert cluster.planned() == ["disconnect b@there", "connect a@there"]


def test_peer_that_only_dialled_us_is_not_remembered():
    cluster = Driver()
    cluster.link_up(B)
    cluster.link_down(B, Reason.CLOSED)
    assert cluster.planned() == []
    assert cluster.wake_at_s is None


def test_link_that_neither_end_wants_is_not_missed():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.wait(10)
    cluster.link_down(B, Reason.UNWANTED)
    assert cluster.planned() == ["disconnect b@there"]


def test_connector_that_keeps_no_links_lets_go_of_whatever_is_lost():
    cluster = Driver(keeps_links=False)
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.wait(10)
    assert cluster.planned() == ["disconnect b@there"]
    cluster.link_down(B, Reason.SILENT)
    cluster.report(Disconnected(B))
    assert cluster.planned() == []


def test_connector_that_keeps_no_links_misses_no_node():
    cluster = Driver(keeps_links=False)
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.wait(4)
    cluster.link_down(B, Reason.CLOSED)
    cluster.wait(1)
    assert cluster.planned() == ["disconnect b@there"]


# -- links that say nothing about the peer ---------------------------------------------------------


def test_change_that_discovery_shows_reaches_the_application_and_the_connector():
    cluster = Driver(introduces=False)
    cluster.observe(Seen(node("b", 1, zone="a"), 5))
    cluster.carry_out()
    cluster.quiet()
    now = node("b", 1, zone="b")
    cluster.observe(Seen(now, 5))
    assert cluster.plan() == [Connect(now)]
    cluster.report(LinkUpdated(now))
    cluster.report(Connected(now, now))
    assert cluster.events() == ["updated b@there"]
    assert cluster.membership.up == (now,)
    assert cluster.planned() == []


@pytest.mark.parametrize(
    ("before", "after"),
    [(node("b", 1), node("b", 2)), (node("b"), node("b", address="10.0.0.9:1"))],
    ids=["boot", "address"],
)
def test_another_run_that_discovery_shows_replaces_the_link(before, after):
    cluster = Driver(introduces=False)
    cluster.observe(Found([before]))
    cluster.carry_out()
    cluster.quiet()
    cluster.observe(Found([after]))
    assert cluster.membership.up == (before,)
    assert cluster.plan() == [Connect(after)]
    cluster.link_down(before, Reason.REPLACED)
    cluster.link_up(after)
    cluster.report(Connected(after, after))
    events = [event for event in cluster.events() if not event.startswith("updated")]
    assert events == ["down b@there replaced", "up b@there"]
    assert cluster.membership.up == cluster.membership.known == (after,)
    assert cluster.planned() == []


def test_another_run_that_is_found_while_the_link_is_up_is_shown_as_found():
    cluster = Driver(introduces=False)
    cluster.link_up(node("b", 1))
    cluster.observe(Seen(node("b", 2), 5))
    assert cluster.membership.known == (node("b", 2),)
    assert cluster.membership.up == (node("b", 1),)


def test_metadata_that_discovery_clears_is_cleared_where_it_is_all_there_is():
    cluster = Driver(introduces=False, keeps_links=False)
    cluster.observe(Seen(node("b", 1, zone="a"), 5))
    cluster.carry_out()
    cluster.quiet()
    now = node("b", 1)
    cluster.observe(Seen(now, 5))
    assert cluster.plan() == [Connect(now)]
    cluster.report(LinkUpdated(now))
    cluster.report(Connected(now, now))
    assert cluster.events() == ["updated b@there"]
    assert cluster.membership.up == cluster.membership.known == (now,)


def test_change_during_the_connect_reaches_the_connector_after_it():
    cluster = Driver(introduces=False)
    cluster.observe(Seen(node("b", 1), 5))
    [command] = cluster.plan()
    cluster.link_up(command.node)
    cluster.observe(Seen(node("b", 1, zone="a"), 5))
    assert cluster.plan() == []
    cluster.report(Connected(command.node, command.node))
    assert cluster.plan() == [Connect(node("b", 1, zone="a"))]


# -- peers that leave ------------------------------------------------------------------------------


def test_leaving_node_is_not_dialled():
    cluster = Driver()
    cluster.observe(Found([B]))
    cluster.observe(Leaving("b@there"))
    assert cluster.events() == ["found b@there", "leaving b@there"]
    assert cluster.membership.leaving == {"b@there"}
    assert cluster.planned() == []


def test_node_known_by_its_address_is_leaving_by_its_address():
    cluster = Driver()
    cluster.observe(Found([bare()]))
    cluster.carry_out(B)
    cluster.quiet()
    cluster.observe(Leaving(B_ADDRESS))
    assert cluster.events() == ["leaving b@there"]


def test_leaving_node_keeps_its_link_in_the_view():
    cluster = Driver()
    cluster.observe(Found([B]))
    cluster.carry_out()
    cluster.report(LinkLeaving(B))
    assert cluster.membership.up == (B,)
    assert cluster.membership.known == (B,)


def test_leaving_is_reported_once_however_many_say_so():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.quiet()
    cluster.report(LinkLeaving(B))
    cluster.report(LinkLeaving(B))
    cluster.observe(Leaving("b@there"))
    cluster.observe(Seen(B, 5))
    assert cluster.events() == ["leaving b@there"]


def test_the_run_that_leaves_is_the_one_that_its_source_knows():
    cluster = Driver()
    cluster.observe(Seen(node("b", 2), 5), source="hearsay")
    cluster.observe(Seen(node("b", 1), 5))
    cluster.quiet()
    cluster.observe(Leaving("b@there"))
    assert cluster.events() == []
    cluster.observe(Leaving("b@there"), source="hearsay")
    assert cluster.events() == ["leaving b@there"]


def test_stranger_that_leaves_changes_nothing():
    cluster = Driver()
    cluster.observe(Leaving("b@there"))
    cluster.report(LinkLeaving(B))
    assert cluster.events() == []
    assert cluster.membership.leaving == frozenset()


def test_one_who_is_gone_does_not_leave_again():
    cluster = Driver()
    cluster.observe(Found([B]))
    cluster.observe(Found([]))
    cluster.quiet()
    cluster.observe(Leaving("b@there"))
    assert cluster.events() == []


def test_linked_peer_that_discovery_does_not_know_can_leave():
    cluster = Driver()
    cluster.link_up(B)
    cluster.report(LinkLeaving(B))
    assert cluster.events() == ["up b@there", "leaving b@there"]
    assert cluster.membership.leaving == {"b@there"}


def test_leaving_peer_that_discovery_loses_and_finds_again_is_still_leaving():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.report(LinkLeaving(B))
    cluster.wait(10)
    cluster.observe(Seen(B, 5))
    assert cluster.membership.leaving == {"b@there"}


def leaving_without_a_boot():
    """Return a driver whose source, which knows no boots, says that a linked peer is leaving."""
    cluster = Driver()
    cluster.observe(Found([node("b")]))
    cluster.carry_out(B)
    cluster.wait(100)
    cluster.observe(Leaving("b@there"))
    assert cluster.planned() == []
    return cluster


def test_leaving_lasts_beyond_the_link_for_a_source_without_boots():
    cluster = leaving_without_a_boot()
    cluster.link_down(B, Reason.CLOSED)
    cluster.wait(100)
    assert cluster.membership.leaving == {"b@there"}
    assert cluster.planned() == ["disconnect b@there"]


def test_leaving_ends_when_a_source_without_boots_finds_the_node_again():
    cluster = leaving_without_a_boot()
    cluster.link_down(B, Reason.CLOSED)
    cluster.carry_out()
    cluster.observe(Found([]))
    cluster.observe(Found([node("b")]))
    assert cluster.membership.leaving == frozenset()
    cluster.wait(10)
    assert cluster.planned() == ["connect b@there"]


def test_leaving_ends_when_a_link_to_another_boot_takes_over():
    cluster = leaving_without_a_boot()
    cluster.link_up(node("b", 2))
    assert cluster.planned() == ["connect b@there"]


def test_new_boot_of_a_leaving_node_is_dialled():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.observe(Leaving("b@there"))
    cluster.observe(Seen(node("b", 2), 5))
    assert cluster.membership.leaving == frozenset()
    assert cluster.planned() == ["connect b@there"]


def test_goodbye_of_a_newer_run_is_none_of_the_linked_one_which_it_replaced():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.quiet()
    cluster.observe(Seen(node("b", 2), 5))
    cluster.observe(Leaving("b@there"))
    assert cluster.planned() == []
    cluster.observe(Gone("b@there", Reason.LEFT, boot(2)))
    assert cluster.events() == ["lost b@there replaced"]
    assert cluster.planned() == []


def test_newer_run_that_is_leaving_is_reported_once_the_link_of_the_older_one_is_down():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.quiet()
    cluster.observe(Seen(node("b", 2), 5))
    cluster.observe(Leaving("b@there"))
    cluster.link_down(B, Reason.CLOSED)
    cluster.observe(Leaving("b@there"))
    assert cluster.events() == ["down b@there closed", "updated b@there", "leaving b@there"]
    assert cluster.membership.known == (node("b", 2),)


def test_leaving_node_without_a_boot_is_dialled_when_it_is_found_again():
    cluster = Driver()
    cluster.observe(Found([node("b")]))
    cluster.observe(Leaving("b@there"))
    cluster.observe(Found([]))
    cluster.observe(Found([node("b")]))
    assert cluster.planned() == ["connect b@there"]


def test_link_of_a_leaving_node_is_not_missed():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.report(LinkLeaving(B))
    cluster.link_down(B, Reason.CLOSED)
    cluster.wait(10)
    assert cluster.planned() == ["disconnect b@there"]


def test_boot_that_said_goodbye_is_not_dialled_though_still_vouched_for():
    cluster = Driver()
    cluster.observe(Found([B]))
    cluster.carry_out()
    cluster.link_down(B, Reason.LEFT)
    cluster.carry_out()
    cluster.wait(1000)
    assert cluster.planned() == []
    cluster.observe(Found([node("b", 2)]))
    assert cluster.planned() == ["connect b@there"]


def test_boot_that_said_goodbye_and_dials_us_is_back():
    cluster = Driver()
    cluster.observe(Found([B]))
    cluster.carry_out()
    cluster.link_down(B, Reason.LEFT)
    cluster.carry_out()
    cluster.link_up(B)
    assert cluster.planned() == ["connect b@there"]


def test_announcement_overtaken_by_the_goodbye_over_the_link_changes_nothing():
    cluster = Driver()
    cluster.link_up(B)
    cluster.link_down(B, Reason.LEFT)
    cluster.events()
    cluster.observe(Seen(B, 5))
    cluster.observe(Seen(B, 5), EXCHANGE)
    assert cluster.events() == []
    cluster.observe(Seen(node("b", 2), 5))
    assert cluster.events() == ["found b@there"]


def test_goodbye_ends_the_claims_of_linked_peers_about_that_run():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.observe(Seen(B, 100), EXCHANGE)
    cluster.observe(Gone(B.name, Reason.LEFT, B.boot_id))
    assert cluster.events() == ["found b@there", "lost b@there left"]


def test_who_lapses_after_a_goodbye_has_left():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.link_up(B)
    cluster.link_down(B, Reason.LEFT)
    cluster.events()
    cluster.wait(6)
    assert cluster.events() == ["lost b@there left"]


def lost_to_a_goodbye():
    """Return a driver that has received the goodbye of a node that it knew."""
    cluster = Driver()
    cluster.observe(Seen(B, 60))
    cluster.observe(Gone(B.name, Reason.LEFT, B.boot_id))
    assert cluster.events() == ["found b@there", "lost b@there left"]
    return cluster


def test_link_overtaken_by_the_goodbye_of_its_peer_is_not_reported():
    cluster = lost_to_a_goodbye()
    cluster.link_up(B)
    cluster.report(LinkUpdated(node("b", 1, zone="a")))
    cluster.report(LinkLeaving(B))
    cluster.link_down(B, Reason.LEFT)
    cluster.wait(BELATED_S)
    assert cluster.events() == []
    cluster.link_up(node("b", 2))
    assert cluster.events() == ["up b@there"]


def test_link_that_outlives_a_goodbye_of_its_peer_is_reported_after_all():
    cluster = lost_to_a_goodbye()
    cluster.link_up(B)
    cluster.report(LinkUpdated(node("b", 1, zone="a")))
    cluster.plan()
    assert cluster.wake_at_s == cluster.now_s + BELATED_S
    cluster.wait(BELATED_S)
    assert cluster.events() == ["up b@there"]
    assert cluster.membership.up == (node("b", 1, zone="a"),)


def test_link_to_a_node_that_a_source_vouches_for_is_reported_despite_a_goodbye():
    cluster = Driver()
    cluster.observe(Found([B]), source="list")
    cluster.observe(Gone(B.name, Reason.LEFT, B.boot_id))
    cluster.link_up(B)
    assert cluster.events() == ["found b@there", "up b@there"]


def test_link_to_the_run_after_the_one_that_said_goodbye_is_reported():
    cluster = lost_to_a_goodbye()
    cluster.link_up(B)
    cluster.link_up(node("b", 2))
    cluster.link_down(B, Reason.REPLACED)
    assert cluster.events() == ["up b@there"]
    assert cluster.membership.up == (node("b", 2),)


def test_link_that_takes_the_place_of_another_ends_it_even_after_a_goodbye():
    cluster = Driver()
    cluster.link_up(node("b", 2))
    cluster.observe(Gone(B.name, Reason.LEFT, B.boot_id))
    cluster.link_up(B)
    assert cluster.events() == ["up b@there", "down b@there replaced"]
    cluster.wait(BELATED_S)
    assert cluster.events() == ["up b@there"]


def test_link_of_a_run_that_said_goodbye_over_another_one_is_reported_as_soon():
    cluster = Driver()
    cluster.observe(Seen(node("b", 2), 600))
    cluster.link_up(B)
    cluster.link_down(B, Reason.LEFT)
    cluster.events()
    cluster.link_up(B)
    cluster.wait(BELATED_S)
    assert cluster.events() == ["up b@there"]


def test_mirror_that_is_leaving_is_not_dialled():
    cluster = Driver()
    cluster.observe(Found([B]))
    (dial,) = cluster.plan()
    cluster.link_up(B)
    cluster.report(LinkLeaving(B))
    cluster.report(ConnectFailed(dial.node, error("self"), 0.0))
    cluster.wait(FINAL_RETRY_S)
    assert "connect b@there" not in cluster.planned()


def test_who_goes_on_after_a_forged_goodbye_is_found_again():
    cluster = lost_to_a_goodbye()
    cluster.observe(Seen(B, 60))
    assert cluster.events() == []
    cluster.wait(BELATED_S)
    cluster.observe(Seen(B, 60))
    assert cluster.events() == ["found b@there"]


def test_crash_is_no_goodbye():
    cluster = Driver()
    cluster.observe(Seen(B, 60))
    cluster.observe(Gone(B.name, Reason.GONE, B.boot_id))
    cluster.link_up(B)
    assert cluster.events() == ["found b@there", "lost b@there gone", "up b@there"]


def test_only_so_many_goodbyes_are_remembered():
    cluster = Driver()
    for number in range(1, 2 * MAX_ENDED):
        cluster.observe(Gone(B.name, Reason.LEFT, node("b", number).boot_id))
    assert len(cluster.membership._rules.departures._ended) == MAX_ENDED
    cluster.wait(BELATED_S)
    cluster.plan()
    assert cluster.wake_at_s is None


def test_newer_boot_known_before_the_goodbye_is_dialled_at_once():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.carry_out()
    cluster.wait(1)
    cluster.observe(Seen(node("b", 2), 5))
    cluster.wait(10)
    cluster.observe(Seen(node("b", 2), 5))
    cluster.link_down(B, Reason.LEFT)
    assert cluster.planned() == ["connect b@there"]


def test_node_of_a_source_without_boots_is_redialled_a_second_after_its_goodbye():
    cluster = Driver()
    cluster.observe(Found([node("b")]))
    cluster.carry_out(B)
    cluster.wait(100)
    cluster.report(LinkLeaving(B))
    cluster.link_down(B, Reason.LEFT)
    assert cluster.planned() == []
    assert cluster.wake_at_s == cluster.now_s + 1
    cluster.wait(1)
    assert cluster.planned() == ["connect b@there"]


def test_goodbye_counts_for_links_that_know_no_boots():
    cluster = Driver()
    nameless = node("b")
    cluster.observe(Found([nameless]))
    cluster.carry_out()
    cluster.wait(100)
    cluster.report(LinkLeaving(nameless))
    cluster.link_down(nameless, Reason.LEFT)
    cluster.wait(1)
    cluster.carry_out()
    assert cluster.membership.up == (nameless,)


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


def test_wakes_for_whatever_comes_first():
    cluster = Driver()
    cluster.observe(Seen(B, 5))
    cluster.refuse("crossed")
    assert cluster.wake_at_s == cluster.now_s + 1
    cluster.wait(1)
    cluster.carry_out()
    assert cluster.planned() == []
    assert cluster.wake_at_s == cluster.now_s + 4


# -- ourselves and others at an address ------------------------------------------------------------


@pytest.mark.parametrize(
    "us", [bare(), node("b", address=None), B], ids=["address", "name", "both"]
)
def test_node_that_leads_back_to_us_is_not_known_but_tried_again(us):
    cluster = Driver()
    cluster.observe(Found([us]))
    cluster.refuse("self")
    assert cluster.events() == [f"found {us}", f"lost {us} gone"]
    cluster.observe(Found([us]))
    assert cluster.planned() == []
    cluster.wait(FINAL_RETRY_S)
    assert cluster.planned() == [f"connect {us}"]
    assert cluster.membership.finds_only_itself
    assert cluster.membership.known == ()
    assert cluster.events() == []


def test_address_that_led_back_to_us_may_lead_to_another_node_the_next_time():
    cluster = Driver()
    cluster.observe(Found([bare()]))
    cluster.refuse("self")
    cluster.wait(FINAL_RETRY_S)
    cluster.quiet().carry_out(B)
    assert cluster.events() == ["up b@there", "found b@there"]
    assert cluster.membership.known == cluster.membership.up == (B,)
    assert not cluster.membership.finds_only_itself


def test_node_that_has_found_another_does_not_find_only_itself():
    cluster = Driver()
    cluster.observe(Found([LOCAL, B]))
    assert not cluster.membership.finds_only_itself


def test_address_that_led_back_to_us_is_dialled_no_more_when_no_source_vouches_for_it():
    cluster = Driver()
    cluster.observe(Found([bare()]))
    cluster.refuse("self")
    cluster.observe(Found([]))
    cluster.wait(1000)
    assert cluster.planned() == []
    assert not cluster.membership.finds_only_itself


def test_what_a_peer_claims_as_its_address_is_no_proof():
    cluster = Driver()
    cluster.observe(Found([bare()]))
    cluster.link_up(C.evolve(address=B_ADDRESS))
    assert cluster.membership.known == (bare(),)
    assert cluster.planned() == [f"connect {B_ADDRESS}"]


def test_address_gets_its_name_from_the_link():
    cluster = Driver()
    cluster.observe(Found([bare()]))
    cluster.carry_out(B)
    assert cluster.events() == [
        f"found {B_ADDRESS}",
        "up b@there",
        f"lost {B_ADDRESS} replaced",
        "found b@there",
    ]
    assert cluster.planned() == []
    assert cluster.membership.known == cluster.membership.up == (B,)


def test_named_node_found_by_its_address_too_is_not_found_twice():
    cluster = Driver()
    cluster.observe(Seen(B, 5), source="gossip")
    cluster.observe(Found([bare()]), source="dns")
    assert cluster.events() == ["found b@there"]
    assert cluster.planned() == ["connect b@there"]


def test_address_under_which_a_peer_was_reached_is_dialled_again():
    cluster = Driver()
    behind = B.evolve(address="192.168.0.2:1")
    cluster.observe(Found([bare()]))
    cluster.plan()
    cluster.link_up(behind)
    cluster.report(Connected(bare(), behind))
    cluster.wait(100)
    cluster.link_down(behind, Reason.CLOSED)
    assert [command.node for command in cluster.plan()] == [B]


def test_refused_dial_does_not_put_the_name_in_doubt():
    cluster = Driver()
    cluster.observe(Found([bare()]))
    cluster.carry_out(B)
    cluster.wait(100)
    cluster.link_down(B, Reason.CLOSED)
    cluster.quiet()
    cluster.refuse("refused")
    assert cluster.events() == []


def test_other_name_of_a_node_without_an_address_is_only_an_error():
    cluster = Driver()
    cluster.observe(Found([node("b", address=None)]))
    cluster.refuse("name")
    assert cluster.events() == ["found b@there"]


def test_other_name_at_an_address_is_found_out():
    cluster = Driver()
    cluster.observe(Found([bare()]))
    cluster.carry_out(B)
    cluster.wait(100)
    cluster.link_down(B, Reason.CLOSED)
    cluster.quiet()
    cluster.refuse("name")
    assert cluster.events() == ["lost b@there replaced", f"found {B_ADDRESS}"]
    newcomer = C.evolve(address=B_ADDRESS)
    cluster.carry_out(newcomer)
    assert cluster.events() == ["up c@there", f"lost {B_ADDRESS} replaced", "found c@there"]
    cluster.wait(1000)
    assert cluster.planned() == []


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
