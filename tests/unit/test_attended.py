"""Attended time counts only while its owner could listen."""

from cluster_kit.attended import AttendedClock


class Hand:
    def __init__(self):
        self.s = 100.0

    def __call__(self):
        return self.s


def test_regular_ticks_follow_the_clock():
    hand = Hand()
    clock = AttendedClock(hand, 0.5)
    began = clock.now_s()
    for _ in range(10):
        hand.s += 0.5
        assert clock.tick() == 0
    assert clock.now_s() - began == 5.0


def test_a_stall_is_granted_in_full():
    hand = Hand()
    clock = AttendedClock(hand, 0.5)
    began = clock.now_s()
    hand.s += 10.5
    assert clock.now_s() - began == 0.5  # even before the tick that ends the stall
    assert clock.tick() == 10.0
    assert clock.now_s() - began == 0.5


def test_clock_never_runs_backwards():
    hand = Hand()
    clock = AttendedClock(hand, 0.5)
    last = clock.now_s()
    for step in (0.1, 0.7, 0.0, 3.0, 0.4, 0.5, 60.0, 0.2):
        hand.s += step
        before = clock.now_s()
        clock.tick()
        assert last <= before <= clock.now_s()
        last = clock.now_s()
