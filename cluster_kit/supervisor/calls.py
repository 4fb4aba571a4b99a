"""Requests to workers, made on any thread of the application, and the wait for their replies."""

from __future__ import annotations

import copy
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from cluster_kit.errors import ClusterKitError, CommandError
from cluster_kit.pipe.messages import Call, Inspect, Inspected, Reply
from cluster_kit.supervisor.timeouts import checked_s
from cluster_kit.worker.plugin_values import check_plain

if TYPE_CHECKING:
    from cluster_kit.supervisor.loop import SupervisingLoop

_INSPECT_S = 1.0
_numbers = itertools.count(1)

Answers = SimpleQueue[tuple[Any, ClusterKitError | None]]
"""Where the one answer to a request is put: a value, or an error instead.

It is a queue rather than a future, as a signal handler may interrupt the wait for it.
"""


class PendingCalls:
    """The requests to one topology's worker that have no answer yet; each gets exactly one."""

    def __init__(self, topology: str) -> None:
        self._topology = topology
        self._pending: dict[int, Answers] = {}

    def add(self, number: int, answers: Answers) -> None:
        """Remember where the answer to request ``number`` goes."""
        self._pending[number] = answers

    def answer(self, reply: Reply) -> None:
        """Pass on the worker's reply."""
        if (answers := self._pending.pop(reply.id, None)) is not None:
            answers.put((reply.value, reply.error))

    def fail_all(self, why: str) -> None:
        """Answer all requests with an error; ``why`` follows the topology's name in it."""
        for answers in self._pending.values():
            answers.put((None, CommandError(f"call: topology {self._topology!r} {why}")))
        self._pending.clear()


def call(
    loop: SupervisingLoop,
    topology: str,
    command: str,
    arguments: Mapping[str, Any],
    timeout_s: float,
) -> Any:
    """Run a command of a topology's connector; see ``Supervisor.call``."""
    timeout_s = checked_s(timeout_s, "call: timeout_s")
    if type(command) is not str:
        raise TypeError(f"call: command {command!r:.80}: expected a name")
    check_plain(arguments, f"call: {command!r}: arguments")
    given = dict(copy.deepcopy(arguments))  # the caller may change them while they wait to be sent

    def request(number: int) -> Call:
        return Call(id=number, command=command, arguments=given, timeout_s=timeout_s)

    answers = _ask(loop, topology, request)
    try:
        value, error = answers.get(timeout=timeout_s + _INSPECT_S)
    except Empty:
        worker = f"the worker of {topology!r}"
        error = CommandError(f"call: {command!r}: no answer from {worker} within {timeout_s:g} s")
    if error is not None:
        raise error
    return value


def inspect_all(loop: SupervisingLoop) -> defaultdict[str, Inspected]:
    """Return what each worker knows of its links, by topology.

    That is empty if a worker does not answer within a second, and for other names, such as that of
    a topology that was added meanwhile.
    """
    asked = {name: _ask(loop, name, Inspect) for name in loop.workers}
    deadline_s = time.monotonic() + _INSPECT_S
    replies = {name: _inspected(answers, deadline_s) for name, answers in asked.items()}
    return defaultdict(Inspected, replies)


def _inspected(answers: Answers, deadline_s: float) -> Inspected:
    try:
        value, error = answers.get(timeout=max(0.0, deadline_s - time.monotonic()))
    except Empty:
        return Inspected()
    return value if error is None else Inspected()


def _ask(loop: SupervisingLoop, topology: str, request: Callable[[int], Any]) -> Answers:
    number = next(_numbers)
    answers: Answers = SimpleQueue()
    if not loop.submit(topology, lambda each: each.ask(number, request(number), answers)):
        error = CommandError(f"call: the supervisor has stopped, or {topology!r} was removed")
        answers.put((None, error))
    return answers
