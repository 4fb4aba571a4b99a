"""What repeats is said once in a while, in bounded memory."""

from cluster_kit.throttle import Throttle


def test_message_passes_once_per_interval():
    throttle = Throttle(60.0)
    assert [throttle.passes("a", now_s) for now_s in (0.0, 1.0, 59.9, 60.0, 61.0)] == [True, False, False, True, False]


def test_messages_do_not_hold_each_other_back():
    throttle = Throttle(60.0)
    assert throttle.passes("a", 0.0)
    assert throttle.passes("b", 0.0)


def test_number_of_messages_remembered_is_bounded():
    throttle = Throttle(60.0)
    for number in range(10_000):
        assert throttle.passes(str(number), 0.0)
    assert len(throttle._passed_s) < 1000
