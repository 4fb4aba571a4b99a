"""Each test holds the restart policy to one sentence of OTP's supervisor documentation, or to where
we differ.

Source: https://www.erlang.org/doc/apps/stdlib/supervisor.html
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.config import ChildSpec
from cluster_kit.retry import Intensity
from cluster_kit.supervisor.restart import (
    FIRST_RESTART_S,
    LAST_RESTART_S,
    End,
    Escalate,
    Replace,
    RestartPolicy,
)


def policy(**spec):
    return RestartPolicy(ChildSpec(**spec))


def crash(restarts, now_s, *, normal=False, jitter=0.999):
    return restarts.exited(normal=normal, now_s=now_s, jitter=jitter)


# -- "restart defines when a terminated child process must be restarted" ---------------------------


@pytest.mark.parametrize("normal", [True, False])
def test_permanent_child_is_always_restarted(normal):
    assert isinstance(crash(policy(restart="permanent"), 0, normal=normal), Replace)


@pytest.mark.parametrize("normal", [True, False])
def test_temporary_child_is_never_restarted(normal):
    assert crash(policy(restart="temporary"), 0, normal=normal) == End()


def test_transient_child_is_restarted_if_it_terminates_abnormally():
    assert isinstance(crash(policy(restart="transient"), 0, normal=False), Replace)


def test_transient_child_is_not_restarted_if_it_terminates_normally():
    assert crash(policy(restart="transient"), 0, normal=True) == End()


def test_restart_defaults_to_permanent():
    assert ChildSpec().restart == "permanent"


# -- "if more than MaxR restarts occur within MaxT seconds, the supervisor terminates all child
# processes and then itself"


def test_more_than_max_restarts_within_max_seconds_end_the_supervisor():
    restarts = policy(max_restarts=3, max_seconds=5, escalate=True)
    decisions = [crash(restarts, now_s) for now_s in (0, 1, 2, 3)]
    assert [type(decision) for decision in decisions] == [Replace, Replace, Replace, Escalate]


def test_as_many_restarts_as_allowed_do_not():
    intensity = Intensity(3, 5)
    assert [intensity.add(now_s) for now_s in (0, 0, 0)] == [False, False, False]


def test_restarts_before_the_period_do_not_count():
    restarts = policy(max_restarts=1, max_seconds=5, escalate=True)
    assert [type(crash(restarts, now_s)) for now_s in (0, 5.1, 10.2)] == [Replace, Replace, Replace]


def test_both_ends_of_the_period_count():
    intensity = Intensity(1, 5)
    assert [intensity.add(now_s) for now_s in (0, 5)] == [False, True]


def test_intensity_of_zero_allows_no_restart():
    assert crash(policy(max_restarts=0, escalate=True), 0) == Escalate()


def test_restarts_after_a_normal_end_count_too():
    restarts = policy(max_restarts=1, escalate=True)
    crash(restarts, 0, normal=True)
    assert crash(restarts, 1, normal=True) == Escalate()


def test_ends_without_a_restart_do_not_count():
    restarts = policy(restart="transient", max_restarts=0, escalate=True)
    assert crash(restarts, 0, normal=True) == End()
    assert crash(restarts, 1, normal=True) == End()


@settings(deadline=None)
@given(st.integers(0, 5), st.floats(0.1, 10), st.lists(st.floats(0, 5), max_size=40))
def test_intensity_matches_otp(max_restarts, max_seconds, gaps):
    """OTP keeps the times within the period and compares their number."""
    intensity, times, now_s = Intensity(max_restarts, max_seconds), [], 0.0
    for gap in gaps:
        now_s += gap
        times = [time for time in [*times, now_s] if now_s - time <= max_seconds]
        assert intensity.add(now_s) == (len(times) > max_restarts)


# -- "to prevent a supervisor from getting into an infinite loop of child process terminations and
# restarts"


def test_restarts_are_spaced_ever_more():
    assert (FIRST_RESTART_S, LAST_RESTART_S) == (0.1, 15.0)
    restarts = policy(max_restarts=100)
    delays = [crash(restarts, 0, jitter=1.0).delay_s for _ in range(10)]
    assert delays[:3] == pytest.approx([FIRST_RESTART_S, 2 * FIRST_RESTART_S, 4 * FIRST_RESTART_S])
    assert max(delays) == LAST_RESTART_S


def test_without_escalation_too_many_restarts_make_a_slow_crash_loop():
    restarts = policy(max_restarts=1, max_seconds=5)
    assert not crash(restarts, 0).crash_looping
    assert crash(restarts, 1, jitter=1.0) == Replace(LAST_RESTART_S, crash_looping=True)


def test_crash_loop_goes_on_at_its_slow_pace_though_that_is_within_the_intensity():
    restarts = policy(max_restarts=1, max_seconds=5)
    crash(restarts, 0)
    for now_s in (1, 100, 200):
        assert crash(restarts, now_s, jitter=1.0) == Replace(LAST_RESTART_S, crash_looping=True)


def test_crash_loop_is_over_once_a_worker_has_served_for_the_period():
    restarts = policy(max_restarts=0, max_seconds=5)
    crash(restarts, 0)
    assert restarts.recovers_at_s() is None
    restarts.serving(10)
    assert restarts.recovers_at_s() == 15
    assert not restarts.recover(14.9)
    assert restarts.recover(15)
    assert not restarts.crash_looping
    assert not restarts.recover(16)


def test_worker_that_takes_long_to_fail_to_serve_has_not_recovered():
    restarts = policy(max_restarts=0, max_seconds=5)
    crash(restarts, 0)
    crash(restarts, 100)
    assert restarts.crash_looping
    assert not restarts.recover(200)


def test_worker_that_served_for_long_is_replaced_without_delay():
    restarts = policy(max_restarts=100, max_seconds=5)
    for _ in range(8):
        crash(restarts, 0)
    restarts.serving(10)
    assert crash(restarts, 16, jitter=1.0).delay_s == pytest.approx(FIRST_RESTART_S)


def test_worker_that_served_for_the_period_and_no_longer_is_not():
    restarts = policy(max_restarts=100, max_seconds=5)
    crash(restarts, 0)
    restarts.serving(10)
    assert crash(restarts, 15, jitter=1.0).delay_s == pytest.approx(2 * FIRST_RESTART_S)


def test_worker_that_never_served_is_not_although_the_one_before_did():
    restarts = policy(max_restarts=100, max_seconds=5)
    restarts.serving(0)
    crash(restarts, 1)
    assert crash(restarts, 50, jitter=1.0).delay_s == pytest.approx(2 * FIRST_RESTART_S)


def test_worker_that_served_briefly_is_not():
    restarts = policy(max_restarts=100, max_seconds=5)
    crash(restarts, 0)
    restarts.serving(10)
    assert crash(restarts, 14, jitter=1.0).delay_s == pytest.approx(2 * FIRST_RESTART_S)
