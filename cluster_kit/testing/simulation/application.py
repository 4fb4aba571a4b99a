"""The application of a simulated node, as far as it talks: a messenger, and whoever reads, asks and
answers.

It speaks through the worker as a real one does, and lives on when that is replaced.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from cluster_kit.errors import NotSentError, RemoteError, RemoteProtocolError, UnansweredError
from cluster_kit.events import Event, NodeUp
from cluster_kit.node import Node
from cluster_kit.pipe.channel import Parcel
from cluster_kit.testing.simulation.identity import node_of
from cluster_kit.testing.simulation.invariants.findings import Law
from cluster_kit.testing.simulation.invariants.messages import HEAD_BYTES, Ledger, Party, Tie
from cluster_kit.testing.simulation.scripts.message_steps import (
    TOPIC,
    WINDOW_BYTES,
    WINDOW_MESSAGES,
    Ask,
    Listen,
    Publish,
    Read,
    Send,
    Speech,
    Stall,
    Talk,
    Unlisten,
)
from cluster_kit.testing.virtual_time.timeline import Timeline
from cluster_kit.topics.incoming import IncomingStream, Interest
from cluster_kit.topics.messenger import Messenger
from cluster_kit.topics.outcomes import Arrived, Asked, Failed, Missing, Outcome, Replied, Sent
from cluster_kit.topics.questions import Question
from cluster_kit.wire import topics as wire
from cluster_kit.worker.messages import Forwarded, Greeting, LinkClosed, LinkOpened

_MOST_IN_HAND = 4  # parcels of one link that the worker may have; as the supervisor's switchboard
_TICK_S = 1.0
_LATE_ANSWER_S = 0.5

Order = Callable[[Any], None]
"""Tells the worker something."""


@dataclass(slots=True)
class _Link:
    """One that is up; ``tie`` is the ledger's, and ``in_hand`` how many parcels the worker has for
    it.
    """

    node: Node
    tie: Tie
    in_hand: int = 0


class Application:
    """One run of one node's.

    Args:
        party: This run, as the ledger knows it.
        timeline: Time.
        ledger: Is told all that is said and heard, and judges it.
        note: Adds a line to the trace.
    """

    def __init__(
        self, party: Party, timeline: Timeline, *, ledger: Ledger, note: Callable[[str], None]
    ) -> None:
        self.party = party
        self.messenger = Messenger(party.run)
        self._timeline = timeline
        self._ledger = ledger
        self._note = note
        self._order: Order | None = None
        self._greetings = 0  # that this worker was told
        self._links: dict[int, _Link] = {}
        self._unread: deque[tuple[IncomingStream, int]] = deque()
        self._is_reading = True
        self._late_s = 0.0
        self._is_frozen = False
        self._sends: dict[int, tuple[str, str, int]] = {}  # key, topic and serial by ticket
        self._asks: dict[int, int] = {}  # serial by ticket
        self._tickets = 0
        self._listen(TOPIC, Interest(messages=WINDOW_MESSAGES, bytes=WINDOW_BYTES, answers=True))
        self._later(_TICK_S, self._tick)

    # -- life --------------------------------------------------------------------------------------

    @property
    def waits_for(self) -> tuple[int, ...]:
        """The serials of what was said to one node and has not ended."""
        return (*(serial for *_, serial in self._sends.values()), *self._asks.values())

    @property
    def linked(self) -> dict[str, bytes]:
        """The runs of those who are linked, by the key of the node."""
        return {link.node.key: link.tie.run for link in self._links.values()}

    @property
    def is_late(self) -> bool:
        """Whether it does not read at once, so that others may wait for room for long."""
        return self._late_s > 0 or not self._is_reading

    def attach(self, order: Order, node: Node) -> None:
        """Speak through a worker that has just been started with the greeting of now; ``node`` is
        its run.
        """
        self._order, self._greetings = order, 0
        self._ledger.serves(self.party, node)

    def detach(self) -> None:
        """The worker is dead, and all links with it."""
        self._order = None
        for link in list(self._links):
            self._close(link)

    def leave(self) -> None:
        """Say goodbye to everybody, behind all that is said already; what comes from now on is not
        heard.
        """
        self.messenger.close()
        self._pump(most_in_hand=None)
        self.detach()
        self.end()

    def end(self) -> None:
        """Take part in nothing any more."""
        self.party.is_over = True
        self._order = None

    def freeze(self) -> None:
        """Do nothing until it is thawed."""
        self._is_frozen = True

    def thaw(self) -> None:
        """Go on."""
        self._is_frozen = False
        self._read()

    # -- the worker --------------------------------------------------------------------------------

    def hear(self, message: Parcel | Forwarded | LinkOpened | LinkClosed) -> None:
        """Take in what the worker says of its links."""
        if self.party.is_over:
            return
        match message:
            case Parcel(link=link, payload=payload, forwarded=parcels) if link in self._links:
                self._links[link].in_hand -= parcels
                self._receive(link, payload)
            case Forwarded(link=link, parcels=parcels) if link in self._links:
                self._links[link].in_hand -= parcels
            case LinkOpened():
                self._open(message)
            case LinkClosed(link=link):
                self._close(link)
        self._pump()

    def limit(self, max_message_bytes: int | None) -> None:
        """Take over the worker's limit for messages."""
        if max_message_bytes is not None and max_message_bytes != self.messenger.max_message_bytes:
            self.messenger.max_message_bytes = max_message_bytes
            self._greet()

    def happened(self, event: Event) -> None:
        """Take in an event: whoever is up is reached from then on."""
        if isinstance(event, NodeUp) and not self.party.is_over:
            self._ledger.is_up(self.party, event.node, self.messenger.listeners)

    def _open(self, opened: LinkOpened) -> None:
        told = wire.decode_greeting(opened.greeting)
        tie = self._ledger.linked(self.party, b"" if told is None else told.run)
        self._links[opened.link] = _Link(opened.node, tie)
        outdated = opened.outdated or opened.greetings != self._greetings
        self._take(self.messenger.up(opened.link, opened.node, opened.greeting, outdated=outdated))

    def _close(self, link: int) -> None:
        self._take(self._left_over())
        closed = self._links.pop(link, None)
        if closed is not None:
            self._ledger.unlinked(self.party, closed.tie)
            self._take(self.messenger.down(link, self._timeline.now_s))

    def _receive(self, link: int, payload: bytes) -> None:
        try:
            self._ledger.carried(self.party, self._links[link].tie, payload)
            self._take(self.messenger.receive(link, payload))
        except RemoteProtocolError as exc:
            what = f"takes {self._links[link].node} to break the protocol: {exc}"
            self._ledger.broken(self.party, what, Law.REACH)
            self._close(link)

    def _pump(self, most_in_hand: int | None = _MOST_IN_HAND) -> None:
        """Hand to the worker what it has room for."""
        self._take(self._left_over())
        order = self._order
        for number in self.messenger.ready() if order is not None else ():
            link = self._links[number]
            while most_in_hand is None or link.in_hand < most_in_hand:
                payload = self.messenger.next_payload(number)
                if payload is None:
                    break
                self._take(self._left_over())
                self._ledger.handed_over(self.party, link.tie, payload)
                link.in_hand += 1
                assert order is not None
                order(Parcel(number, payload))

    def _left_over(self) -> list[Outcome]:
        """Return the outcomes of calls that return none."""
        return self.messenger.take_outcomes()

    def _greet(self) -> None:
        if self._order is not None:
            self._greetings += 1
            self._order(Greeting(self.messenger.greeting))

    # -- what it does ------------------------------------------------------------------------------

    def play(self, step: Talk) -> None:
        """Go through a step of a script."""
        match step:
            case Speech():
                for time in range(step.times):
                    self._later(time * step.every_s, partial(self._say, step))
            case Listen():
                wanted = Interest(
                    messages=step.messages, bytes=step.bytes, answers=step.topic == TOPIC
                )
                self._listen(step.topic, wanted)
            case Unlisten():
                self._listen(step.topic, None)
            case Stall():
                self._is_reading = False
                self._later(step.for_s, self._go_on_reading)
            case Read():
                self._late_s = step.late_s
                self._go_on_reading()
                if step.for_s is not None:
                    self._later(step.for_s, self._read_at_once)
        self._pump()

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Do something later, unless it is over by then; while it is frozen it does nothing."""
        if delay_s > 0:
            self._timeline.call_at(self._timeline.now_s + delay_s, self._act, act)
        else:
            act()

    def _act(self, act: Callable[[], None]) -> None:
        if self.party.is_over:
            return
        if self._is_frozen:
            self._later(_TICK_S, act)
            return
        act()
        self._pump()

    def _tick(self) -> None:
        self._later(_TICK_S, self._tick)
        self._take(self.messenger.tick(self._timeline.now_s))

    def _listen(self, topic: str, interest: Interest | None) -> None:
        self.messenger.listen(topic, interest)
        self._unread = (
            deque(each for each in self._unread if each[0].topic != topic)
            if interest is None
            else self._unread
        )
        self._ledger.listens(self.party, topic, interest)
        self._greet()

    def _say(self, step: Speech) -> None:
        size = max(0, step.bytes - HEAD_BYTES)
        match step:
            case Publish():
                self._publish(step.topic, size)
            case Send():
                for key in self._receivers(step.to):
                    self._send(key, step.topic, size)
            case Ask():
                for key in self._receivers(step.to):
                    self._ask(key, step, size)

    def _receivers(self, numbers: tuple[int, ...]) -> list[str]:
        own = self.party.key
        return [key for key in (node_of(number).key for number in numbers) if key != own] or sorted(
            self.linked
        )

    def _publish(self, topic: str, size: int) -> None:
        self._take(self._left_over())  # in the order in which they were handed over
        listeners = self.messenger.listeners(topic)
        data, serial = self._ledger.data(self.party, size)
        count = self.messenger.publish(topic, data)
        self._note(f"publishes {serial} on {topic}: to {count} of {len(listeners)}")
        for node in listeners:
            self._said(node.key, topic, serial, is_handed_over=count == len(listeners))

    def _said(self, key: str, topic: str, serial: int, *, is_handed_over: bool) -> None:
        tie = next(link.tie for link in self._links.values() if link.node.key == key)
        self._ledger.said(self.party, tie, topic, serial, is_handed_over=is_handed_over)

    def _send(self, key: str, topic: str, size: int) -> None:
        data, serial = self._ledger.data(self.party, size)
        self._tickets += 1
        self._sends[self._tickets] = key, topic, serial
        self._take(self.messenger.send(key, topic, data, self._tickets))

    def _ask(self, key: str, step: Ask, size: int) -> None:
        data, serial = self._ledger.data(self.party, size)
        self._tickets += 1
        ticket = self._tickets
        self._asks[ticket] = serial
        self._take(self.messenger.ask(key, step.topic, data, ticket, step.timeout_s))
        self._later(step.timeout_s, partial(self._give_up, ticket))

    def _give_up(self, ticket: int) -> None:
        if ticket in self._asks:
            is_unsent = self.messenger.withdraw(ticket)
            self._ends(
                ticket, "withdrawn" if is_unsent else "given up", ran=False if is_unsent else None
            )

    # -- what comes of it --------------------------------------------------------------------------

    def _take(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            match outcome:
                case Arrived(sender=sender, topic=topic, data=data):
                    self._note(f"hears {self._ledger.serial_of(data)} of {sender.name} on {topic}")
                    self._ledger.arrived(self.party, outcome)
                    self._put(outcome.stream, outcome.number)
                case Missing(lost=lost, sender=sender, topic=topic):
                    self._note(
                        f"misses {'some' if lost is None else lost} of {sender.name} on {topic}"
                    )
                    self._ledger.missing(self.party, outcome)
                    self._put(outcome.stream, outcome.number)
                case Asked():
                    self._asked(outcome)
                case Sent(ticket=ticket):
                    self._sent(ticket)
                case Replied(ticket=ticket):
                    self._ends(ticket, "answered", ran=True, answer=outcome.data)
                case Failed(ticket=ticket, error=error):
                    self._failed(ticket, error)

    def _asked(self, asked: Asked) -> None:
        serial = self._ledger.serial_of(asked.data)
        if serial % 11 == 3:
            self.messenger.decline(asked.question, "not today")
            return
        self._ledger.ran(self.party, serial)
        answer = partial(self._answer, asked.question, asked.data, serial)
        self._later(_LATE_ANSWER_S if serial % 5 == 1 else 0.0, answer)

    def _answer(self, question: Question, data: bytes, serial: int) -> None:
        if serial % 7 == 2:
            self.messenger.fail(question, "ValueError: no")
        else:
            self.messenger.reply(question, data)

    def _sent(self, ticket: int) -> None:
        if ticket not in self._sends:
            self._ledger.broken(self.party, f"is told twice what came of ticket {ticket}")
            return
        self._said(*self._sends.pop(ticket), is_handed_over=True)

    def _failed(self, ticket: int, error: Exception) -> None:
        if self._sends.pop(ticket, None) is not None:
            if not isinstance(error, NotSentError):
                self._ledger.broken(self.party, f"failed to send something, and is told {error!r}")
            return
        ran = {NotSentError: False, RemoteError: True, UnansweredError: None}
        kind = next((kind for kind in ran if isinstance(error, kind)), None)
        if kind is None:
            self._ledger.broken(self.party, f"asked, and is told {error!r}")
        self._ends(ticket, f"failed: {error!r}", ran=None if kind is None else ran[kind])

    def _ends(
        self, ticket: int, how: str, *, ran: bool | None, answer: bytes | None = None
    ) -> None:
        serial = self._asks.pop(ticket, None)
        self._ledger.ends(self.party, serial, how, ran=ran, answer=answer)

    # -- reading -----------------------------------------------------------------------------------

    def _put(self, stream: IncomingStream, number: int) -> None:
        self._unread.append((stream, number))
        self._later(self._late_s, self._read)

    def _read_at_once(self) -> None:
        self._late_s = 0.0
        self._read()

    def _go_on_reading(self) -> None:
        self._is_reading = True
        self._read()

    def _read(self) -> None:
        """Read what has come, or, where it is read late, one thing."""
        while self._is_reading and self._unread:
            stream, number = self._unread.popleft()
            self._ledger.reads(self.party, stream)
            self.messenger.mark_read(stream, number)
