"""Which events the application gets when nodes change faster than it should have to follow."""

from itertools import pairwise

import pytest
from membership_parts import node, shown

from cluster_kit.events import Reason
from cluster_kit.membership.notifier import BURST, INTERVAL_S, TOTAL_INTERVAL_S, UPDATES, Notifier
from cluster_kit.membership.peer import Peers

B = node("b", 1)


class Clock:
    """Notifier with a clock."""

    def __init__(self, burst=1000):
        self.peers = Peers()
        self.notifier = Notifier(self.peers, "web", burst)
        self.now_s = 100.0
        self.new = []

    @property
    def up(self):
        return {key: peer.reported_up for key, peer in self.peers.items() if peer.reported_up}

    def show(self, known, up=None, reason=Reason.CLOSED, key="b@there", leaving=False, lost=None):
        self.notifier.show(
            self.peers[key],
            self.now_s,
            known=known,
            up=up,
            leaving=leaving,
            reason=reason,
            lost=lost,
        )

    def wait(self, seconds):
        self.now_s += seconds
        self.new += self.notifier.take(self.now_s)

    def take(self):
        events, self.new = [*self.new, *self.notifier.take(self.now_s)], []
        return events

    def events(self):
        return [shown(event) for event in self.take()]

    def flap(self, times):
        """Link the node and break the link, ``times`` times."""
        for _ in range(times):
            self.show(B, B)
            self.show(B, None)


def test_metadata_that_changes_all_the_time_is_reported_now_and_then_and_the_last_in_the_end():
    clock = Clock()
    clock.show(B, B)
    clock.events()
    reported = []
    for number in range(2000):
        clock.show(*2 * [node("b", 1, count=str(number))])
        clock.wait(0.01)
        reported += [(clock.now_s, event.node.metadata["count"]) for event in clock.take()]
    assert len(reported) <= UPDATES + 20 / INTERVAL_S
    times = [at_s for at_s, _ in reported[UPDATES:]]
    assert all(later - sooner > INTERVAL_S * 0.99 for sooner, later in pairwise(times))
    clock.wait(INTERVAL_S)
    reported += [(clock.now_s, event.node.metadata["count"]) for event in clock.take()]
    assert reported[-1][1] == "1999"
    assert clock.notifier.next_s() is None


def test_updates_of_one_turn_are_reported_as_one():
    clock = Clock()
    clock.show(B, B)
    clock.events()
    for number in range(100):
        clock.show(*2 * [node("b", 1, count=str(number))])
    [event] = clock.take()
    assert event.node.metadata == {"count": "99"}


def test_update_that_is_reverted_is_not_reported():
    clock = Clock()
    clock.show(B, B)
    clock.events()
    clock.show(*2 * [node("b", 1, zone="a")])
    clock.show(B, B)
    assert clock.notifier.next_s() is None
    assert clock.events() == []


def test_node_that_floods_with_updates_goes_down_at_once():
    clock = Clock()
    clock.show(B, B)
    clock.events()
    for number in range(1000):
        clock.show(*2 * [node("b", 1, count=str(number))])
        clock.wait(0.01)
    clock.events()
    clock.show(None, None, Reason.SILENT)
    assert clock.events() == ["down b@there silent", "lost b@there silent"]


def test_link_that_flaps_is_reported_now_and_then_and_how_it_ends():
    clock = Clock()
    clock.flap(100)
    assert len(clock.events()) == BURST + 1  # the first is found and up
    clock.show(B, B)
    clock.wait(INTERVAL_S)
    assert clock.events() in (["up b@there"], ["down b@there closed", "up b@there"])
    assert clock.up == {"b@there": B}


def test_link_that_breaks_while_events_are_held_back_is_reported():
    clock = Clock()
    clock.show(B)
    for _ in range(BURST // 2 - 1):
        clock.show(B, B)
        clock.show(B, None)
    clock.show(B, B)
    assert clock.events()[-1] == "up b@there"
    clock.show(B, None, Reason.SILENT)
    clock.show(node("b", 2), node("b", 2))
    clock.show(*2 * [node("b", 2, zone="a")])
    assert clock.events() == []
    clock.wait(INTERVAL_S)
    assert clock.events() == ["down b@there silent", "up b@there"]
    assert clock.up == {"b@there": node("b", 2, zone="a")}


def test_held_back_loss_keeps_its_own_reason():
    clock = Clock()
    clock.flap(100)
    clock.show(B, B)
    clock.wait(INTERVAL_S)
    clock.events()
    clock.flap(100)
    clock.show(B, B)
    clock.show(None, B, Reason.SILENT)
    clock.show(None, None, Reason.LEFT)
    clock.wait(10 * INTERVAL_S)
    losses = [event for event in clock.events() if event.startswith("lost")]
    assert losses == ["lost b@there silent"]


def test_held_back_break_keeps_its_own_reason():
    clock = Clock()
    clock.show(B)
    clock.flap(BURST // 2 - 1)
    clock.show(B, B)
    clock.show(B, None, Reason.SILENT)
    clock.show(None, None, Reason.GONE)
    clock.wait(10 * INTERVAL_S)
    assert clock.events()[-2:] == ["down b@there silent", "lost b@there gone"]


def test_node_that_is_leaving_while_events_are_held_back_is_reported_after_them():
    clock = Clock()
    clock.flap(100)
    clock.show(B, B)
    clock.events()
    clock.show(B, B, leaving=True)
    assert clock.events() == []
    clock.wait(INTERVAL_S)
    assert clock.events()[-2:] == ["up b@there", "leaving b@there"]


def test_departure_of_a_run_does_not_count_for_the_next_one():
    clock = Clock()
    clock.flap(100)
    clock.show(B, B, leaving=True)
    clock.show(None, None)
    clock.show(node("b", 2), node("b", 2))
    clock.wait(INTERVAL_S)
    assert "leaving b@there" not in clock.events()


def test_departure_is_reported_once_for_each_run():
    clock = Clock()
    for boot in (1, 2):
        run = node("b", boot)
        clock.show(run)
        clock.show(run, leaving=True)
        clock.show(run, leaving=True)
    departures = [event for event in clock.events() if event.startswith("leaving")]
    assert departures == ["leaving b@there", "leaving b@there"]


def test_departure_is_not_reported_again_with_an_update():
    clock = Clock()
    clock.show(B, B, leaving=True)
    clock.events()
    clock.show(*2 * [node("b", 1, zone="a")], leaving=True)
    assert clock.events() == ["updated b@there"]


def test_repeated_departure_holds_back_no_event():
    clock = Clock()
    for _ in range(100):
        clock.show(B, B, leaving=True)
    assert clock.events() == ["found b@there", "up b@there", "leaving b@there"]
    clock.show(None)
    assert clock.events() == ["down b@there closed", "lost b@there closed"]


def test_node_lost_before_it_was_reported_causes_no_event():
    clock = Clock(burst=0)
    clock.show(B)
    clock.show(None, lost=B)
    clock.wait(1)
    assert clock.events() == []


@pytest.mark.parametrize("boot", [3, 1], ids=["newer", "newer, with its clock set back"])
def test_loss_of_a_run_that_was_never_shown_is_the_replacement_of_the_one_that_was(boot):
    clock = Clock()
    clock.show(node("b", 2))
    clock.events()
    for number in range(UPDATES):
        clock.show(node("b", 2, count=str(number)))
        clock.wait(0)
    clock.events()
    unshown = node("b", boot)
    clock.show(unshown)
    clock.show(None, reason=Reason.LEFT, lost=unshown)
    assert clock.events() == ["lost b@there replaced"]


def test_loss_of_the_run_that_is_shown_keeps_its_reason():
    clock = Clock()
    clock.show(B)
    clock.show(None, reason=Reason.LEFT, lost=node("b", 1, count="7"))
    assert clock.events()[-1] == "lost b@there left"


def test_other_nodes_are_reported_at_once():
    clock = Clock()
    clock.flap(100)
    clock.events()
    clock.show(node("c"), key="c@there")
    assert clock.events() == ["found c@there"]


def test_nodes_that_come_and_go_in_any_number_are_reported_at_a_bounded_rate():
    clock = Clock(burst=10)
    for number in range(100):
        name = f"n{number:02}"
        clock.show(node(name), key=f"{name}@there")
    assert clock.events() == [f"found n{number:02}@there" for number in range(10)]
    clock.wait(5 * TOTAL_INTERVAL_S)
    assert clock.events() == [f"found n{number:02}@there" for number in range(10, 15)]
    for number in range(50, 100):
        clock.show(None, key=f"n{number}@there")
    for _ in range(10):
        clock.wait(10 * TOTAL_INTERVAL_S)
    assert clock.events() == [f"found n{number}@there" for number in range(15, 50)]
    assert clock.notifier.next_s() is None
    assert not any(peer.held for peer in clock.peers.values())


def test_nothing_is_kept_of_nodes_that_are_gone():
    clock = Clock()
    for number in range(1000):
        clock.show(node("b"), key=f"n{number}@there")
        clock.show(None, key=f"n{number}@there")
        clock.wait(10)
    clock.peers.sweep(clock.now_s)
    assert len(clock.peers) < 100
    assert not any(peer.held for peer in clock.peers.values())


def test_record_of_a_node_that_is_gone_is_kept_until_its_events_are_paid_for():
    clock = Clock()
    clock.show(B)
    clock.show(None)
    paid_s = clock.now_s + 2 * INTERVAL_S
    assert not clock.peers[B.key].is_idle(paid_s - 0.01)
    assert clock.peers[B.key].is_idle(paid_s)
