"""What the supervisor and its workers have to say reaches the application's logging; what repeats, once a minute."""

import logging
import traceback

import pytest
from waiting import until

from cluster_kit.supervisor.logs import OURS, LogRelay, _Record
from cluster_kit.worker.messages import Logged


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that goes when it is told to; the relay is asked about it in its thread."""
    now_s = [0.0]
    monkeypatch.setattr("cluster_kit.supervisor.logs.time.monotonic", lambda: now_s[0])
    return now_s


def logged(caplog, *records):
    """Return the messages of ``records``, each a ``Logged`` or what does something in between."""
    caplog.set_level(logging.DEBUG)
    relay = LogRelay()
    for each in records:
        relay._pass_on(each) if not callable(each) else each()
    relay._tell_rest()
    return [record.message for record in caplog.records]


def record(text, level=logging.WARNING, topology="lan", logger=OURS):
    return _Record(Logged(logger, level, text), topology)


def raised(what, text):
    try:
        raise what(text)
    except what as exc:
        return f"callback f raised {text}\n{''.join(traceback.format_exception(exc)).rstrip()}"


def test_warning_that_repeats_is_counted(caplog, clock):
    def a_minute_later():
        clock[0] += 60.0

    same = record("no route")
    assert logged(caplog, same, same, same, a_minute_later, same, same) == [
        "no route",
        "no route (and 2 more of this kind before)",
        "no route (the last of 1 more of this kind)",
    ]


def test_what_was_held_back_is_told_after_a_minute(caplog, monkeypatch):
    monkeypatch.setattr("cluster_kit.supervisor.logs.REPEAT_S", 0.2)
    relay = LogRelay()
    relay.start()
    for _ in range(3):
        relay.log(logging.WARNING, "no route")
    until(lambda: len(caplog.records) == 2, "both records")
    relay.close()
    relay.join()
    assert [record.message for record in caplog.records] == ["no route", "no route (the last of 2 more of this kind)"]


def test_others_are_not_held_back(caplog, clock):
    others = [
        record("a"),
        record("b"),
        record("a", topology="wan"),
        record("a", logger="app"),
        record("a", level=logging.ERROR),
        *[record("works again", level=logging.INFO)] * 2,
    ]
    assert logged(caplog, *others) == [each.logged.text for each in others]


def test_traceback_says_which_are_of_one_kind(caplog, clock):
    faults = [raised(KeyError, f"n{number}") for number in range(5)] + [raised(ValueError, "n0")]
    messages = logged(caplog, *map(record, faults))
    assert messages == [faults[0], faults[5], "callback f raised n4 (the last of 4 more of this kind)"]


def test_kinds_that_are_remembered_are_bounded(caplog, clock):
    many = [record(f"fault {number}") for number in range(2000)]
    relay = LogRelay()
    for each in [*many, *many]:
        relay._pass_on(each)
    assert len(relay._held_back) <= 256
    assert len(relay._throttle._passed) <= 257
