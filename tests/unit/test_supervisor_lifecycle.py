"""The table of a worker's life: which trigger leads where, and what each phase may take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster_kit.supervisor.lifecycle import (
    GREET_S,
    SILENT_S,
    START_S,
    TABLE,
    Lifecycle,
    Phase,
    Trigger,
)

SHUTDOWN_S = 4.0
USUAL = (Trigger.START, Trigger.HEAR, Trigger.SERVE)
HAS_PROCESS = {Phase.STARTING, Phase.LOADING, Phase.SERVING, Phase.KILLED}
TO = {
    Phase.NEW: (),
    Phase.STARTING: USUAL[:1],
    Phase.LOADING: USUAL[:2],
    Phase.SERVING: USUAL,
    Phase.KILLED: (*USUAL, Trigger.KILL),
    Phase.WAITING: (*USUAL, Trigger.RETRY),
    Phase.LEAVING: (*USUAL, Trigger.STOP),
    Phase.FINISHED: (*USUAL, Trigger.END),
}


def after(*steps, now_s=0.0, **given):
    lifecycle = Lifecycle(SHUTDOWN_S)
    for trigger in steps:
        lifecycle.advance(trigger, now_s, **given)
    return lifecycle


def test_every_phase_has_its_row_and_a_way_to_it():
    assert TABLE.keys() == TO.keys() == set(Phase)
    assert {phase: after(*steps).phase for phase, steps in TO.items()} == {
        phase: phase for phase in Phase
    }


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_can_be_stopped_and_ends_after_that(phase):
    lifecycle = after(*TO[phase], Trigger.STOP)
    assert lifecycle.phase is (Phase.FINISHED if phase is Phase.FINISHED else Phase.LEAVING)
    lifecycle.advance(Trigger.END, 0.0)
    assert lifecycle.phase is Phase.FINISHED


@pytest.mark.parametrize("trigger", Trigger)
def test_nothing_leads_out_of_the_end(trigger):
    assert after(*TO[Phase.FINISHED], trigger).phase is Phase.FINISHED


@pytest.mark.parametrize("trigger", sorted(set(Trigger) - {Trigger.END}, key=str))
def test_order_to_stop_lasts(trigger):
    assert after(*TO[Phase.LEAVING], trigger).phase is Phase.LEAVING


@pytest.mark.parametrize("phase", Phase)
def test_a_process_is_started_only_where_there_is_none(phase):
    assert after(*TO[phase]).may_start == (phase in {Phase.NEW, Phase.WAITING})


@pytest.mark.parametrize(
    ("phase", "deadline_s"),
    [
        (Phase.NEW, None),
        (Phase.STARTING, 100 + GREET_S),
        (Phase.LOADING, 100 + START_S),
        (Phase.SERVING, 100 + SILENT_S),
        (Phase.KILLED, None),
        (Phase.WAITING, 100.0),
        (Phase.LEAVING, 100 + SHUTDOWN_S),
        (Phase.FINISHED, None),
    ],
)
def test_each_phase_has_its_own_deadline(phase, deadline_s):
    lifecycle = after(*TO[phase], now_s=100.0)
    assert lifecycle.deadline_s == deadline_s
    assert not lifecycle.is_overdue(99.0)
    assert lifecycle.is_overdue(1e9) == (deadline_s is not None)


def test_time_to_serve_counts_from_the_start_not_from_the_greeting():
    lifecycle = after(Trigger.START, now_s=100.0)
    lifecycle.advance(Trigger.HEAR, 100 + GREET_S - 1)
    assert lifecycle.deadline_s == 100 + START_S
    lifecycle.advance(Trigger.HEAR, 100 + GREET_S)
    assert lifecycle.deadline_s == 100 + START_S


def test_each_message_of_a_serving_worker_moves_its_deadline():
    lifecycle = after(*TO[Phase.SERVING])
    lifecycle.advance(Trigger.HEAR, 3.0)
    assert lifecycle.deadline_s == 3.0 + SILENT_S


def test_no_message_moves_the_deadline_of_a_leaving_worker():
    lifecycle = after(*TO[Phase.LEAVING])
    for trigger in (Trigger.HEAR, Trigger.SERVE, Trigger.STOP):
        lifecycle.advance(trigger, 3.0)
    assert lifecycle.deadline_s == SHUTDOWN_S


@pytest.mark.parametrize("phase", sorted(HAS_PROCESS | {Phase.LEAVING}, key=str))
def test_a_worker_that_was_killed_is_not_killed_again(phase):
    assert after(*TO[phase], Trigger.KILL).deadline_s is None


def test_the_next_worker_starts_after_its_delay():
    lifecycle = after(*USUAL, Trigger.RETRY, now_s=10.0, delay_s=1.5)
    assert not lifecycle.is_overdue(11.4)
    assert lifecycle.is_overdue(11.5)


@pytest.mark.parametrize(
    ("phase", "fault"),
    [
        (Phase.STARTING, "sent nothing for 15 s"),
        (Phase.LOADING, "worker 7 did not begin to serve within 30 s"),
        (Phase.SERVING, "worker 7 was silent for 5 s: something blocks its event loop"),
        (Phase.LEAVING, "worker did not leave within 4 s"),
    ],
)
def test_a_missed_deadline_has_its_own_words(phase, fault):
    assert after(*TO[phase]).fault(7) == fault


@given(st.lists(st.tuples(st.sampled_from(Trigger), st.floats(0, 40))))
def test_whatever_happens_the_table_is_followed_and_no_deadline_is_in_the_past(script):
    lifecycle, now_s = Lifecycle(SHUTDOWN_S), 0.0
    for trigger, gap_s in script:
        now_s += gap_s
        before, deadline_s = lifecycle.phase, lifecycle.deadline_s
        lifecycle.advance(trigger, now_s)
        if trigger not in TABLE[before]:
            assert (lifecycle.phase, lifecycle.deadline_s) == (before, deadline_s)
            continue
        assert lifecycle.phase is TABLE[before][trigger]
        # heard late all the same
        overdue_at_start = before is Phase.STARTING and now_s > deadline_s
        assert lifecycle.deadline_s is None or lifecycle.deadline_s >= now_s or overdue_at_start
