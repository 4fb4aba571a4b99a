"""Repetitions pass at intervals, in bounded memory."""

from cluster_kit.throttle import Throttle


def test_message_passes_once_per_interval():
    throttle = Throttle(60.0)
    assert [throttle.passes("a", now_s) for now_s in (0.0, 1.0, 59.9, 60.0, 61.0)] == [
        True,
        False,
        False,
        True,
        False,
    ]


def test_messages_do_not_hold_each_other_back():
    throttle = Throttle(60.0)
    assert throttle.passes("a", 0.0)
    assert throttle.passes("b", 0.0)


def test_number_of_messages_remembered_is_bounded():
    throttle = Throttle(60.0)
    for number in range(10_000):
        assert throttle.passes(str(number), 0.0)
    assert len(throttle._passed) < 1000


def test_those_held_back_are_counted():
    throttle = Throttle(60.0)
    assert throttle.passes("a", 0.0)
    assert throttle.more("a") == ""
    for now_s in (1.0, 2.0, 3.0):
        assert not throttle.passes("a", now_s)
    assert throttle.passes("a", 61.0)
    assert throttle.more("a") == " (and 3 more of this kind before)"
    assert throttle.passes("a", 122.0)
    assert throttle.more("a") == ""


def test_held_back_keys_are_reported_before_the_next_passes():
    throttle = Throttle(60.0)
    for now_s in (0.0, 1.0, 2.0):
        throttle.passes("a", now_s)
    throttle.passes("b", 3.0)
    assert list(throttle.rest(60.0)) == [("a", 2)]
    assert list(throttle.rest(61.0)) == []
    assert not throttle.passes("a", 62.0)


def test_key_that_passed_longest_ago_is_forgotten_first():
    throttle = Throttle(60.0)
    for key, now_s in ("a", 0.0), ("b", 1.0), ("a", 60.0):
        assert throttle.passes(key, now_s)
    others = map(str, range(10_000))
    while "b" in throttle:
        newest = next(others)
        throttle.passes(newest, 60.0)
    assert "a" in throttle
    assert newest in throttle
