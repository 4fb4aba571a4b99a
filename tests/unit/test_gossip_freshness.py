"""Fresh datagrams are told from recordings by stamps, nonces and time alone."""

from itertools import pairwise

import pytest

from cluster_kit.strategies.gossip import freshness as module
from cluster_kit.strategies.gossip.freshness import ASKS_PER_S, NONCE_S, Freshness, Liveness
from cluster_kit.wire.envelope import NO_NONCE

ANN, BOB = (1, 1), (2, 2)
TTL_S = 10.0
US = 1_000_000


def fresh(ttl_s=TTL_S):
    return Freshness(b"k" * 32, ttl_s=ttl_s)


def prove(known, boot_id, now_s, *, stamp=None):
    stamp = int(now_s * US) if stamp is None else stamp
    assert known.judge(boot_id, stamp, known.nonce(now_s), now_s) is Liveness.FRESH


def hear(known, boot_id, now_s, *, stamp=None):
    return known.judge(boot_id, int(now_s * US) if stamp is None else stamp, NO_NONCE, now_s)


def test_a_run_is_unproved_until_it_sends_a_nonce_back():
    known = fresh()
    assert hear(known, ANN, 1.0) is Liveness.UNPROVED
    prove(known, ANN, 2.0)
    assert hear(known, ANN, 3.0) is Liveness.FRESH
    assert hear(known, BOB, 3.0) is Liveness.UNPROVED


def test_datagram_no_newer_than_the_last_counts_as_repeated():
    known = fresh()
    prove(known, ANN, 2.0)
    assert [
        hear(known, ANN, 3.0, stamp=stamp)
        for stamp in (2 * US, US, 2 * US + 2, 2 * US + 1, 2 * US + 2)
    ] == [
        Liveness.REPEATED,
        Liveness.REPEATED,
        Liveness.FRESH,
        Liveness.REPEATED,
        Liveness.REPEATED,
    ]


@pytest.mark.parametrize(
    ("silent_s", "word"), [(TTL_S - 0.1, Liveness.FRESH), (TTL_S + 0.1, Liveness.UNPROVED)]
)
def test_after_a_long_silence_a_run_is_unproved(silent_s, word):
    known = fresh()
    prove(known, ANN, 2.0)
    assert hear(known, ANN, 2.0 + silent_s) is word
    assert known.is_proved(ANN, 2.0 + silent_s) is (word is Liveness.FRESH)


@pytest.mark.parametrize("start_s", [0.0, 1e9], ids=["its clock behind", "its clock ahead"])
def test_stamps_of_any_start_show_how_late_a_datagram_is(start_s):
    known = fresh()
    prove(known, ANN, 100.0, stamp=int(start_s * US))
    for later_s in range(1, 50):
        assert (
            hear(known, ANN, 100.0 + later_s, stamp=int((start_s + later_s) * US)) is Liveness.FRESH
        )
    late = int((start_s + 49 + 1) * US)
    assert hear(known, ANN, 149.0 + 1 + 0.9 * TTL_S, stamp=late) is Liveness.FRESH
    assert hear(known, ANN, 149.0 + 2 + 1.1 * TTL_S, stamp=late + 1) is Liveness.UNPROVED


def test_a_run_whose_clock_is_slow_proves_itself_anew_now_and_then():
    known = fresh()
    prove(known, ANN, 0.0, stamp=0)
    asked = 0
    for second in range(1, 10_000):
        stamp = int(second * US * 0.99)
        if hear(known, ANN, float(second), stamp=stamp) is Liveness.UNPROVED:
            asked += 1
            prove(known, ANN, float(second), stamp=stamp + 1)
    assert asked == pytest.approx(100 / TTL_S, abs=2)


def test_an_answer_is_not_repeated_while_its_nonce_counts():
    known = fresh(ttl_s=0.3)
    nonce = known.nonce(5.0)
    assert known.judge(ANN, 1, nonce, 5.0) is Liveness.FRESH
    prove(known, BOB, 6.0)  # when room is made
    assert not known.is_proved(ANN, 6.0)
    assert known.judge(ANN, 1, nonce, 6.0) is Liveness.REPEATED


def test_runs_that_are_past_are_forgotten():
    known = fresh()
    prove(known, ANN, 1.0)
    prove(known, BOB, 1.0 + 2 * NONCE_S + TTL_S)
    assert len(known) == 1


def test_runs_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_PEERS", 10)
    known = fresh()
    for number in range(100):
        prove(known, (number, 1), 1.0)
    assert len(known) == 10
    assert hear(known, (99, 1), 2.0) is Liveness.FRESH
    assert hear(known, (0, 1), 2.0) is Liveness.UNPROVED


def test_nonces_change_and_two_count():
    known = fresh()
    nonces = [known.nonce(NONCE_S * slot) for slot in range(10)]
    assert len(set(nonces)) == 10
    now_s = 9.5 * NONCE_S
    counting = [
        known.judge((9, number), 1, nonce, now_s) is Liveness.FRESH
        for number, nonce in enumerate(nonces)
    ]
    assert counting == [False] * 8 + [True] * 2


def test_nonces_are_of_the_key():
    assert Freshness(b"a" * 32, ttl_s=1).nonce(0.0) != Freshness(b"b" * 32, ttl_s=1).nonce(0.0)


# -- asking ----------------------------------------------------------------------------------------


def may_ask(known, boot_id, now_s, *, in_s=0.0):
    return known.may_ask(boot_id, now_s, in_s=in_s)


def test_node_that_does_not_answer_is_asked_later_each_time():
    known, asked_s = fresh(), []
    for step in range(60_000):
        if may_ask(known, ANN, step * 0.001):
            asked_s.append(step * 0.001)
    waits_s = [after - before for before, after in pairwise(asked_s)]
    assert [round(wait_s, 2) for wait_s in waits_s] == sorted(
        round(wait_s, 2) for wait_s in waits_s
    )
    assert waits_s[0] == pytest.approx(0.05, abs=0.002)
    assert waits_s[-1] == pytest.approx(TTL_S / 2, abs=0.002)


def test_postponed_question_is_not_asked_early():
    known = fresh()
    assert may_ask(known, ANN, 1.0, in_s=2.0)
    assert not may_ask(known, ANN, 2.9)
    assert may_ask(known, ANN, 3.1)


def test_questions_are_limited_over_all():
    known = fresh()
    asked = sum(may_ask(known, (number, 1), number / 10_000) for number in range(20_000))
    assert asked == pytest.approx(ASKS_PER_S * 3, abs=1)


def test_a_nonce_that_went_back_with_the_question_does_so_once():
    known = fresh()
    assert may_ask(known, ANN, 1.0)
    known.asked(ANN, b"n" * 16)
    prove(known, ANN, 1.0)
    assert not known.must_echo(ANN, b"n" * 16)
    assert known.must_echo(ANN, b"n" * 16)
    assert known.must_echo(ANN, b"m" * 16)
