"""Deadlines behave like a dictionary searched in full, and do not grow with postponements."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.membership.deadlines import _SLACK, Deadlines
from cluster_kit.membership.peer import Peers

keys = st.sampled_from("abcdef")
times = st.integers(0, 20).map(float)
steps = st.one_of(
    st.tuples(st.just("set"), keys, times),
    st.tuples(st.just("discard"), keys),
    st.tuples(st.just("pop"), times, st.none() | st.integers(0, 3)),
)


@settings(deadline=None)
@given(st.lists(steps, max_size=300))
def test_deadlines_behave_like_a_sorted_dictionary(history):
    deadlines, plain = Deadlines(Peers()), {}
    for step in history:
        match step:
            case "set", key, at_s:
                deadlines.set(key, at_s)
                plain[key] = at_s
            case "discard", key:
                deadlines.discard(key)
                plain.pop(key, None)
            case "pop", now_s, limit:
                due = sorted((at_s, key) for key, at_s in plain.items() if at_s <= now_s)[:limit]
                assert deadlines.pop_due(now_s, limit) == [key for _, key in due]
                for _, key in due:
                    del plain[key]
        assert deadlines.next_s() == min(plain.values(), default=None)
        assert {key for key in "abcdef" if key in deadlines} == plain.keys()
        assert deadlines._count == len(plain)  # the bound of the heap depends on it


@settings(deadline=None)
@given(st.lists(st.tuples(keys, times, st.booleans()), min_size=_SLACK, max_size=2 * _SLACK))
def test_memory_is_bounded_by_the_number_of_keys(history):
    deadlines, held = Deadlines(Peers()), set()
    for key, at_s, discard in history:
        deadlines.set(key, at_s)
        held.add(key)
        if discard:
            deadlines.discard(key)
            held.discard(key)
        assert len(deadlines._heap) <= 2 * len(held) + _SLACK


def test_the_order_survives_a_clean_up():
    deadlines, keys = Deadlines(Peers()), [f"{number:03}" for number in range(4 * _SLACK)]
    for number, key in enumerate(keys):
        deadlines.set(key, -number)
    for key in keys[: 3 * _SLACK]:
        deadlines.discard(key)
    assert deadlines.pop_due(0.0) == keys[: 3 * _SLACK - 1 : -1]
