"""The gossip protocol: when to speak, whom to answer, what to make of what is heard. Pure: datagrams and time in, actions out.

A starting node announces itself a few times; those to whom it is new answer it directly, in a large cluster only some of them.
Afterwards each node sends one heartbeat per interval. A heartbeat of a stranger means that a partition has ended: it brings our
own forward, so that both sides know each other at once. Who is heard again as he was is vouched for anew only now and then, in
time. An answer is never larger than what it answers, and there are only so
many per second: whoever forges packets gets less out than he put in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from cluster_kit.abc import Gone, Leaving, Observation, Seen
from cluster_kit.errors import RemoteProtocolError
from cluster_kit.events import Reason
from cluster_kit.network import Endpoint
from cluster_kit.node import Fence, Node
from cluster_kit.strategies.gossip.peers import Peers, Word
from cluster_kit.wire.gossip import Kind, Packet, decode, encode

ANNOUNCE_AT_S = (0.0, 0.1, 0.3, 0.9)  # more than once, since a datagram may get lost; soon, since others wait for it
ANNOUNCE_BYTES = 512  # larger than most answers, and small enough for any path (RFC 791 asks every host to take 576)
ANSWERERS = 8  # of those who hear an announcement, about so many answer
ANSWERS_PER_S = 20.0  # per node; as many may come at once
REMEMBERED = 2048  # datagrams: a node repeats itself until it changes; beyond so many nodes each of them is read anew
LATE_S = 1.0  # by so much a tick may come late and still be in time to vouch for those who were heard
SPREAD = 0.2  # fraction by which times vary, so that nodes don't speak in step


class Send(Struct, frozen=True):
    """Send ``datagram`` to one address, or to the group where ``to`` is ``None``."""

    datagram: bytes
    to: Endpoint | None = None


class Ignored(Struct, frozen=True):
    """A datagram was of no use."""

    why: str


Action = Send | Ignored | Observation
_Read = tuple[str, Node, Fence, Packet]


class GossipEngine:
    """One node's part in the gossip.

    Args:
        local: This node, with name and boot.
        fence: Cluster and group; everybody else is ignored.
        leaving: Whether this node is about to leave.
        announce: False: only listen.
        interval_s: Seconds between two heartbeats.
        ttl_s: For how long a peer counts as alive after it was heard.
        random: Returns a number from 0 to 1, for jitter.
    """

    def __init__(
        self,
        local: Node,
        fence: Fence,
        *,
        leaving: bool = False,
        announce: bool = True,
        interval_s: float,
        ttl_s: float,
        random: Callable[[], float],
    ) -> None:
        self._local = local
        self._fence = fence
        self._leaving = leaving
        self._speaks = announce
        self._interval_s = interval_s
        self._ttl_s = ttl_s
        self._random = random
        self._peers = Peers(silent_s=2 * interval_s, ttl_s=ttl_s)
        self._announce_at_s: list[float] = []
        self._beat_at_s = 0.0
        self._early_after_s = 0.0
        self._answers = ANSWERS_PER_S
        self._answers_at_s = 0.0
        self._own = Packet.of(local, fence, Kind.HEARTBEAT, leaving=leaving)

    @property
    def next_s(self) -> float:
        """When ``tick`` has something to do."""
        return min([self._beat_at_s, *self._announce_at_s[:1]])

    def start(self, now_s: float) -> None:
        """Announce this node from now on: it has just started, or has just got its network back."""
        self._announce_at_s = [now_s + self._jittered(delay_s) for delay_s in ANNOUNCE_AT_S]
        self._describe()

    def update(self, local: Node, now_s: float, *, leaving: bool) -> None:
        """Take in how this node is now; ``tick`` tells the others."""
        self._local = local
        self._leaving = leaving
        self._beat_at_s = now_s
        self._describe()

    def tick(self, now_s: float) -> list[Action]:
        """Do what is due, once, however late it is."""
        if self._announce_at_s and now_s >= self._announce_at_s[0]:
            self._announce_at_s = [at_s for at_s in self._announce_at_s if at_s > now_s]
            kind = Kind.ANNOUNCE
        elif now_s >= self._beat_at_s:
            kind = Kind.HEARTBEAT
        else:
            return []
        self._beat_at_s = now_s + self._jittered(self._interval_s)
        return [*self._say(kind), *self._renewals(now_s)]

    def _renewals(self, now_s: float) -> list[Action]:
        """Vouch anew for those who go on as they are: not with each packet, but while there is time for one more tick."""
        horizon_s = 2 * self._interval_s + LATE_S
        renewed = self._peers.renew(now_s, horizon_s)
        return [action for peer in renewed for action in _vouch(peer.node, peer.leaving, peer.until_s - now_s)]

    def goodbye(self) -> list[Send]:
        """Return what to send before leaving for good: no packet that it overtakes is believed any more."""
        return self._say(Kind.GOODBYE)

    def receive(self, heard: Iterable[tuple[bytes, Endpoint]], now_s: float) -> list[Action]:
        """Take in datagrams, each with where it came from."""
        repeats = self._peers.repeats
        actions: list[Action] = []
        for datagram, source in heard:
            try:
                read = _read(datagram, source)
            except RemoteProtocolError as error:
                actions.append(Ignored(f"{error}; from {source[0]}"))
                continue
            if read is not None and not repeats(read[0], read[1], now_s):
                actions += self._receive(read, datagram, source, now_s)
        return actions

    def _receive(self, read: _Read, datagram: bytes, source: Endpoint, now_s: float) -> list[Action]:
        _, node, fence, packet = read
        if node.boot_id == self._local.boot_id:
            return []
        if fence != self._fence:
            return [Ignored(f"gossip: cluster {packet.cluster!r}, group {packet.group!r} is foreign; from {source[0]}")]
        if packet.kind == Kind.GOODBYE:
            news = self._peers.bury(packet.name, packet.boot_id, now_s)
            return [Gone(packet.name, Reason.LEFT, packet.boot_id)] if news else []
        word, actions = self._heard(packet, node, now_s)
        if word is Word.NEW and self._speaks and packet.kind != Kind.ANSWER:
            actions += self._welcome(packet, datagram, source, now_s)
        return actions

    def _heard(self, packet: Packet, node: Node, now_s: float) -> tuple[Word, list[Action]]:
        before = self._peers.current(packet.name)
        word = self._peers.hear(node, packet.leaving, now_s)
        if word in (Word.KNOWN, Word.LATE):
            return word, []
        actions = _vouch(node, packet.leaving, self._ttl_s)
        if before is not None and packet.boot_id < before:  # whoever keeps the newer boot would take this one for late
            actions.insert(0, Gone(packet.name, Reason.REPLACED, before))
        return word, actions

    def _welcome(self, packet: Packet, datagram: bytes, source: Endpoint, now_s: float) -> list[Send]:
        """Make ourselves known to a stranger, unless enough others are going to."""
        if self._random() * len(self._peers) >= ANSWERERS:
            return []
        answer = self._datagram(Kind.ANSWER)
        if packet.kind == Kind.ANNOUNCE and len(answer) <= len(datagram):
            return [Send(answer, source)] if self._may_answer(now_s) else []
        if now_s >= self._early_after_s:
            self._early_after_s = now_s + self._interval_s
            self._beat_at_s = now_s
        return []

    def _may_answer(self, now_s: float) -> bool:
        self._answers = min(ANSWERS_PER_S, self._answers + (now_s - self._answers_at_s) * ANSWERS_PER_S)
        self._answers_at_s = now_s
        if self._answers < 1:
            return False
        self._answers -= 1
        return True

    def _describe(self) -> None:
        self._own = Packet.of(self._local, self._fence, Kind.HEARTBEAT, leaving=self._leaving)

    def _say(self, kind: Kind) -> list[Send]:
        return [Send(self._datagram(kind))] if self._speaks else []

    def _datagram(self, kind: Kind) -> bytes:
        packet = replace(self._own, kind=kind)
        return encode(packet.padded(ANNOUNCE_BYTES) if kind is Kind.ANNOUNCE else packet)

    def _jittered(self, delay_s: float) -> float:
        return delay_s * (1 + SPREAD * (2 * self._random() - 1))


@lru_cache(maxsize=REMEMBERED)
def _read(datagram: bytes, source: Endpoint) -> _Read | None:
    """Return who sent a datagram, and what it says: the same objects for the same datagram, for everybody in this process."""
    packet = decode(datagram)
    if packet is None:
        return None
    fence = packet.fence
    node = _same(packet.node(source), fence, packet.leaving, packet.kind == Kind.GOODBYE)
    return packet.name, node, fence, packet


@lru_cache(maxsize=REMEMBERED)
def _same(node: Node, fence: Fence, leaving: bool, is_goodbye: bool) -> Node:
    """Return the same object for whatever tells the same, so that ``Peers.repeats`` knows it."""
    return node


def _vouch(node: Node, leaving: bool, ttl_s: float) -> list[Action]:
    return [Seen(node, ttl_s), Leaving(node.key)] if leaving else [Seen(node, ttl_s)]
