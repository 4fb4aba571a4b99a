"""Terms of a working source behave like a dictionary searched in full; see test_roster_laws."""

from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.membership.claims import SourceClaims
from cluster_kit.membership.peer import Peers
from cluster_kit.node import Node

KEYS = [f"{name}@there" for name in "abcd"]
keys = st.sampled_from(KEYS)
lengths = st.sampled_from([1.0, 2.0, 5.0, inf])
steps = st.one_of(
    st.tuples(st.sampled_from(["set", "renew"]), keys, lengths),
    st.tuples(st.just("discard"), keys),
    st.tuples(st.just("pop")),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(steps, st.sampled_from([0.0, 0.5, 1.0, 3.0])), max_size=40))
def test_claims_behave_like_a_dictionary_of_times(history):
    source, until_s, now_s = SourceClaims("s", Peers()), {}, 0.0
    for step, seconds in history:
        now_s += seconds
        match step:
            case "set", key, length_s:
                source.put(Node(key), length_s, now_s)
                until_s[key] = now_s + length_s
            case "renew", key, length_s:
                is_in_time = until_s.get(key, -inf) > now_s
                if key in source:
                    assert source.renew(key, length_s, now_s) is is_in_time
                if is_in_time:
                    until_s[key] = now_s + length_s
            case "discard", key:
                if key in source:
                    source.withdraw(key)
                until_s.pop(key, None)
            case ("pop",):
                due = [
                    key
                    for _, key in sorted(
                        (at_s, key) for key, at_s in until_s.items() if at_s <= now_s
                    )
                ]
                assert source.pop_lapsed(now_s) == due
                for key in due:
                    del until_s[key]
        next_s = min(until_s.values(), default=inf)
        assert source.next_s() == (next_s if next_s < inf else None)
        assert {key for key in KEYS if source.holds(key, now_s)} == {
            key for key, at_s in until_s.items() if at_s > now_s
        }
