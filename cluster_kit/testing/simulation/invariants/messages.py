"""Keeps account of all messages of a simulation: what was said to whom, and what came of it. Pure.

Each message has a serial of its own in its data, so that nothing here depends on the numbers that
the protocol gives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf

from cluster_kit.abc import MAX_PAYLOAD_BYTES
from cluster_kit.node import BootId, Node
from cluster_kit.testing.simulation.identity import label_of, node_of
from cluster_kit.testing.simulation.invariants.findings import Law
from cluster_kit.topics import lanes
from cluster_kit.topics.incoming import IncomingStream, Interest
from cluster_kit.topics.outcomes import Arrived, Missing
from cluster_kit.wire import topics as wire

HEAD_BYTES = 8
_GAP = -1  # in place of a size

Tell = Callable[[Law, int, str], None]
"""Called with what breaks a law: which, the number of the node, and what it did."""


@dataclass(slots=True, eq=False)
class Party:
    """One run of one node's application.

    Attributes:
        listening: Since when to which topic.
        widest: The most room that it has ever given there.
        serves_s: Since when its worker runs.
        is_over: It has ended.
    """

    number: int
    key: str
    run: bytes
    listening: dict[str, float] = field(default_factory=dict)
    widest: dict[str, Interest] = field(default_factory=dict)
    serves_s: float = 0.0
    is_over: bool = False


@dataclass(slots=True, eq=False)
class Tie:
    """One link of one application.

    Attributes:
        run: The other's.
        sent: How many bytes were handed over to it.
        heard: How many of these have arrived, as far as the other has said.
    """

    run: bytes
    sent: int = 0
    heard: int = 0


@dataclass(frozen=True, slots=True)
class _Said:
    """One message to one peer; ``is_handed_over`` where there certainly was room for it."""

    serial: int
    at_s: float
    tie: Tie
    is_handed_over: bool


@dataclass(slots=True, eq=False)
class _Account:
    """All that one application says to another on a topic.

    Attributes:
        said: In order.
        place: The place of each there, by its serial.
        position: How many of them have arrived or were left out before one that has.
        lost: How many were told to be lost since.
        is_loose: Nobody can know how many are missing before the next that arrives.
    """

    said: list[_Said] = field(default_factory=list)
    place: dict[int, int] = field(default_factory=dict)
    position: int = 0
    lost: int = 0
    is_loose: bool = False


@dataclass(slots=True, eq=False)
class _Inquiry:
    """What came of a question: how often it ran, and whether it may have, as who asked was told."""

    times: int = 0
    ends: int = 0
    may_run: bool = True


class Ledger:
    """The account of all applications.

    Args:
        tell: Called with what breaks a law.
        now_s: Returns the time.
    """

    def __init__(self, tell: Tell, now_s: Callable[[], float]) -> None:
        self._tell = tell
        self._now_s = now_s
        self._parties: dict[bytes, Party] = {}
        self._boots: dict[BootId, Party] = {}
        self._serials = 0
        self._speakers: dict[int, Party] = {}
        # by the runs of receiver and sender
        self._accounts: dict[tuple[bytes, bytes, str], _Account] = {}
        self._ties: dict[Tie, Party] = {}  # those that are up
        # when the latest link was over at the first
        self._met: dict[tuple[bytes, bytes], float] = {}
        # where the first has heard the last word of the other
        self._over: set[tuple[bytes, bytes]] = set()
        self._waiting: dict[IncomingStream, deque[int]] = {}  # sizes of what is not read
        self._inquiries: dict[int, _Inquiry] = {}
        self.broken_s = -inf
        """When the latest link was down."""

    # -- who is who --------------------------------------------------------------------------------

    def begins(self, number: int) -> Party:
        """Take in a new run of a node's application."""
        run = number.to_bytes(8) + len(self._parties).to_bytes(8)
        party = self._parties[run] = Party(number, node_of(number).key, run)
        return party

    def serves(self, party: Party, node: Node) -> None:
        """Take in a new worker of an application."""
        if node.boot_id is not None:
            self._boots[node.boot_id] = party
        party.serves_s = self._now_s()

    def listens(self, party: Party, topic: str, interest: Interest | None) -> None:
        """Take in that an application listens to a topic, or doesn't any more."""
        if interest is None:
            party.listening.pop(topic, None)
            return
        if topic not in party.listening:
            is_anew = topic in party.widest
            party.listening[topic] = self._now_s()
            for (receiver, _, on), account in self._accounts.items():
                if is_anew and receiver == party.run and on == topic:
                    account.is_loose, account.lost = True, 0
        before = party.widest.get(topic, interest)
        messages, size = max(before.messages, interest.messages), max(before.bytes, interest.bytes)
        party.widest[topic] = Interest(messages=messages, bytes=size)

    # -- links -------------------------------------------------------------------------------------

    def linked(self, party: Party, run: bytes) -> Tie:
        """Take in a new link of an application to that run of another."""
        tie = Tie(run)
        self._ties[tie] = party
        self._met.setdefault((party.run, run), -inf)
        return tie

    def unlinked(self, party: Party, tie: Tie) -> None:
        """Take in that a link is down."""
        del self._ties[tie]
        self.broken_s = self._met[party.run, tie.run] = self._now_s()

    def is_up(self, party: Party, node: Node, listeners: Callable[[str], tuple[Node, ...]]) -> None:
        """Judge that a node is up: unless the link is down again, what it has listened to from its
        beginning is known.
        """
        peer = self._sender(node)
        if peer is None or (party.run, peer.run) not in self._met:
            self.broken(
                party, f"{node} is up, and nothing that carries messages leads to it", Law.REACH
            )
        elif any(tie.run == peer.run and self._ties[tie] is party for tie in self._ties):
            self._judge_reach(party, peer, node, listeners)

    def _judge_reach(
        self, party: Party, peer: Party, node: Node, listeners: Callable[[str], tuple[Node, ...]]
    ) -> None:
        shaken_s = max(party.serves_s, peer.serves_s)  # no earlier than that
        for topic, listening_s in peer.listening.items():
            if listening_s <= shaken_s and all(each.key != node.key for each in listeners(topic)):
                self.broken(
                    party,
                    f"{node} is up, and doesn't listen to {topic} as far as is known",
                    Law.REACH,
                )

    def handed_over(self, party: Party, tie: Tie, payload: bytes) -> None:
        """Judge a payload that is sent: so much that isn't known to have arrived is not on its
        way.
        """
        ahead = tie.sent - tie.heard
        tie.sent += len(payload)
        limit = lanes.MAX_TRANSIT_BYTES - MAX_PAYLOAD_BYTES
        if ahead > limit and any(isinstance(each, _HEAVY) for each in wire.decode(payload)):
            self.broken(
                party,
                f"sends more while {ahead} bytes are on their way; {limit} at most may be",
                Law.ROOM,
            )

    def carried(self, party: Party, tie: Tie, payload: bytes) -> None:
        """Take in what a payload says of others that have arrived, and who says it if no greeting
        has.
        """
        for record in wire.decode(payload):
            if isinstance(record, wire.Heard):
                tie.heard = record.bytes
            elif isinstance(record, wire.Closing):
                self._over.add((party.run, tie.run))
            elif isinstance(record, wire.Opening) and not tie.run:
                tie.run = record.run
                self._met.setdefault((party.run, tie.run), -inf)

    # -- messages ----------------------------------------------------------------------------------

    def data(self, party: Party, size: int) -> tuple[bytes, int]:
        """Return the data of a new message with ``size`` bytes of ballast, and its serial."""
        self._serials += 1
        self._speakers[self._serials] = party
        return self._serials.to_bytes(HEAD_BYTES) + bytes(size), self._serials

    @staticmethod
    def serial_of(data: bytes) -> int:
        """Return the serial of a message."""
        return int.from_bytes(data[:HEAD_BYTES])

    def said(
        self, party: Party, tie: Tie, topic: str, serial: int, *, is_handed_over: bool
    ) -> None:
        """Take in that something is said over a link, and whether there certainly was room."""
        account = self._account(tie.run, party.run, topic)
        account.place[serial] = len(account.said)
        account.said.append(_Said(serial, self._now_s(), tie, is_handed_over))

    def arrived(self, party: Party, arrived: Arrived) -> None:
        """Judge a message that has arrived."""
        serial, topic = self.serial_of(arrived.data), arrived.topic
        speaker = self._speakers.get(serial)
        if speaker is None or speaker is party or speaker is not self._sender(arrived.sender):
            self.broken(
                party,
                f"hears {serial} on {topic} of {arrived.sender}, which has not said it",
                Law.MESSAGES,
            )
            return
        account = self._account(party.run, speaker.run, topic)
        place = account.place.get(serial)
        if place is None or place < account.position:
            how = "which was not said to it there" if place is None else "once more, or too late"
            self.broken(
                party, f"hears {serial} on {topic} of {arrived.sender}, {how}", Law.MESSAGES
            )
            return
        missing = place - account.position
        if missing != account.lost and not account.is_loose:
            what = (
                f"hears {serial} on {topic} of {arrived.sender}: {missing} are missing before, "
                f"{account.lost} were told"
            )
            self.broken(party, what, Law.GAPS)
        account.position, account.lost, account.is_loose = place + 1, 0, False
        self._waits(party, arrived.stream, topic, len(arrived.data))

    def missing(self, party: Party, missing: Missing) -> None:
        """Judge that messages are told to be lost."""
        self._waits(party, missing.stream, missing.topic, _GAP)
        sender = self._sender(missing.sender)
        if sender is None:
            self.broken(
                party,
                f"is told that messages of {missing.sender} are lost, which never ran",
                Law.GAPS,
            )
            return
        account = self._account(party.run, sender.run, missing.topic)
        if missing.lost is None:
            ends = party.run, sender.run
            if self._met.get(ends, -inf) == -inf or ends in self._over:
                why = "which has said all" if ends in self._over else "whose link never broke"
                self.broken(
                    party, f"doesn't know what it has lost of {missing.sender}, {why}", Law.GAPS
                )
            account.is_loose, account.lost = True, 0
            return
        if not account.is_loose:
            self._judge_loss(party, sender, account, missing)
        account.lost += missing.lost

    def _judge_loss(self, party: Party, sender: Party, account: _Account, missing: Missing) -> None:
        """Judge a loss: of links that have not broken only that is lost for which there was no
        room.
        """
        assert missing.lost is not None
        first = account.position + account.lost
        gone = account.said[first : first + missing.lost]
        if missing.lost < 1 or len(gone) < missing.lost:
            what = (
                f"is told that {missing.lost} of {missing.sender} on {missing.topic} are lost, of "
                f"{len(gone)}"
            )
            self.broken(party, what, Law.GAPS)
        since_s = self._met.get((party.run, sender.run), -inf)
        for said in gone:
            is_whole = said.tie in self._ties and not sender.is_over and since_s < said.at_s
            if said.is_handed_over and is_whole:
                what = (
                    f"has lost {said.serial} of {missing.sender} on {missing.topic}, though the "
                    "link has not broken"
                )
                self.broken(party, what, Law.REACH)

    def reads(self, party: Party, stream: IncomingStream) -> None:
        """Take in that the next message of a stream, or gap, is read."""
        self._waiting[stream].popleft()

    def _waits(self, party: Party, stream: IncomingStream, topic: str, size: int) -> None:
        waiting = self._waiting.setdefault(stream, deque())
        waiting.append(size)
        room = party.widest[topic]
        sizes = [each for each in waiting if each != _GAP]
        if len(sizes) > room.messages or (sum(sizes) > room.bytes and len(sizes) > 1):
            what = (
                f"has {len(sizes)} messages of {sum(sizes)} bytes on {topic} to read, and room for "
                f"{room.messages}"
            )
            self.broken(party, f"{what} of {room.bytes}", Law.ROOM)

    def _account(self, receiver: bytes, sender: bytes, topic: str) -> _Account:
        return self._accounts.setdefault((receiver, sender, topic), _Account())

    def _sender(self, node: Node) -> Party | None:
        return None if node.boot_id is None else self._boots.get(node.boot_id)

    # -- questions ---------------------------------------------------------------------------------

    def ran(self, party: Party, serial: int) -> None:
        """Judge that somebody deals with a question."""
        inquiry = self._inquiries.setdefault(serial, _Inquiry())
        inquiry.times += 1
        if inquiry.times > 1 or not inquiry.may_run:
            why = (
                "more than once"
                if inquiry.times > 1
                else "though who asked was told that it certainly did not"
            )
            self.broken(party, f"question {serial} runs, {why}")

    def ends(
        self, party: Party, serial: int | None, how: str, *, ran: bool | None, answer: bytes | None
    ) -> None:
        """Judge what who asked is told: that the question ran, did not, or, with ``None``, may
        have.
        """
        if serial is None:
            self.broken(party, f"a question that has ended before is {how}")
            return
        inquiry = self._inquiries.setdefault(serial, _Inquiry())
        inquiry.may_run = ran is not False
        if (ran is True and inquiry.times == 0) or (ran is False and inquiry.times > 0):
            self.broken(party, f"question {serial} is {how}, and ran {inquiry.times} times")
        if answer is not None and self.serial_of(answer) != serial:
            self.broken(party, f"question {serial} is answered by the answer to another")

    def broken(self, party: Party, what: str, law: Law = Law.QUESTIONS) -> None:
        """Tell what breaks a law."""
        self._tell(law, party.number, what)

    # -- the end -----------------------------------------------------------------------------------

    def conclude(self, listeners: Mapping[bytes, Callable[[str], tuple[Node, ...]]]) -> None:
        """Judge the end of a simulation, when nothing has happened for long.

        Args:
            listeners: Of those applications that are there, by their runs.
        """
        for (receiver, sender, topic), account in self._accounts.items():
            party = self._parties[receiver]
            is_meant = (
                receiver in listeners
                and topic in party.listening
                and (receiver, sender) in self._met
            )
            missing = len(account.said) - account.position
            if is_meant and not account.is_loose and missing != account.lost:
                what = (
                    f"{missing} messages of {label_of(self._parties[sender].number)} on {topic} "
                    "are missing at the end"
                )
                self.broken(party, f"{what}, and {account.lost} were told", Law.GAPS)
        for tie, party in self._ties.items():
            if party.run in listeners and tie.run in listeners:
                self._judge_listeners(party, self._parties[tie.run], listeners[party.run])

    def _judge_listeners(
        self, party: Party, peer: Party, listeners: Callable[[str], tuple[Node, ...]]
    ) -> None:
        for topic in sorted(peer.widest):
            is_known = any(node.key == peer.key for node in listeners(topic))
            if is_known != (topic in peer.listening):
                what = "listens" if is_known else "doesn't listen"
                self.broken(
                    party,
                    f"{label_of(peer.number)} {what} to {topic} in the end, as far as is known",
                    Law.REACH,
                )


_HEAVY = (wire.Said, wire.Asked, wire.Answered, wire.Part)
