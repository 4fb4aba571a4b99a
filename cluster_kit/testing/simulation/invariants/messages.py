"""Judges the messages of a simulation against what was really sent. Pure.

Applications record here all that they send and all that their messengers report. Where each
invariant is checked:

========== ==========================================================================
invariant  where
========== ==========================================================================
MESSAGES   ``received``: at most once, in order, from the run that sent it
GAPS       ``received``, ``gap``: gaps name exactly what is missing; ``conclude``: all
           that is missing at the end was reported
REACH      ``node_up``, ``conclude``: linked peers know what the other listens to;
           ``_judge_loss``: an unbroken link loses nothing that it had room for
ROOM       ``payload_sent``: bytes in transit; ``_add_unread``: bytes that wait for a
           reader
QUESTIONS  ``questions.QuestionChecker``
========== ==========================================================================
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from math import inf

from cluster_kit.abc import MAX_PAYLOAD_BYTES
from cluster_kit.node import BootId, Node
from cluster_kit.testing.simulation.identity import label_of, node_of
from cluster_kit.testing.simulation.invariants.deliveries import (
    SERIAL_BYTES,
    ApplicationRun,
    Delivery,
    SentMessage,
    TrackedLink,
    serial_of,
)
from cluster_kit.testing.simulation.invariants.findings import Law
from cluster_kit.testing.simulation.invariants.questions import QuestionChecker
from cluster_kit.topics import lanes
from cluster_kit.topics.incoming import IncomingStream, LocalInterest
from cluster_kit.topics.outcomes import Arrived, Missing
from cluster_kit.wire import topics as wire

_GAP = -1  # in place of a size
_HEAVY = (wire.Data, wire.Asked, wire.Answered, wire.Fragment)  # records that count as transit

Listeners = Callable[[str], tuple[Node, ...]]
"""Returns the peers that listen to a topic, as far as one application knows."""


class MessageChecker:
    """The messages of all applications.

    Args:
        report: Called with each violation: the invariant, the number of the node, and what it did.
        now_s: Returns the virtual time.

    Attributes:
        last_link_down_s: When a link last went down.
    """

    def __init__(self, report: Callable[[Law, int, str], None], now_s: Callable[[], float]) -> None:
        self.last_link_down_s = -inf
        self.questions = QuestionChecker(self.report)
        self._report = report
        self._now_s = now_s
        self._runs: dict[bytes, ApplicationRun] = {}
        self._runs_by_boot: dict[BootId, ApplicationRun] = {}
        self._senders: list[ApplicationRun] = []  # of each serial number, from 1
        self._deliveries: dict[tuple[bytes, bytes, str], Delivery] = {}  # by receiver and sender
        self._links: dict[TrackedLink, ApplicationRun] = {}  # those that are up
        # when the first run last lost a link to the second; -inf if none of their links ever broke
        self._lost_link_s: dict[tuple[bytes, bytes], float] = {}
        # the first run knows that the second has sent all it will ever send
        self._closed: set[tuple[bytes, bytes]] = set()
        self._unread: dict[IncomingStream, deque[int]] = {}  # sizes

    def report(self, run: ApplicationRun, law: Law, what: str) -> None:
        """Report that an application violates an invariant."""
        self._report(law, run.number, what)

    # -- applications ------------------------------------------------------------------------------

    def application_started(self, number: int) -> ApplicationRun:
        """Record a new run of a node's application."""
        run_id = number.to_bytes(8) + len(self._runs).to_bytes(8)
        run = self._runs[run_id] = ApplicationRun(number, node_of(number).key, run_id)
        return run

    def worker_started(self, run: ApplicationRun, node: Node) -> None:
        """Record a new worker of an application; ``node`` is its boot."""
        if node.boot_id is not None:
            self._runs_by_boot[node.boot_id] = run
        run.worker_started_s = self._now_s()

    def interest_changed(
        self, run: ApplicationRun, topic: str, interest: LocalInterest | None
    ) -> None:
        """Record what an application wants of a topic; ``None`` for nothing any more."""
        if interest is None:
            run.listening.pop(topic, None)
            return
        if topic not in run.listening:
            if topic in run.widest:  # what was sent in the meantime is not counted as lost
                for (receiver, _, on), delivery in self._deliveries.items():
                    if receiver == run.id and on == topic:
                        delivery.lose_count()
            run.listening[topic] = self._now_s()
        before = run.widest.get(topic, interest)
        run.widest[topic] = LocalInterest(
            messages=max(before.messages, interest.messages),
            bytes=max(before.bytes, interest.bytes),
        )

    # -- links -------------------------------------------------------------------------------------

    def link_up(self, run: ApplicationRun, peer_id: bytes) -> TrackedLink:
        """Record a new link to another application run."""
        link = TrackedLink(peer_id)
        self._links[link] = run
        self._lost_link_s.setdefault((run.id, peer_id), -inf)
        return link

    def link_down(self, run: ApplicationRun, link: TrackedLink) -> None:
        """Record that a link is down."""
        del self._links[link]
        self.last_link_down_s = self._lost_link_s[run.id, link.peer_id] = self._now_s()

    def node_up(self, run: ApplicationRun, node: Node, listeners: Listeners) -> None:
        """Judge a ``NodeUp``: unless the link is down again, the peer's interests are known."""
        peer = self._run_of(node)
        if peer is None or (run.id, peer.id) not in self._lost_link_s:
            what = f"{node} is up, and no link that carries messages leads to it"
            self.report(run, Law.REACH, what)
            return
        if not any(link.peer_id == peer.id and self._links[link] is run for link in self._links):
            return
        settled_s = max(run.worker_started_s, peer.worker_started_s)  # before any handshake
        for topic, listening_s in peer.listening.items():
            if listening_s <= settled_s and all(each.key != node.key for each in listeners(topic)):
                what = f"{node} is up, and is not known to listen to {topic}"
                self.report(run, Law.REACH, what)

    def payload_sent(self, run: ApplicationRun, link: TrackedLink, payload: bytes) -> None:
        """Judge how much of a link's traffic was in transit when a payload was sent."""
        in_transit = link.sent - link.acknowledged
        link.sent += len(payload)
        limit = lanes.MAX_TRANSIT_BYTES - MAX_PAYLOAD_BYTES
        if in_transit > limit and any(isinstance(each, _HEAVY) for each in wire.decode(payload)):
            what = f"sends more while {in_transit} bytes are in transit; the limit is {limit}"
            self.report(run, Law.ROOM, what)

    def payload_received(self, run: ApplicationRun, link: TrackedLink, payload: bytes) -> None:
        """Record what a payload says about the link and its sender."""
        for record in wire.decode(payload):
            if isinstance(record, wire.Received):
                link.acknowledged = record.bytes
            elif isinstance(record, wire.Closing):
                self._closed.add((run.id, link.peer_id))
            elif isinstance(record, wire.Opening) and not link.peer_id:
                link.peer_id = record.run
                self._lost_link_s.setdefault((run.id, link.peer_id), -inf)

    # -- messages ----------------------------------------------------------------------------------

    def new_message(self, run: ApplicationRun, size: int) -> tuple[bytes, int]:
        """Return the data of a new message with ``size`` bytes of padding, and its serial."""
        self._senders.append(run)
        serial = len(self._senders)
        return serial.to_bytes(SERIAL_BYTES) + bytes(size), serial

    def sent(
        self, run: ApplicationRun, link: TrackedLink, topic: str, serial: int, *, had_room: bool
    ) -> None:
        """Record that a message was sent over a link, and whether there certainly was room."""
        message = SentMessage(serial, self._now_s(), link, had_room)
        self._delivery(link.peer_id, run.id, topic).add(message)

    def received(self, run: ApplicationRun, arrived: Arrived) -> None:
        """Judge a message that has arrived."""
        serial, topic = serial_of(arrived.data), arrived.topic
        what = f"received {serial} on {topic} from {arrived.sender}"
        sender = self._senders[serial - 1] if 1 <= serial <= len(self._senders) else None
        if sender is None or sender is run or sender is not self._run_of(arrived.sender):
            self.report(run, Law.MESSAGES, f"{what}, which never sent it")
            return
        delivery = self._delivery(run.id, sender.id, topic)
        index = delivery.index.get(serial)
        if index is None:
            self.report(run, Law.MESSAGES, f"{what}, but it was not sent there")
            return
        if index < delivery.position:
            self.report(run, Law.MESSAGES, f"{what}, again or too late")
            return
        missing = index - delivery.position
        if not delivery.is_explained(missing):
            counts = f"{missing} are missing before it, {delivery.lost} were reported lost"
            self.report(run, Law.GAPS, f"{what}: {counts}")
        delivery.advance(index)
        self._add_unread(run, arrived.stream, topic, len(arrived.data))

    def gap(self, run: ApplicationRun, missing: Missing) -> None:
        """Judge a gap that an application's messenger reports."""
        self._add_unread(run, missing.stream, missing.topic, _GAP)
        sender = self._run_of(missing.sender)
        if sender is None:
            what = f"reports lost messages of {missing.sender}, which never ran"
            self.report(run, Law.GAPS, what)
            return
        delivery = self._delivery(run.id, sender.id, missing.topic)
        if missing.lost is None:
            self._judge_unknown_loss(run, sender, missing)
            delivery.lose_count()
            return
        if not delivery.uncountable:
            self._judge_loss(run, sender, delivery, missing)
        delivery.lost += missing.lost

    def _judge_unknown_loss(
        self, run: ApplicationRun, sender: ApplicationRun, missing: Missing
    ) -> None:
        """Judge a gap of unknown size: only a broken link without a goodbye excuses one."""
        ends = run.id, sender.id
        if ends in self._closed:
            why = "which has closed its streams"
        elif self._lost_link_s.get(ends, -inf) == -inf:
            why = "whose link never broke"
        else:
            return
        what = f"does not know how much it has lost of {missing.sender}, {why}"
        self.report(run, Law.GAPS, what)

    def _judge_loss(
        self, run: ApplicationRun, sender: ApplicationRun, delivery: Delivery, missing: Missing
    ) -> None:
        """Judge a counted gap: an unbroken link loses only what there was no room for."""
        assert missing.lost is not None
        first = delivery.position + delivery.lost
        lost = delivery.sent[first : first + missing.lost]
        where = f"of {missing.sender} on {missing.topic}"
        if missing.lost < 1 or len(lost) < missing.lost:
            what = f"reports {missing.lost} messages {where} as lost, of {len(lost)} outstanding"
            self.report(run, Law.GAPS, what)
        broken_s = self._lost_link_s.get((run.id, sender.id), -inf)
        for message in lost:
            is_whole = message.link in self._links and not sender.is_over
            if message.had_room and is_whole and broken_s < message.at_s:
                what = f"has lost {message.serial} {where}, though the link has not broken"
                self.report(run, Law.REACH, what)

    def read(self, stream: IncomingStream) -> None:
        """Record that an application has read the next message or gap of a stream."""
        self._unread[stream].popleft()

    def _add_unread(
        self, run: ApplicationRun, stream: IncomingStream, topic: str, size: int
    ) -> None:
        unread = self._unread.setdefault(stream, deque())
        unread.append(size)
        room = run.widest[topic]
        sizes = [each for each in unread if each != _GAP]
        # a message longer than the whole window passes when nothing else waits
        if len(sizes) > room.messages or (sum(sizes) > room.bytes and len(sizes) > 1):
            held, window = f"{len(sizes)} messages of {sum(sizes)} bytes", f"{room.messages}"
            what = f"{held} on {topic} are unread; there is room for {window} of {room.bytes}"
            self.report(run, Law.ROOM, what)

    def _delivery(self, receiver: bytes, sender: bytes, topic: str) -> Delivery:
        return self._deliveries.setdefault((receiver, sender, topic), Delivery())

    def _run_of(self, node: Node) -> ApplicationRun | None:
        return None if node.boot_id is None else self._runs_by_boot.get(node.boot_id)

    # -- the end -----------------------------------------------------------------------------------

    def conclude(self, listeners: Mapping[bytes, Listeners]) -> None:
        """Judge the end of a simulation, after a time in which nothing happened.

        Args:
            listeners: What each application that runs knows of the others, by its id.
        """
        for (receiver, sender, topic), delivery in self._deliveries.items():
            run = self._runs[receiver]
            if receiver not in listeners or topic not in run.listening:
                continue
            missing = len(delivery.sent) - delivery.position
            if (receiver, sender) in self._lost_link_s and not delivery.is_explained(missing):
                of = f"of {label_of(self._runs[sender].number)} on {topic}"
                counts = f"{missing} messages {of} are missing at the end"
                self.report(run, Law.GAPS, f"{counts}, and {delivery.lost} were reported lost")
        for link, run in self._links.items():
            if run.id in listeners and link.peer_id in listeners:
                self._judge_listeners(run, self._runs[link.peer_id], listeners[run.id])

    def _judge_listeners(
        self, run: ApplicationRun, peer: ApplicationRun, listeners: Listeners
    ) -> None:
        for topic in sorted(peer.widest):
            is_known = any(node.key == peer.key for node in listeners(topic))
            if is_known != (topic in peer.listening):
                belief = "listens" if is_known else "does not listen"
                what = f"believes at the end that {label_of(peer.number)} {belief} to {topic}"
                self.report(run, Law.REACH, what)
