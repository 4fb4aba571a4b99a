"""What the supervisor and its workers have to say reaches the application's logging; what repeats,
once a minute.
"""

import logging
import traceback

import pytest
from waiting import until

from cluster_kit.pipe.messages import Logged, fault_of
from cluster_kit.supervisor.logs import OURS, LogRelay, _QueuedRecord


class Relay(LogRelay):
    """A relay without its thread, whose clock the test turns."""

    def __init__(self):
        super().__init__(monotonic_s=lambda: self.now_s)
        self.now_s = 0.0


def logged(caplog, *records, then=()):
    """Return the messages of ``records``, and of those that follow a minute later."""
    caplog.set_level(logging.DEBUG)
    relay = Relay()
    for each in records:
        relay._pass_on(each)
    relay.now_s += 60.0
    for each in then:
        relay._pass_on(each)
    relay._flush_held_back()
    return [record.message for record in caplog.records]


def record(text, level=logging.WARNING, topology="lan", logger=OURS):
    return _QueuedRecord(Logged(logger, level, text), topology)


def raised(exc, note=None):
    """Return the record of an exception that is raised here."""
    try:
        if note:
            exc.add_note(note)
        raise exc
    except type(exc):
        text = f"callback f raised {exc}\n{''.join(traceback.format_exception(exc)).rstrip()}"
        return _QueuedRecord(Logged(OURS, logging.ERROR, text, fault_of(exc)), "lan")


def test_warning_that_repeats_is_counted(caplog):
    same = record("no route")
    assert logged(caplog, same, same, same, then=[same, same]) == [
        "no route",
        "no route (and 2 more of this kind before)",
        "no route (the last of 1 more of this kind)",
    ]


def test_held_back_records_are_reported_when_it_is_time(caplog):
    relay = LogRelay(repeat_s=0.5)
    for _ in range(3):
        relay.log(logging.WARNING, "no route")
    relay.start()
    until(lambda: len(caplog.records) == 2, "both records")
    relay.close()
    relay.join()
    assert [record.message for record in caplog.records] == [
        "no route",
        "no route (the last of 2 more of this kind)",
    ]


def test_other_records_are_not_held_back(caplog):
    others = [
        record("a"),
        record("b"),
        record("a", topology="wan"),
        record("a", logger="app"),
        record("a", level=logging.ERROR),
        *[record("works again", level=logging.INFO)] * 2,
    ]
    assert logged(caplog, *others) == [each.logged.text for each in others]


def test_traceback_says_which_are_of_one_kind(caplog):
    faults = [raised(KeyError(f"n{number}")) for number in range(5)] + [raised(ValueError("n0"))]
    messages = logged(caplog, *faults)
    told = [faults[0].logged.text, faults[5].logged.text]
    assert messages == [*told, "callback f raised 'n4' (the last of 4 more of this kind)"]


@pytest.mark.parametrize(
    "make",
    [
        lambda number: raised(ValueError(f"bad\nevent number {number}")),
        lambda number: raised(ValueError("bad"), note=f"event {number}"),
        lambda number: raised(ExceptionGroup("several", [ValueError(f"bad {number}")])),
    ],
    ids=["several lines", "a note", "a group"],
)
def test_exceptions_of_any_shape_are_of_one_kind(make, caplog):
    messages = logged(caplog, *map(make, range(50)))
    assert len(messages) == 2
    assert messages[1].endswith("(the last of 49 more of this kind)")


def test_logger_whose_warnings_are_all_different_is_slowed_down(caplog):
    messages = logged(caplog, *(record(f"request {number} timed out") for number in range(1000)))
    assert 20 <= len(messages) <= 22
    assert messages[-1] == "request 999 timed out (the last of 979 more of this kind)"


def test_kinds_that_are_remembered_are_bounded(caplog):
    many = [record(f"fault {number}") for number in range(2000)]
    relay = Relay()
    for each in [*many, *many]:
        relay._pass_on(each)
    assert len(relay._held_back) <= 256
    assert len(relay._throttle._passed) <= 257
