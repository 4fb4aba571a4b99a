"""What discovery says about a linked peer, and what becomes of a link after a goodbye."""

import pytest
from membership_parts import Driver, boot, node

from cluster_kit.abc import Found, Gone, Leaving, Seen
from cluster_kit.events import Reason
from cluster_kit.membership.departures import BELATED_S, LINGER_S, MAX_ENDED
from cluster_kit.membership.doubts import HELD_S, Doubts
from cluster_kit.membership.peer import Peers
from cluster_kit.membership.reports import LinkLeaving

B = node("b", 1)
TTL_S = 20.0


@pytest.fixture
def linked():
    """A driver that is linked to ``B``, which its source sees alive."""
    cluster = Driver()
    cluster.observe(Seen(B, TTL_S))
    cluster.carry_out()
    return cluster.quiet()


@pytest.fixture
def found():
    """A driver that knows ``B`` and has not dialled it yet."""
    cluster = Driver()
    cluster.observe(Seen(B, TTL_S))
    return cluster


def test_hearsay_that_a_linked_peer_is_leaving_is_reported_and_parts_no_link(linked):
    linked.observe(Leaving("b@there"))
    assert linked.events() == ["leaving b@there"]
    assert linked.planned() == []


def test_peer_that_says_itself_that_it_is_leaving_is_wanted_no_longer(linked):
    linked.observe(Leaving("b@there"))
    linked.report(LinkLeaving(B))
    assert linked.planned() == ["disconnect b@there"]
    assert linked.events() == ["leaving b@there"]


def test_run_that_discovery_says_is_leaving_is_not_dialled_while_that_holds(found):
    found.observe(Leaving("b@there"))
    assert found.planned() == []
    assert found.wake_at_s == found.now_s + TTL_S
    found.wait(TTL_S / 2)
    found.observe(Seen(B, TTL_S))
    found.observe(Leaving("b@there"))
    found.wait(TTL_S - 1)
    assert found.planned() == []


def test_word_that_a_peer_is_leaving_lapses_where_it_is_not_said_again(found):
    found.observe(Leaving("b@there"))
    found.wait(TTL_S - 1)
    found.observe(Seen(B, TTL_S))
    assert found.planned() == []
    assert found.wake_at_s == pytest.approx(found.now_s + 1 + LINGER_S)
    found.wait(2)
    assert found.membership.leaving == frozenset()
    assert found.planned() == ["connect b@there"]


def test_word_of_a_link_that_its_peer_is_leaving_does_not_lapse(linked):
    linked.report(LinkLeaving(B))
    linked.observe(Leaving("b@there"))
    linked.wait(TTL_S + 1)
    linked.observe(Seen(B, TTL_S))
    assert linked.membership.leaving == {"b@there"}


def test_word_of_a_link_does_not_lapse_with_the_hearsay_that_it_confirms(linked):
    linked.observe(Leaving("b@there"))
    linked.report(LinkLeaving(B))
    linked.wait(TTL_S + 1)
    linked.observe(Seen(B, TTL_S))
    assert linked.membership.leaving == {"b@there"}


def test_leaving_holds_without_a_limit_where_a_source_vouches_without_one():
    cluster = Driver()
    cluster.observe(Found([B]))
    cluster.observe(Leaving("b@there"))
    cluster.wait(1000)
    assert cluster.planned() == []
    assert cluster.wake_at_s is None


def test_leaving_notice_of_a_run_outlives_the_notice_of_an_earlier_run(found):
    found.observe(Leaving("b@there"))
    found.observe(Found([node("b", 2)]), source="dns")
    found.observe(Leaving("b@there"), source="dns")
    found.wait(TTL_S + 1)
    assert found.membership.leaving == {"b@there"}


def test_where_links_say_nothing_about_peers_hearsay_counts():
    cluster = Driver(introduces=False)
    cluster.observe(Seen(B, TTL_S))
    cluster.carry_out()
    cluster.observe(Leaving("b@there"))
    assert cluster.planned() == ["disconnect b@there"]


@pytest.mark.parametrize("run", [B.boot_id, None])
def test_goodbye_of_a_linked_run_is_not_believed_while_its_link_is_up(linked, run):
    linked.observe(Gone("b@there", Reason.LEFT, run))
    assert linked.events() == []
    assert linked.planned() == []
    assert linked.membership.known == (B,)


def test_goodbye_of_a_linked_run_counts_once_its_link_is_down(linked):
    linked.observe(Gone("b@there", Reason.LEFT, B.boot_id))
    linked.wait(HELD_S - 1)
    linked.link_down(B, Reason.CLOSED)
    assert linked.events() == ["down b@there closed", "lost b@there left"]
    linked.carry_out()
    linked.wait(60)
    assert linked.planned() == []


def test_goodbye_is_reported_once_if_it_comes_over_the_link_too(linked):
    linked.observe(Gone("b@there", Reason.LEFT, B.boot_id))
    linked.link_down(B, Reason.LEFT)
    assert linked.events() == ["down b@there left", "lost b@there left"]


def test_goodbye_of_a_run_whose_link_lasts_is_forgotten(linked):
    linked.observe(Gone("b@there", Reason.LEFT, B.boot_id))
    linked.wait(HELD_S + 1)
    linked.link_down(B, Reason.CLOSED)
    assert linked.events() == ["down b@there closed"]
    linked.wait(1)
    assert linked.planned() == ["connect b@there"]


def test_goodbye_of_a_run_whose_link_lasts_is_forgotten_without_other_events(
    linked,
):
    linked.observe(Gone("b@there", Reason.LEFT, B.boot_id))
    linked.step()
    linked.now_s += HELD_S + 1
    linked.link_down(B, Reason.CLOSED)
    assert linked.events() == ["down b@there closed"]


def test_goodbye_of_another_run_than_the_linked_one_counts_at_once(linked):
    linked.observe(Seen(node("b", 2), TTL_S))
    linked.observe(Gone("b@there", Reason.LEFT, boot(2)))
    assert linked.events() == ["lost b@there replaced"]
    assert linked.planned() == []


def test_peer_linked_and_not_known_is_wanted_no_more_than_before_because_it_is_said_to_leave():
    cluster = Driver()
    cluster.link_up(B)
    cluster.observe(Leaving("b@there"))
    assert cluster.events() == ["up b@there", "leaving b@there"]
    assert cluster.planned() == []


def test_hearsay_that_a_later_run_is_leaving_parts_no_link(linked):
    linked.observe(Seen(node("b", 2), TTL_S))
    linked.observe(Leaving("b@there"))
    assert linked.planned() == []
    linked.link_down(B, Reason.CLOSED)
    linked.wait(60)
    linked.observe(Seen(node("b", 2), TTL_S))
    linked.observe(Leaving("b@there"))
    assert linked.planned() == ["disconnect b@there"]


def test_later_run_that_is_leaving_is_not_dialled_once_the_link_of_the_earlier_one_is_down(linked):
    linked.observe(Seen(node("b", 2), TTL_S))
    linked.observe(Leaving("b@there"))
    linked.link_down(B, Reason.CLOSED)
    linked.wait(TTL_S / 2)
    assert linked.planned() == ["disconnect b@there"]


def test_leaving_report_over_a_doubted_link_counts_once_it_is_up():
    cluster = Driver()
    cluster.observe(Gone("b@there", Reason.LEFT, B.boot_id))
    cluster.link_up(B)
    cluster.report(LinkLeaving(B))
    cluster.observe(Seen(node("b"), TTL_S))
    cluster.observe(Leaving("b@there"))
    cluster.quiet()
    cluster.wait(BELATED_S)
    assert "up b@there" in cluster.events()
    assert cluster.membership.leaving == {"b@there"}
    assert "connect b@there" not in cluster.planned()


def test_leaving_report_over_a_doubted_link_does_not_count_for_the_next_run():
    cluster = Driver()
    for run in (B, node("b", 2)):
        cluster.observe(Gone("b@there", Reason.LEFT, run.boot_id))
    cluster.link_up(B)
    cluster.report(LinkLeaving(B))
    cluster.link_up(node("b", 2))
    cluster.report(LinkLeaving(B))
    cluster.wait(BELATED_S)
    assert cluster.events() == ["up b@there"]


def test_nothing_is_kept_of_a_doubted_link_that_is_down():
    peers = Peers()
    doubts = Doubts(peers)
    doubts.doubt_link(B, 0.0)
    doubts.mark_leaving(B)
    doubts.drop_link(B)
    assert peers[B.key].is_idle(0.0)


def test_nothing_is_kept_of_goodbyes_that_have_been_counted():
    peers = Peers()
    doubts = Doubts(peers)
    doubts.hold_goodbye(peers[B.key], "s", Gone(B.key, Reason.LEFT), 0.0)
    assert doubts.pop_goodbyes(peers[B.key], 1.0)
    assert peers[B.key].is_idle(1.0)


def test_goodbyes_of_all_sources_count_once_the_link_is_down(linked):
    linked.observe(Seen(B, TTL_S), source="t")
    for source in "st":
        linked.observe(Gone("b@there", Reason.LEFT, B.boot_id), source=source)
    linked.link_down(B, Reason.CLOSED)
    assert linked.events() == ["down b@there closed", "lost b@there left"]


def test_goodbye_counts_once_another_run_is_linked(linked):
    linked.observe(Gone("b@there", Reason.LEFT, B.boot_id))
    linked.link_up(node("b", 2))
    assert linked.events() == ["down b@there replaced", "lost b@there left", "up b@there"]
    linked.observe(Seen(B, TTL_S))
    assert linked.events() == []


def test_goodbye_of_no_run_in_particular_is_none_of_the_run_that_is_linked_next(linked):
    linked.observe(Gone("b@there", Reason.LEFT))
    linked.link_up(node("b", 2))
    linked.observe(Seen(node("b", 2), TTL_S))
    linked.link_down(node("b", 2), Reason.CLOSED)
    linked.wait(HELD_S - 1)
    assert linked.planned() == ["connect b@there"]


def test_goodbyes_that_are_held_are_as_many_as_there_are_links_and_sources(linked):
    peers = linked.membership._rules.peers
    for number in range(1, 3000):
        linked.observe(Gone(f"x{number}@there", Reason.LEFT, boot(number)))
        linked.observe(Gone("b@there", Reason.LEFT, boot(number)))
        linked.observe(Gone("b@there", Reason.LEFT, B.boot_id))
        linked.step()
        linked.now_s += 0.001
    assert [key for key, peer in peers.items() if peer.goodbyes] == ["b@there"]
    assert len(peers["b@there"].goodbyes) == 1
    assert len(linked.membership._rules.doubts._held_until_s._heap) == 1
    assert len(linked.membership._rules.departures._ended) == MAX_ENDED
    linked.wait(HELD_S)
    assert not peers["b@there"].goodbyes
    assert linked.planned() == []


@pytest.mark.parametrize("options", [{"introduces": False}, {"keeps_links": False}])
def test_where_links_say_nothing_about_peers_a_goodbye_counts_at_once(options):
    cluster = Driver(**options)
    cluster.observe(Seen(B, TTL_S))
    cluster.carry_out()
    cluster.quiet()
    cluster.observe(Gone("b@there", Reason.LEFT, B.boot_id))
    assert "lost b@there left" in cluster.events()


def test_explicit_absence_disconnects_as_ever(linked):
    linked.observe(Gone("b@there", Reason.GONE))
    assert linked.planned() == ["disconnect b@there"]
