import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.retry import Backoff

jitters = st.floats(0, 1, exclude_max=True)


def test_bound_doubles_up_to_the_cap():
    bounds = [Backoff(0.1, 1.0).delay_s(failures, 1.0) for failures in range(1, 7)]
    assert bounds == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


@settings(deadline=None)
@given(st.integers(1, 10**9), jitters)
def test_delay_is_between_nothing_and_the_cap(failures, jitter):
    assert 0 <= Backoff(0.1, 15.0).delay_s(failures, jitter) <= 15.0


@settings(deadline=None)
@given(st.integers(1, 100), jitters)
def test_jitter_spreads_over_the_whole_bound(failures, jitter):
    backoff = Backoff(0.1, 15.0)
    bound_s = backoff.delay_s(failures, 1.0)
    assert backoff.delay_s(failures, jitter) == pytest.approx(jitter * bound_s)
