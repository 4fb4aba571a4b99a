"""Peers that are leaving or have said goodbye, and when they are dialled again."""

from membership_parts import B_ADDRESS, Driver, bare, boot, error, node

from cluster_kit.abc import Found, Gone, Leaving, Seen
from cluster_kit.events import Reason
from cluster_kit.membership.departures import BELATED_S, MAX_ENDED, Departures
from cluster_kit.membership.peer import Peers
from cluster_kit.membership.reconciler import FINAL_RETRY_S
from cluster_kit.membership.reports import ConnectFailed, LinkLeaving, LinkUpdated
from cluster_kit.membership.sources import EXCHANGE

B = node("b", 1)


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


def test_gone_node_does_not_leave_again():
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


def test_leaving_ends_when_a_source_without_boots_loses_and_finds_a_linked_node():
    cluster = leaving_without_a_boot()
    cluster.observe(Found([]))
    assert cluster.membership.leaving == {"b@there"}
    cluster.observe(Found([node("b")]))
    assert cluster.membership.leaving == frozenset()


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


def test_node_that_lapses_after_a_goodbye_has_left():
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


def test_live_node_is_found_again_after_a_forged_goodbye():
    cluster = lost_to_a_goodbye()
    cluster.observe(Seen(B, 60))
    assert cluster.events() == []
    cluster.wait(BELATED_S)
    cluster.observe(Seen(B, 60))
    assert cluster.events() == ["found b@there"]


def test_node_without_a_boot_is_found_again_at_once_after_a_goodbye():
    cluster = Driver()
    cluster.observe(Seen(node("b"), 60))
    cluster.observe(Gone(B.name, Reason.LEFT))
    cluster.observe(Seen(node("b"), 60))
    assert cluster.events() == ["found b@there", "lost b@there left", "found b@there"]


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


def test_each_goodbye_of_a_peer_counts_for_its_own_time():
    departures = Departures(Peers())
    for number, now_s in (1, 0.0), (2, 1.0):
        departures.note_goodbye(B.key, boot(number), now_s, is_proven=False)
    departures.forget_goodbyes(BELATED_S)
    assert not departures.has_ended(B)
    assert departures.has_ended(node("b", 2))
    departures.forget_goodbyes(BELATED_S + 1)
    assert not departures.has_ended(node("b", 2))


def test_goodbye_that_has_not_been_repeated_for_longest_is_forgotten_first():
    departures = Departures(Peers())
    for number in [*range(1, MAX_ENDED + 1), 1, MAX_ENDED + 1]:
        departures.note_goodbye(B.key, boot(number), 0.0, is_proven=False)
    assert departures.has_ended(B)
    assert not departures.has_ended(node("b", 2))


def test_evicted_goodbye_leaves_nothing_behind():
    departures = Departures(peers := Peers())
    for number in range(MAX_ENDED + 1):
        departures.note_goodbye(f"n{number}@there", boot(1), 0.0, is_proven=False)
    assert peers["n0@there"].is_idle(0.0)


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
