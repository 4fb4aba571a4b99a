"""``TopicRequest``: one call of ``send``, ``ask`` or ``ask_all``, and the wait for its results."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from cluster_kit.errors import NotSentError, RemoteError, RemoteProtocolError, UnansweredError
from cluster_kit.node import Node
from cluster_kit.supervisor.timeouts import checked_s
from cluster_kit.supervisor.topics.switchboard import Switchboard
from cluster_kit.topics.data import decode
from cluster_kit.topics.outcomes import OperationFailed, Replied, Sent

Outcome = Sent | Replied | OperationFailed


class TopicRequest:
    """A message or a question to one or several nodes, submitted when this is made.

    Args:
        board: Of the topology.
        topic: Name of the topic.
        nodes: The receivers, each a node or its name.
        data: The encoded message or question.
        timeout_s: How long to wait, in seconds.
        asking: Whether it is a question.
        wake: Called in any thread when a result has come.
    """

    def __init__(
        self,
        board: Switchboard,
        topic: str,
        nodes: Sequence[Node | str],
        data: bytes,
        *,
        timeout_s: float,
        asking: bool,
        wake: Callable[[], None] | None = None,
    ) -> None:
        self._board = board
        self._topic = topic
        self._timeout_s = timeout_s
        self._verb = "ask" if asking else "send"
        self._deadline_s = time.monotonic() + timeout_s
        self._outcomes: dict[int, Outcome] = {}
        self._come: SimpleQueue[Outcome] = SimpleQueue()  # reentrant, for signal handlers
        self._wake = wake
        self._nodes: dict[int, Node | str] = {}
        patience_s = timeout_s if asking else None
        try:
            for node in nodes:
                ticket = board.submit(node, topic, data, patience_s, self._on_outcome)
                self._nodes[ticket] = node
        except BaseException:
            self.give_up()
            raise

    def _on_outcome(self, outcome: Outcome) -> None:
        self._come.put(outcome)
        if self._wake is not None:
            self._wake()

    @property
    def left_s(self) -> float:
        """How many seconds are left to wait."""
        return max(0.0, self._deadline_s - time.monotonic())

    def wait(self) -> None:
        """Block until all results are there, or time is up."""
        try:
            while len(self._outcomes) < len(self._nodes):
                outcome = self._come.get(timeout=self.left_s)
                self._outcomes[outcome.ticket] = outcome
        except Empty:
            pass
        finally:
            if len(self._outcomes) < len(self._nodes):
                self.give_up()

    def collect(self) -> bool:
        """Collect the results that have come; return whether these are all."""
        try:
            while True:
                outcome = self._come.get_nowait()
                self._outcomes[outcome.ticket] = outcome
        except Empty:
            return len(self._outcomes) == len(self._nodes)

    def give_up(self) -> None:
        """Fail what has no result yet."""
        for ticket, node in self._nodes.items():
            if ticket not in self._outcomes:
                self._board.give_up(ticket, self._unsent(node), self._unanswered(node))
        self.collect()

    def results(self) -> list[Any]:
        """Return, for each node, its answer, ``None`` for a sent message, or the error."""
        return [self._result(self._outcomes[ticket], node) for ticket, node in self._nodes.items()]

    def _result(self, outcome: Outcome, node: Node | str) -> Any:
        match outcome:
            case OperationFailed(error=error):
                return error
            case Replied(data=data):
                try:
                    return decode(data)
                except RemoteProtocolError as exc:
                    text = f"ask: the answer of {node} can't be read: {exc}"
                    return RemoteError(text, node=str(node))
            case _:
                return None

    def _unsent(self, node: Node | str) -> NotSentError:
        what = f"{node} had no room in topic {self._topic!r} for {self._timeout_s:g} s"
        why = "it has not read earlier messages: make it read faster, or wait for longer"
        return NotSentError(f"{self._verb}: {what}, as {why}", node=str(node))

    def _unanswered(self, node: Node | str) -> UnansweredError:
        what = f"no answer from {node} in topic {self._topic!r} within {self._timeout_s:g} s"
        cure = "wait for longer, or ask only what is safe to be done twice"
        text = f"{self._verb}: {what}: it may still act on the question: {cure}"
        return UnansweredError(text, node=str(node))


def checked_receiver(to: Any, verb: str) -> Node | str:
    """Return ``to`` if it is a node or a name; raises ``TypeError`` otherwise."""
    if not isinstance(to, Node | str):
        raise TypeError(f"{verb}: {to!r:.80}: expected a node, or its name")
    return to


def checked_patience_s(timeout_s: Any, verb: str) -> float:
    """Return the timeout in seconds; raises ``TypeError`` if it is not a number."""
    return max(0.0, checked_s(timeout_s, f"{verb}: timeout_s"))
