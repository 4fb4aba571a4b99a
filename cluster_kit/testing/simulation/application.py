"""The messaging application of a simulated node: a real ``Messenger``, and a scripted user of it.

It stands where the supervisor of a real process does. The worker's side of the pipe calls
``on_message``, ``on_event`` and ``on_limit``; orders go back through ``attach``. An application
lives on when its worker is replaced. Whatever it sends, and whatever its messenger reports, is also
recorded with the ``MessageChecker``.

``Outbox`` sends what a script says, and ``Inbox`` reads what arrives. How a question is answered
depends only on its serial number, so that every run has answers that are quick, late, refused and
failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from cluster_kit.errors import RemoteProtocolError
from cluster_kit.events import Event, NodeUp
from cluster_kit.node import Node
from cluster_kit.pipe.channel import Parcel
from cluster_kit.pipe.messages import Forwarded, LinkClosed, LinkOpened, SetGreeting
from cluster_kit.testing.simulation.identity import node_of
from cluster_kit.testing.simulation.inbox import Inbox
from cluster_kit.testing.simulation.invariants.deliveries import (
    ApplicationRun,
    TrackedLink,
    serial_of,
)
from cluster_kit.testing.simulation.invariants.findings import Law
from cluster_kit.testing.simulation.invariants.messages import MessageChecker
from cluster_kit.testing.simulation.outbox import Outbox
from cluster_kit.testing.simulation.scripts.message_steps import (
    TOPIC,
    WINDOW_BYTES,
    WINDOW_MESSAGES,
    Listen,
    MessageStep,
    Read,
    SendingStep,
    Stall,
    Unlisten,
)
from cluster_kit.testing.virtual_time.timeline import Timeline
from cluster_kit.topics.incoming import IncomingStream, LocalInterest
from cluster_kit.topics.messenger import Messenger
from cluster_kit.topics.outcomes import (
    Arrived,
    Missing,
    OperationFailed,
    Outcome,
    QuestionArrived,
    Replied,
    Sent,
)
from cluster_kit.topics.questions import Question
from cluster_kit.wire import topics as wire

_MAX_UNFORWARDED = 4  # parcels of one link at the worker, as in the supervisor's switchboard
_TICK_S = 1.0
_LATE_ANSWER_S = 0.5

Order = Callable[[Any], None]
"""Sends a message to the worker."""


@dataclass(slots=True)
class _OpenLink:
    node: Node
    tracked: TrackedLink
    unforwarded: int = 0  # parcels that the worker has not passed on yet


class Application:
    """One run of the application of one node.

    Args:
        run: This run, as the checker knows it.
        timeline: The virtual time.
        checker: Judges everything that is sent and received.
        note: Adds a line to the trace.
    """

    def __init__(
        self,
        run: ApplicationRun,
        timeline: Timeline,
        *,
        checker: MessageChecker,
        note: Callable[[str], None],
    ) -> None:
        self.run = run
        self.messenger = Messenger(run.id)
        self.inbox = Inbox(self._mark_read, self._later)
        self.outbox = Outbox(
            run,
            self.messenger,
            checker,
            link_to=self._link_to,
            handle=self._handle,
            later=self._later,
            note=note,
        )
        self._timeline = timeline
        self._checker = checker
        self._note = note
        self._order: Order | None = None
        self._greetings = 0  # sent to this worker since it started
        self._links: dict[int, _OpenLink] = {}
        self._is_frozen = False
        self._listen(
            TOPIC, LocalInterest(messages=WINDOW_MESSAGES, bytes=WINDOW_BYTES, answers=True)
        )
        self._later(_TICK_S, self._tick)

    # -- its life ----------------------------------------------------------------------------------

    def attach(self, order: Order, node: Node) -> None:
        """Use a worker that was just started with the current greeting; ``node`` is its boot."""
        self._order, self._greetings = order, 0
        self._checker.worker_started(self.run, node)

    def detach(self) -> None:
        """Lose the worker, and all links with it."""
        self._order = None
        for link in list(self._links):
            self._close(link)

    def leave(self) -> None:
        """Close all streams, behind everything that was sent, and end."""
        self.messenger.close()
        self._pump(max_unforwarded=None)
        self.detach()
        self.end()

    def end(self) -> None:
        """Stop taking part in anything."""
        self.run.is_over = True
        self._order = None

    def freeze(self) -> None:
        """Do nothing until ``thaw``."""
        self._is_frozen = True

    def thaw(self) -> None:
        """Go on after ``freeze``."""
        self._is_frozen = False
        self.inbox.read()

    # -- the worker --------------------------------------------------------------------------------

    def on_message(self, message: Parcel | Forwarded | LinkOpened | LinkClosed) -> None:
        """Handle a message of the worker about a link."""
        if self.run.is_over:
            return
        match message:
            case Parcel(link=link, payload=payload, forwarded=parcels) if link in self._links:
                self._links[link].unforwarded -= parcels
                self._receive(link, payload)
            case Forwarded(link=link, parcels=parcels) if link in self._links:
                self._links[link].unforwarded -= parcels
            case LinkOpened():
                self._open(message)
            case LinkClosed(link=link):
                self._close(link)
        self._pump()

    def on_limit(self, max_message_bytes: int | None) -> None:
        """Adopt the size limit for messages of a worker that serves."""
        if max_message_bytes is not None and max_message_bytes != self.messenger.max_message_bytes:
            self.messenger.max_message_bytes = max_message_bytes
            self._greet()

    def on_event(self, event: Event) -> None:
        """Handle an event; with ``NodeUp`` the peer must be reachable."""
        if isinstance(event, NodeUp) and not self.run.is_over:
            self._checker.node_up(self.run, event.node, self.messenger.listeners)

    def _open(self, opened: LinkOpened) -> None:
        greeting = wire.decode_greeting(opened.greeting)
        tracked = self._checker.link_up(self.run, b"" if greeting is None else greeting.run)
        self._links[opened.link] = _OpenLink(opened.node, tracked)
        # the peer's handshake may have carried an older greeting than the one of now
        outdated = opened.outdated or opened.greetings != self._greetings
        up = self.messenger.up(opened.link, opened.node, opened.greeting, outdated=outdated)
        self._handle(up)

    def _close(self, link: int) -> None:
        self._handle(self.messenger.take_outcomes())
        closed = self._links.pop(link, None)
        if closed is not None:
            self._checker.link_down(self.run, closed.tracked)
            self._handle(self.messenger.down(link, self._timeline.now_s))

    def _receive(self, link: int, payload: bytes) -> None:
        try:
            self._checker.payload_received(self.run, self._links[link].tracked, payload)
            self._handle(self.messenger.receive(link, payload))
        except RemoteProtocolError as exc:
            what = f"rejects a payload of {self._links[link].node}: {exc}"
            self._checker.report(self.run, Law.REACH, what)
            self._close(link)

    def _pump(self, max_unforwarded: int | None = _MAX_UNFORWARDED) -> None:
        """Hand payloads to the worker, as far as it has room for them."""
        self._handle(self.messenger.take_outcomes())
        order = self._order
        if order is None:
            return
        for number in self.messenger.ready():
            link = self._links[number]
            while max_unforwarded is None or link.unforwarded < max_unforwarded:
                payload = self.messenger.next_payload(number)
                if payload is None:
                    break
                self._handle(self.messenger.take_outcomes())
                self._checker.payload_sent(self.run, link.tracked, payload)
                link.unforwarded += 1
                order(Parcel(number, payload))

    def _greet(self) -> None:
        if self._order is not None:
            self._greetings += 1
            self._order(SetGreeting(self.messenger.greeting))

    # -- the script --------------------------------------------------------------------------------

    def play(self, step: MessageStep) -> None:
        """Carry out a step of a script."""
        inbox = self.inbox
        match step:
            case SendingStep():
                for turn in range(step.times):
                    self._later(turn * step.every_s, partial(self._send, step))
            case Listen(topic=topic, messages=messages, bytes=size):
                interest = LocalInterest(messages=messages, bytes=size, answers=topic == TOPIC)
                self._listen(topic, interest)
            case Unlisten():
                self._listen(step.topic, None)
            case Stall():
                inbox.is_stalled = True
                self._later(step.for_s, inbox.resume)
            case Read():
                inbox.delay_s = step.late_s
                inbox.resume()
                if step.for_s is not None:
                    self._later(step.for_s, self._read_at_once)
        self._pump()

    def _read_at_once(self) -> None:
        self.inbox.delay_s = 0.0
        self.inbox.read()

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Call ``act`` after a delay; a frozen application waits on, and one that is over never."""
        if delay_s > 0:
            self._timeline.call_at(self._timeline.now_s + delay_s, self._act, act)
        else:
            act()

    def _act(self, act: Callable[[], None]) -> None:
        if self.run.is_over:
            return
        if self._is_frozen:
            self._later(_TICK_S, act)
            return
        act()
        self._pump()

    def _tick(self) -> None:
        self._later(_TICK_S, self._tick)
        self._handle(self.messenger.tick(self._timeline.now_s))

    def _listen(self, topic: str, interest: LocalInterest | None) -> None:
        self.messenger.listen(topic, interest)
        if interest is None:
            self.inbox.discard(topic)
        self._checker.interest_changed(self.run, topic, interest)
        self._greet()

    def _send(self, step: SendingStep) -> None:
        self.outbox.send(step, self._receivers(getattr(step, "to", ())))

    def _receivers(self, numbers: tuple[int, ...]) -> list[str]:
        """Return the keys of other nodes by number; without any, those of all linked nodes."""
        keys = [key for key in (node_of(number).key for number in numbers) if key != self.run.key]
        return keys or sorted({link.node.key for link in self._links.values()})

    def _link_to(self, key: str) -> TrackedLink:
        return next(link.tracked for link in self._links.values() if link.node.key == key)

    # -- outcomes ----------------------------------------------------------------------------------

    def _handle(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            match outcome:
                case Arrived(sender=sender, topic=topic, data=data):
                    self._note(f"hears {serial_of(data)} of {sender.name} on {topic}")
                    self._checker.received(self.run, outcome)
                    self.inbox.add(outcome.stream, outcome.number)
                case Missing(lost=lost, sender=sender, topic=topic):
                    count = "some" if lost is None else lost
                    self._note(f"misses {count} of {sender.name} on {topic}")
                    self._checker.gap(self.run, outcome)
                    self.inbox.add(outcome.stream, outcome.number)
                case QuestionArrived():
                    self._on_question(outcome)
                case Sent(ticket=ticket):
                    self.outbox.on_sent(ticket)
                case Replied(ticket=ticket, data=data):
                    self.outbox.on_reply(ticket, data)
                case OperationFailed(ticket=ticket, error=error):
                    self.outbox.on_failure(ticket, error)

    def _mark_read(self, stream: IncomingStream, number: int) -> None:
        self._checker.read(stream)
        self.messenger.mark_read(stream, number)

    def _on_question(self, asked: QuestionArrived) -> None:
        serial = serial_of(asked.data)
        if serial % 11 == 3:
            self.messenger.decline(asked.question, "not today")
            return
        self._checker.questions.ran(self.run, serial)
        answer = partial(self._answer, asked.question, asked.data, serial)
        self._later(_LATE_ANSWER_S if serial % 5 == 1 else 0.0, answer)

    def _answer(self, question: Question, data: bytes, serial: int) -> None:
        if serial % 7 == 2:
            self.messenger.fail(question, "ValueError: no")
        else:
            self.messenger.reply(question, data)
