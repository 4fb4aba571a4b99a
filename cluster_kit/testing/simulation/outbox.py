"""What a simulated application sends, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from cluster_kit.errors import NotSentError, RemoteError, UnansweredError
from cluster_kit.testing.simulation.invariants.deliveries import (
    SERIAL_BYTES,
    ApplicationRun,
    TrackedLink,
)
from cluster_kit.testing.simulation.invariants.findings import Law
from cluster_kit.testing.simulation.invariants.messages import MessageChecker
from cluster_kit.testing.simulation.scripts.message_steps import Ask, Publish, Send, SendingStep
from cluster_kit.topics.messenger import Messenger
from cluster_kit.topics.outcomes import Outcome

_DID_RUN = {NotSentError: False, RemoteError: True, UnansweredError: None}  # what an error says

Later = Callable[[float, Callable[[], None]], None]
"""Calls a function after a delay in seconds."""


class Outbox:
    """Messages and questions of one application, recorded with the checker.

    Args:
        run: The application.
        messenger: Sends them.
        checker: Judges them.
        link_to: Returns the link to a node by its key.
        handle: Called with all outcomes that the messenger returns.
        later: Calls a function after a delay.
        note: Adds a line to the trace.
    """

    def __init__(
        self,
        run: ApplicationRun,
        messenger: Messenger,
        checker: MessageChecker,
        *,
        link_to: Callable[[str], TrackedLink],
        handle: Callable[[Iterable[Outcome]], None],
        later: Later,
        note: Callable[[str], None],
    ) -> None:
        self._run = run
        self._messenger = messenger
        self._checker = checker
        self._link_to = link_to
        self._handle = handle
        self._later = later
        self._note = note
        self._sends: dict[int, tuple[str, str, int]] = {}  # key, topic and serial by ticket
        self._asks: dict[int, int] = {}  # serial by ticket
        self._tickets = 0

    @property
    def pending(self) -> tuple[int, ...]:
        """The serials of questions, and of messages to one node, that have no outcome yet."""
        return (*(serial for *_, serial in self._sends.values()), *self._asks.values())

    def send(self, step: SendingStep, keys: list[str]) -> None:
        """Send what a step sends, once; ``keys`` are the receivers unless it publishes."""
        size = max(0, step.bytes - SERIAL_BYTES)
        match step:
            case Publish():
                self._publish(step.topic, size)
            case Send():
                for key in keys:
                    self._send(key, step.topic, size)
            case Ask():
                for key in keys:
                    self._ask(key, step, size)

    def _publish(self, topic: str, size: int) -> None:
        self._handle(self._messenger.take_outcomes())  # of earlier sends, to record them in order
        listeners = self._messenger.listeners(topic)
        data, serial = self._checker.new_message(self._run, size)
        count = self._messenger.publish(topic, data)
        self._note(f"publishes {serial} on {topic}: to {count} of {len(listeners)}")
        for node in listeners:  # if some had no room, the count does not say which
            self._record(node.key, topic, serial, had_room=count == len(listeners))

    def _send(self, key: str, topic: str, size: int) -> None:
        data, serial = self._checker.new_message(self._run, size)
        self._tickets += 1
        self._sends[self._tickets] = key, topic, serial
        self._handle(self._messenger.send(key, topic, data, self._tickets))

    def _ask(self, key: str, step: Ask, size: int) -> None:
        data, serial = self._checker.new_message(self._run, size)
        self._tickets += 1
        ticket = self._tickets
        self._asks[ticket] = serial
        self._handle(self._messenger.ask(key, step.topic, data, ticket, step.timeout_s))
        self._later(step.timeout_s, partial(self._give_up, ticket))

    def _give_up(self, ticket: int) -> None:
        if ticket in self._asks:
            if self._messenger.withdraw(ticket):
                self._end_question(ticket, "withdrawn", ran=False)
            else:
                self._end_question(ticket, "given up", ran=None)

    def _record(self, key: str, topic: str, serial: int, *, had_room: bool) -> None:
        self._checker.sent(self._run, self._link_to(key), topic, serial, had_room=had_room)

    # -- outcomes ----------------------------------------------------------------------------------

    def on_sent(self, ticket: int) -> None:
        """Handle that a message to one node is on its way."""
        if ticket in self._sends:
            self._record(*self._sends.pop(ticket), had_room=True)
        else:
            self._report(f"a second outcome was reported for ticket {ticket}")

    def on_reply(self, ticket: int, answer: bytes) -> None:
        """Handle the answer to a question."""
        self._end_question(ticket, "answered", ran=True, answer=answer)

    def on_failure(self, ticket: int, error: Exception) -> None:
        """Handle that a message was not sent, or that a question failed."""
        if self._sends.pop(ticket, None) is not None:
            if not isinstance(error, NotSentError):
                self._report(f"a message that was not sent failed with {error!r}")
            return
        kind = next((kind for kind in _DID_RUN if isinstance(error, kind)), None)
        if kind is None:
            self._report(f"a question failed with {error!r}")
        ran = None if kind is None else _DID_RUN[kind]
        self._end_question(ticket, f"failed: {error!r}", ran=ran)

    def _end_question(
        self, ticket: int, how: str, *, ran: bool | None, answer: bytes | None = None
    ) -> None:
        serial = self._asks.pop(ticket, None)
        self._checker.questions.ended(self._run, serial, how, ran=ran, answer=answer)

    def _report(self, what: str) -> None:
        self._checker.report(self._run, Law.QUESTIONS, what)
