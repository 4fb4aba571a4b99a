"""Links that come and go, and what is known of the peers at their other ends."""

import pytest
from membership_parts import Driver, FirstOnly, bare, boot, error, node

from cluster_kit.abc import Found, Gone, Seen
from cluster_kit.events import Reason
from cluster_kit.membership.reconciler import LIVELY_S, Connect
from cluster_kit.membership.reports import Connected, ConnectFailed, LinkUpdated
from cluster_kit.membership.sources import EXCHANGE

B = node("b", 1)


def linked(*observations, **options):
    cluster = Driver(**options)
    for observation in observations:
        cluster.observe(observation)
    cluster.carry_out()
    return cluster.quiet()


# -- up and down -----------------------------------------------------------------------------------


def test_link_is_up_whether_or_not_discovery_knows_the_peer():
    cluster = Driver()
    cluster.link_up(B)
    assert cluster.events() == ["up b@there"]
    assert cluster.membership.up == (B,)
    assert cluster.membership.known == ()
    assert cluster.planned() == []


def test_peer_that_dialled_us_first_is_connected_once_it_is_known():
    cluster = Driver()
    cluster.link_up(B)
    cluster.observe(Seen(B, 50))
    assert cluster.planned() == ["connect b@there"]
    cluster.report(Connected(B, B))
    cluster.wait(20)
    assert cluster.planned() == []
    assert cluster.events() == ["up b@there", "found b@there"]


def test_dial_by_the_peer_ends_the_wait():
    cluster = Driver()
    cluster.observe(Found([B]))
    cluster.refuse("name")
    assert cluster.planned() == []
    cluster.link_up(B)
    assert cluster.planned() == ["connect b@there"]


def test_failed_dials_are_counted_until_the_link_is_up():
    cluster = Driver()
    cluster.observe(Found([B]))
    cluster.refuse("refused", jitter=0.5)
    cluster.wait(0.05)
    cluster.refuse("timeout", jitter=0.5)
    [why] = cluster.membership.failing(cluster.now_s)
    assert (why.key, why.reason, why.tries) == (B.key, "timeout", 2)
    assert why.next_s == pytest.approx(0.1)
    cluster.link_up(B)
    assert cluster.membership.failing(cluster.now_s) == []
    cluster.link_down(B, Reason.CLOSED)
    cluster.wait(0)
    [why] = cluster.membership.unlinked(cluster.now_s)
    assert (why.reason, why.tries) == (None, 0)


def test_node_to_which_no_dial_has_failed_is_unlinked_but_not_failing():
    cluster = linked(Seen(node("c"), 60))
    cluster.wait(10)
    cluster.link_down(node("c"), Reason.CLOSED)
    cluster.observe(Seen(B, 60))
    assert [why.key for why in cluster.membership.unlinked(cluster.now_s)] == [B.key, "c@there"]
    assert cluster.membership.failing(cluster.now_s) == []


def test_node_unknown_to_discovery_is_not_listed_as_unlinked():
    cluster = linked()
    cluster.link_up(B)
    cluster.link_down(B, Reason.CLOSED)
    assert cluster.membership.unlinked(cluster.now_s) == []


def test_dial_is_due_only_for_wanted_nodes():
    cluster = Driver(FirstOnly())
    cluster.observe(Found([B, node("c")]))
    due = [(why.key, why.next_s) for why in cluster.membership.unlinked(cluster.now_s)]
    assert due == [(B.key, 0.0), ("c@there", None)]


@pytest.mark.parametrize(("source", "is_lively"), [("gossip", True), (EXCHANGE, False)])
def test_sighting_is_a_sign_of_life_but_hearsay_is_not(source, is_lively):
    cluster = Driver()
    cluster.observe(Seen(B, 60), source)
    cluster.refuse("timeout")
    cluster.observe(Seen(B, 60), source)
    dials = cluster.membership._rules.peers[B.key].dials
    assert (dials.lively_until_s > cluster.now_s) is is_lively


def test_sighting_of_an_address_is_a_sign_of_life_of_the_node_that_answers_there():
    cluster = Driver()
    cluster.observe(Seen(bare(), 600))
    cluster.carry_out(B)
    cluster.wait(100)
    cluster.link_down(B, Reason.CLOSED)
    cluster.wait(10)
    cluster.observe(Seen(bare(), 600))
    dials = cluster.membership._rules.peers[B.key].dials
    assert dials.lively_until_s == cluster.now_s + LIVELY_S


def test_link_reported_up_twice_is_up_once():
    cluster = linked(Seen(B, 5))
    cluster.link_up(B)
    assert cluster.events() == []


def test_link_of_a_new_boot_replaces_the_old_link():
    cluster = linked(Found([node("b")]))
    cluster.link_up(B)
    cluster.quiet()
    cluster.link_up(node("b", 2))
    assert cluster.events() == ["down b@there replaced", "up b@there"]
    assert [each.boot_id for each in cluster.membership.up] == [boot(2)]


def test_end_of_a_replaced_link_is_not_reported():
    cluster = linked(Seen(B, 5))
    cluster.link_up(node("b", 2))
    cluster.quiet()
    cluster.link_down(B, Reason.CLOSED)
    assert cluster.events() == []
    assert cluster.membership.up == (node("b", 2),)


def test_end_of_a_link_may_be_reported_without_a_boot():
    cluster = linked(Seen(B, 5))
    cluster.link_down(node("b"), Reason.CLOSED)
    assert cluster.events() == ["down b@there closed"]


def test_end_of_a_link_that_never_was_up_is_not_reported():
    cluster = Driver()
    cluster.link_down(B, Reason.CLOSED)
    assert cluster.events() == []


def test_down_carries_the_connectors_reason():
    cluster = linked(Seen(B, 5))
    cluster.link_down(B, Reason.SILENT)
    assert cluster.events() == ["down b@there silent"]


def test_withdrawn_link_stays_up_until_the_connector_says_otherwise():
    cluster = linked(Found([B]))
    cluster.observe(Gone("b@there"))
    cluster.carry_out()
    assert cluster.membership.up == (B,)
    cluster.link_down(B, Reason.UNWANTED)
    assert cluster.events() == ["lost b@there gone", "down b@there unwanted"]


# -- what is known of a linked peer ----------------------------------------------------------------


def test_peer_itself_knows_its_metadata_best():
    cluster = linked(Seen(node("b", 1, zone="old"), 5))
    cluster.report(LinkUpdated(node("b", 1, zone="new")))
    assert cluster.events() == ["updated b@there"]
    assert cluster.membership.known == cluster.membership.up == (node("b", 1, zone="new"),)


def test_discovery_does_not_contradict_a_linked_peer():
    cluster = linked(Found([node("b")]))
    cluster.report(LinkUpdated(node("b", zone="new")))
    cluster.quiet()
    cluster.observe(Found([node("b", zone="old")]))
    assert cluster.events() == []


def test_update_of_a_peer_that_discovery_does_not_know_is_reported():
    cluster = Driver()
    cluster.link_up(B)
    cluster.report(LinkUpdated(node("b", 1, zone="a")))
    assert cluster.events() == ["up b@there", "updated b@there"]


def test_address_that_discovery_lacks_comes_from_the_link():
    cluster = Driver()
    cluster.observe(Found([node("b", address=None)]))
    cluster.link_up(B)
    assert cluster.membership.known == (B,)


def test_address_from_discovery_is_kept_for_the_peer():
    cluster = Driver()
    cluster.observe(Found([node("b")]))
    cluster.link_up(node("b", 1, address="192.168.0.2:1"))
    assert cluster.membership.known == cluster.membership.up == (B,)


def test_metadata_of_another_run_does_not_affect_the_linked_one():
    cluster = linked(Seen(B, 5))
    cluster.observe(Seen(node("b", 2, zone="a"), 5))
    assert cluster.membership.up == (B,)


def test_update_of_an_unlinked_node_is_ignored():
    cluster = Driver()
    cluster.report(LinkUpdated(B))
    assert cluster.events() == []


@pytest.mark.parametrize("reason", [Reason.CLOSED, Reason.LEFT])
def test_metadata_sent_by_the_peer_outlives_the_link(reason):
    cluster = Driver()
    cluster.observe(Found([node("b")]))
    cluster.carry_out(node("b", 1, zone="a"))
    cluster.quiet()
    cluster.link_down(B, reason)
    assert cluster.events() == [f"down b@there {reason}"]
    assert cluster.membership.known == (node("b", 1, zone="a"),)


def test_metadata_sent_by_the_peer_is_forgotten_with_the_peer():
    cluster = Driver()
    cluster.observe(Found([node("b")]))
    cluster.carry_out(node("b", 1, zone="a"))
    cluster.link_down(B, Reason.CLOSED)
    cluster.observe(Found([]))
    cluster.observe(Found([node("b")]))
    assert cluster.membership.known == (node("b"),)


def test_after_the_link_discovery_knows_of_changes():
    cluster = linked(Seen(node("b", 1, zone="a"), 5))
    cluster.link_down(B, Reason.CLOSED)
    cluster.quiet()
    cluster.observe(Seen(node("b", 2, zone="b"), 5))
    assert cluster.events() == ["updated b@there"]
    assert cluster.membership.known == (node("b", 2, zone="b"),)


def test_connector_without_metadata_keeps_the_metadata_of_discovery():
    cluster = Driver()
    cluster.observe(Seen(node("b", 1, zone="a"), 5))
    cluster.link_up(node("b", address=None))
    assert cluster.membership.up == (node("b", 1, zone="a"),)


# -- boots and clocks ------------------------------------------------------------------------------


def test_node_restarted_under_its_name_goes_down_and_comes_up_once():
    cluster = linked(Seen(B, 5))
    successor = node("b", 2)
    cluster.wait(1)
    cluster.link_down(B, Reason.CLOSED)
    cluster.observe(Seen(successor, 5))
    cluster.wait(1)
    cluster.carry_out(successor)
    assert cluster.events() == ["down b@there closed", "updated b@there", "up b@there"]


def test_node_restarted_with_its_clock_set_back_stays_known():
    later, earlier = node("b", 9), node("b", 1)
    cluster = linked(Seen(later, 5))
    cluster.link_down(later, Reason.CLOSED)
    cluster.link_up(earlier)
    cluster.quiet()
    for _ in range(10):
        cluster.wait(1)
        cluster.observe(Seen(earlier, 5))
    assert cluster.events() == []
    assert cluster.membership.known == cluster.membership.up == (earlier,)


def test_another_address_that_leads_back_to_us_says_nothing_of_the_node():
    """Any peer may claim that a node is at an address of ours."""
    cluster = Driver()
    cluster.observe(Seen(B, 50))
    cluster.quiet()
    cluster.plan()
    cluster.report(ConnectFailed(B.evolve(address="10.0.0.99:1"), error("self"), 0.0))
    assert cluster.membership.known == (B,)
    assert cluster.events() == []


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


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (node("b"), node("b", zone="a")),
        (node("b", address="10.0.0.9:1"), node("b", address="10.0.0.9:1")),
    ],
    ids=["same run", "another run"],
)
def test_link_completes_the_node_that_is_found_unless_that_is_another_run(found, shown):
    cluster = Driver(introduces=False)
    cluster.link_up(node("b", zone="a"))
    cluster.observe(Found([found]))
    assert cluster.membership.known == (shown,)


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
