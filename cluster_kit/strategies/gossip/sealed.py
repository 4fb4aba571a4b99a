"""Gossip under a secret: the protocol of ``engine`` in datagrams that can't be replayed. Pure.

Each datagram to the group is sealed and carries a nonce. A node that receives it from an unknown
run sends that nonce back, with a nonce of its own. So the run knows that the answer is live, and
sends the other nonce back in turn: both know each other after three datagrams.

A datagram to one node is sent to the address inside that node's sealed datagram, whatever source
that had. A datagram to an unknown run is no longer than what caused it. The engine receives only
what has proved to be live.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush

from msgspec import Struct

from cluster_kit.errors import RemoteProtocolError
from cluster_kit.host import is_unspecified
from cluster_kit.network import Datagram, Endpoint
from cluster_kit.node import Fence, Node
from cluster_kit.strategies.gossip.distrust import ANOTHER, WE_ALONE, Distrusted
from cluster_kit.strategies.gossip.engine import (
    Action,
    GossipEngine,
    IgnoredDatagram,
    Send,
    Sooner,
    read,
)
from cluster_kit.strategies.gossip.freshness import (
    ASKS_PER_S,
    MAX_ASKED,
    NONCE_S,
    Freshness,
    Liveness,
)
from cluster_kit.wire.envelope import NO_NONCE, Envelope
from cluster_kit.wire.envelope import decode as decode_envelope
from cluster_kit.wire.envelope import encode as encode_envelope
from cluster_kit.wire.gossip import Boot, Kind, Packet, decode
from cluster_kit.wire.sealing import NotOpened, Opened, SealFault, Sealing

ASKING_BYTES = 256  # a question is padded to this, if there is room: most replies fit
FEW = 100  # peers that may ask a newcomer at once: its socket can hold that
LONGEST_DELAY_S = NONCE_S - 1.0  # the nonce that is sent back must still count then


class _Question(Struct, frozen=True, order=True):
    """A run to ask and the nonce to send back, ordered by time and then by number."""

    at_s: float
    number: int
    boot: Boot
    to: Endpoint
    echo: bytes
    size_bytes: int


class SealedEngine:
    """One node's part in sealed gossip; used like a ``GossipEngine``.

    Args:
        engine: The engine whose datagrams are sealed.
        sealing: The sealing of this run.
        fence: Cluster and group.
        ttl_s: For how many seconds a peer counts as alive after it was heard.
        random: Returns a number from 0 to 1, for jitter.
        key: The key from which nonces are derived: random, and new for each run.
    """

    def __init__(
        self,
        engine: GossipEngine,
        sealing: Sealing,
        *,
        fence: Fence,
        ttl_s: float,
        random: Callable[[], float],
        key: bytes,
    ) -> None:
        self._engine = engine
        self._sealing = sealing
        self._fence = fence
        self._random = random
        self._asking_bytes = ASKING_BYTES - sealing.overhead_bytes
        self._freshness = Freshness(key, ttl_s=ttl_s)
        self._waiting: list[_Question] = []
        self._questions = 0
        self._host: str | None = None
        self._port = 1
        self._now_s = 0.0

    @property
    def next_s(self) -> float:
        """When ``tick`` has something to do."""
        next_s = self._engine.next_s
        return min(next_s, self._waiting[0].at_s) if self._waiting else next_s

    def hears_at(self, here: Endpoint) -> None:
        """Name ``here`` from now on as the address for datagrams to this node alone."""
        self._host, self._port = None if is_unspecified(here.host) else here.host, here.port

    def start(self, now_s: float) -> None:
        """Announce this node from now on."""
        self._engine.start(now_s)

    def update(self, local: Node, now_s: float, *, leaving: bool) -> None:
        """Change the description of this node; ``tick`` sends it."""
        self._engine.update(local, now_s, leaving=leaving)

    def tick(self, now_s: float) -> list[Action]:
        """Return what is due."""
        self._now_s = now_s
        actions = self._sent(self._engine.tick(now_s))
        while self._waiting and self._waiting[0].at_s <= now_s:
            question = heappop(self._waiting)
            if not self._freshness.is_proved(question.boot, now_s):
                actions += self._ask(question, now_s)
        return actions

    def goodbye(self) -> list[Send]:
        """Return what to send before leaving for good."""
        return [self._seal(send) for send in self._engine.goodbye()]

    def receive(self, heard: Sequence[Datagram], now_s: float) -> list[Action]:
        """Handle the datagrams that arrived together."""
        self._now_s = now_s
        actions: list[Action] = []
        believed: list[Datagram] = []
        for datagram in heard:
            if self._sealing.is_own(datagram.data):
                continue
            try:
                opened = self._sealing.open(datagram.data, self._fence)
                envelope = decode_envelope(opened.plain)
                packet = self._read(opened.boot, envelope) if envelope.packet else None
            except NotOpened as error:
                actions.append(_unopened(datagram, error, self._fence))
            except RemoteProtocolError as error:
                actions.append(IgnoredDatagram(f"{error}; from {datagram.source.host}"))
            else:
                if packet is None and envelope.packet:
                    continue  # of a later version
                actions += self._judge(datagram, opened, envelope, packet, believed)
        if believed:
            actions += self._sent(self._engine.receive(believed, now_s))
        return actions

    def _read(self, boot: Boot, envelope: Envelope) -> Packet | None:
        """Return the packet, cached unless it may be a recording: those would fill memory."""
        may_be_known = envelope.echo != NO_NONCE or self._freshness.is_proved(boot, self._now_s)
        return (read if may_be_known else decode)(envelope.packet)

    def _judge(
        self,
        heard: Datagram,
        opened: Opened,
        envelope: Envelope,
        packet: Packet | None,
        believed: list[Datagram],
    ) -> list[Action]:
        fence = self._fence  # compared part by part, since each datagram comes through here
        if packet and (packet.boot != opened.boot or packet.cluster != fence.cluster):
            return []  # no node of ours sends that
        if packet and packet.group != fence.group:
            return []
        to = envelope.reply_to(heard.source)
        liveness = self._freshness.judge(opened.boot, opened.stamp, envelope.echo, self._now_s)
        if liveness is Liveness.REPEATED:
            return []
        if liveness is Liveness.UNPROVED:
            if packet is not None and packet.kind == Kind.GOODBYE:
                return []
            return self._doubt(opened.boot, to, envelope.nonce, len(heard.data))
        self._sealing.expect(opened)
        if packet is not None:
            believed.append(Datagram(envelope.packet, to))
        if envelope.nonce != NO_NONCE and (packet is None or packet.kind == Kind.ANSWER):
            return self._echo(opened.boot, to, envelope.nonce)
        return []

    # -- asking, and being asked -------------------------------------------------------------------

    def _echo(self, boot: Boot, to: Endpoint, nonce: bytes) -> list[Action]:
        """Answer a known run that asks us."""
        if not (self._engine.speaks and self._freshness.must_echo(boot, nonce)):
            return []
        return [self._seal(Send(self._engine.datagram(Kind.ANSWER), to), echo=nonce)]

    def _doubt(self, boot: Boot, to: Endpoint, nonce: bytes, size_bytes: int) -> list[Action]:
        """Ask an unknown run, with a delay if so many nodes ask that they would flood it."""
        peers = len(self._freshness)
        delay_s = self._random() * min(peers / ASKS_PER_S, LONGEST_DELAY_S) if peers > FEW else 0.0
        if len(self._waiting) >= MAX_ASKED:
            return []
        if not self._freshness.may_ask(boot, self._now_s, in_s=delay_s):
            return []
        self._questions += 1
        question = _Question(self._now_s + delay_s, self._questions, boot, to, nonce, size_bytes)
        if not delay_s:
            return self._ask(question, self._now_s)
        heappush(self._waiting, question)
        return [Sooner()]

    def _ask(self, question: _Question, now_s: float) -> list[Action]:
        """Ask with a datagram no longer than what caused it, with our packet if that fits."""
        room_bytes = question.size_bytes - self._sealing.overhead_bytes
        nonce, speaks = self._freshness.nonce(now_s), self._engine.speaks
        asking = self._envelope(nonce=nonce, echo=question.echo if speaks else NO_NONCE)
        if speaks:
            packet = self._engine.datagram(Kind.ANSWER)
            answering = self._envelope(nonce=nonce, echo=asking.echo, packet=packet)
            if len(encode_envelope(answering)) <= room_bytes:
                self._freshness.asked(question.boot, asking.echo)
                padded = answering.padded(min(room_bytes, self._asking_bytes))
                return [Send(self._sealed(padded), question.to)]
        if len(encode_envelope(asking)) > room_bytes:
            return []  # the other run asks us instead: our datagrams are longer
        return [Send(self._sealed(asking.padded(room_bytes)), question.to)]

    # -- sealing -----------------------------------------------------------------------------------

    def _sent(self, actions: Sequence[Action]) -> list[Action]:
        return [self._seal(action) if isinstance(action, Send) else action for action in actions]

    def _seal(self, send: Send, *, echo: bytes = NO_NONCE) -> Send:
        if send.to is not None:
            envelope = self._envelope(nonce=NO_NONCE, echo=echo, packet=send.datagram)
            return Send(self._sealed(envelope), send.to)
        nonce = self._freshness.nonce(self._now_s)
        asking = self._envelope(nonce=nonce, echo=echo, packet=send.datagram)
        return Send(self._sealed(asking.padded(self._asking_bytes)))

    def _envelope(self, *, nonce: bytes, echo: bytes, packet: bytes = b"") -> Envelope:
        return Envelope(host=self._host, port=self._port, nonce=nonce, echo=echo, packet=packet)

    def _sealed(self, envelope: Envelope) -> bytes:
        return self._sealing.seal(encode_envelope(envelope), self._fence, self._now_s)


def _unopened(heard: Datagram, error: NotOpened, fence: Fence) -> Distrusted | IgnoredDatagram:
    """Return what to report about a datagram that doesn't open."""
    if error.fault is SealFault.OTHER_KEY:
        return Distrusted(error.name, heard.source, ANOTHER)
    if error.fault is SealFault.UNSEALED:
        try:
            packet = read(heard.data)
        except RemoteProtocolError as unreadable:
            return IgnoredDatagram(f"{unreadable}; from {heard.source.host}")
        if packet is not None and packet.fence == fence:
            return Distrusted(packet.name, heard.source, WE_ALONE)
    return IgnoredDatagram(f"{error}; from {heard.source.host}")
