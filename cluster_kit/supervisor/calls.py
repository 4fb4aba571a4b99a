"""Questions to the workers, asked from any thread of the application, and the wait for their answers."""

from __future__ import annotations

import copy
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import Any

from cluster_kit.errors import CommandError
from cluster_kit.supervisor.loop import SupervisingLoop
from cluster_kit.supervisor.questions import Answers
from cluster_kit.supervisor.timeouts import checked_s
from cluster_kit.worker.messages import Call, Inspect, Inspected
from cluster_kit.worker.plain import check_plain

_INSPECT_S = 1.0
_numbers = itertools.count(1)


def call(loop: SupervisingLoop, topology: str, command: str, arguments: Mapping[str, Any], timeout_s: float) -> Any:
    """Run a command of a topology's connector; see ``Supervisor.call``."""
    patience_s = checked_s(timeout_s, "call: timeout_s")
    if type(command) is not str:
        raise TypeError(f"call: command {command!r:.80}: expected a name")
    check_plain(arguments, f"call: {command!r}: arguments")
    given = dict(copy.deepcopy(arguments))  # what the caller changes from now on does not matter
    answers = _ask(loop, topology, lambda number: Call(id=number, command=command, arguments=given, timeout_s=patience_s))
    try:
        value, error = answers.get(timeout=patience_s + _INSPECT_S)
    except Empty:
        error = CommandError(f"call: {command!r}: no answer from the worker of {topology!r} within {patience_s:g} s")
    if error is not None:
        raise error
    return value


def inspect_all(loop: SupervisingLoop) -> defaultdict[str, Inspected]:
    """Return what the workers say of their links, by topology; nothing for one that does not answer at once."""
    asked = {name: _ask(loop, name, lambda number: Inspect(number)) for name in loop.keepers}
    deadline_s = time.monotonic() + _INSPECT_S
    answers_by_name = {name: _value_or(answers, Inspected(), deadline_s) for name, answers in asked.items()}
    return defaultdict(Inspected, answers_by_name)  # a topology may have been added meanwhile


def _ask(loop: SupervisingLoop, topology: str, message: Callable[[int], Any]) -> Answers:
    number = next(_numbers)
    answers: Answers = SimpleQueue()
    if not loop.submit(topology, lambda keeper: keeper.ask(number, message(number), answers)):
        answers.put((None, CommandError(f"call: the supervisor has stopped, or {topology!r} was removed")))
    return answers


def _value_or(answers: Answers, default: Any, deadline_s: float) -> Any:
    try:
        value, error = answers.get(timeout=max(0.0, deadline_s - time.monotonic()))
    except Empty:
        return default
    return value if error is None else default
