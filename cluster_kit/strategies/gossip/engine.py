"""The gossip protocol: what to send and when, and what to believe. Pure.

Datagrams and the time go in, actions come out, and ``session`` carries these out.

Packets
=======

Each packet describes its sender: name, address, metadata, boot, cluster and group, and whether it
is leaving. There are four kinds:

=============  =========  ==========================================================================
kind           sent to    when
=============  =========  ==========================================================================
``ANNOUNCE``   the group  at ``ANNOUNCE_AT_S`` after the start, or once the network is back; several
                          times, as a datagram may get lost
``ANSWER``     one node   when an announcement came from a node that was unknown here
``HEARTBEAT``  the group  once per interval, with jitter
``GOODBYE``    the group  when the node leaves for good
=============  =========  ==========================================================================

**Joining.** Every node that doesn't know the newcomer answers its announcement. In a large cluster
only about ``ANSWERERS`` of them do, drawn by lot; the newcomer learns about the others from their
heartbeats.

**Healing.** A heartbeat from an unknown node means that a partition has ended. So our own next
heartbeat is sent at once, though not more than once per interval, and both sides know each other.

What a packet means
===================

=====================================  =============================================================
it comes from                          and means
=====================================  =============================================================
this very run                          nothing: a multicast is received by its sender as well
another cluster or group               nothing: it is foreign
an unknown node, or a newer run        ``Seen``; an older run is replaced at once
an older run than the one known        nothing: it was delayed. If it keeps coming for
                                       ``BELATED_S``, two nodes share the name (``Novelty.RIVAL``):
                                       ``Seen``, and the worker finds out by linking to both. If the
                                       newer run has been silent for two intervals, the clock was
                                       set back: the older run replaces it
the known run, which has changed       ``Seen`` again
the known run, unchanged               a new time in ``HeardPeers``, and nothing to report
a run that said goodbye                nothing for ``BELATED_S``, as it may have been overtaken by
                                       the goodbye; afterwards that goodbye was forged, since
                                       without a secret anybody can send one
=====================================  =============================================================

A peer counts as alive for ``ttl_s`` after its last packet. So ``Seen`` has to be repeated for
unchanged peers, too: each ``tick`` yields it for those whose last one could expire soon. If another
run of the peer was heard since its last packet, the peer has to be heard again first: the clock may
have been set back between the two runs, and both may be over. So that a live peer has the time for
that, soon means two intervals after the next tick, even if that is up to ``LATE_S`` late.

Bounds
======

**Attackers** can't use us as an amplifier: announcements are padded, an answer is never larger than
the announcement, and there are at most ``ANSWERS_PER_S``. Memory is bounded by ``MAX_PEERS`` and
``REMEMBERED``.

**Speed.** A thousand nodes send a thousand packets per interval to each of a thousand nodes. So
each datagram is decoded once per process (``lru_cache``), equal statements are one object, and a
whole batch of known ones costs one dict update (``HeardPeers.all_repeat``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from cluster_kit.abc import Gone, Leaving, Observation, Seen
from cluster_kit.errors import RemoteProtocolError
from cluster_kit.events import Reason
from cluster_kit.network import Datagram, Endpoint
from cluster_kit.node import Fence, Node
from cluster_kit.rate_limit import TokenBucket
from cluster_kit.strategies.gossip.distrust import THEY_ALONE, Distrusted
from cluster_kit.strategies.gossip.peers import HeardPeers, Novelty, Statement
from cluster_kit.wire.gossip import Kind, Packet, decode, encode
from cluster_kit.wire.sealing import NotOpened, fence_tag, is_sealed, read_clear

ANNOUNCE_AT_S = (0.0, 0.1, 0.3, 0.9)
ANNOUNCE_BYTES = 512  # longer than most answers; RFC 791 asks every host to accept 576
ANSWERERS = 8  # how many of the nodes that receive an announcement answer it, on average
ANSWERS_PER_S = 20.0  # per node, and as many at once
REMEMBERED = 2048  # decoded datagrams; a node repeats itself until it changes
REMEMBERED_AT_ONCE = 16  # batches; useful where several nodes share a process
LATE_S = 1.0  # how late a tick may come and still refresh peers in time
SPREAD = 0.2  # fraction by which times vary, so that nodes don't send in step


class Send(Struct, frozen=True):
    """Send ``datagram`` to one address, or to the group where ``to`` is ``None``."""

    datagram: bytes
    to: Endpoint | None = None


class IgnoredDatagram(Struct, frozen=True):
    """A datagram is ignored."""

    why: str


class Sooner(Struct, frozen=True):
    """``tick`` has something to do sooner than ``next_s`` said before."""


Action = Send | IgnoredDatagram | Distrusted | Sooner | Observation


class _Sealed(Struct, frozen=True):
    """A sealed datagram: without a secret, nothing but the tag of the fence can be read."""

    fence_tag: bytes
    distrusted: Distrusted


_Meaning = Statement | IgnoredDatagram | _Sealed | None


class GossipEngine:
    """One node's part in the gossip.

    Args:
        local: This node, with name and boot.
        fence: Cluster and group; other clusters and groups are ignored.
        leaving: Whether this node is about to leave.
        announce: False: only listen.
        interval_s: Seconds between two heartbeats.
        ttl_s: For how many seconds a peer counts as alive after it was heard.
        random: Returns a number from 0 to 1, for jitter.
        announce_bytes: The length to which announcements are padded.

    Attributes:
        speaks: Whether this node makes itself known.
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
        announce_bytes: int = ANNOUNCE_BYTES,
    ) -> None:
        self._local = local
        self._fence = fence
        self._leaving = leaving
        self.speaks = announce
        self._interval_s = interval_s
        self._ttl_s = ttl_s
        self._random = random
        self._announce_bytes = announce_bytes
        self._peers = HeardPeers(silent_s=2 * interval_s, ttl_s=ttl_s)
        self._announce_at_s: list[float] = []
        self._beat_at_s = 0.0
        self._early_after_s = 0.0
        self._answers = TokenBucket(ANSWERS_PER_S, ANSWERS_PER_S)
        self._own = Packet.of(local, fence, Kind.HEARTBEAT, leaving=leaving)
        self._datagrams: dict[Kind, bytes] = {}  # of that packet, by kind

    @property
    def next_s(self) -> float:
        """When ``tick`` has something to do."""
        return min([self._beat_at_s, *self._announce_at_s[:1]])

    def start(self, now_s: float) -> None:
        """Announce this node from now on: it has just started, or has just got its network back."""
        self._announce_at_s = [now_s + self._jittered(delay_s) for delay_s in ANNOUNCE_AT_S]
        self._describe()

    def update(self, local: Node, now_s: float, *, leaving: bool) -> None:
        """Change the description of this node; ``tick`` sends it."""
        self._local = local
        self._leaving = leaving
        self._beat_at_s = now_s
        self._describe()

    def tick(self, now_s: float) -> list[Action]:
        """Return what is due, once, however late it is."""
        if self._announce_at_s and now_s >= self._announce_at_s[0]:
            self._announce_at_s = [at_s for at_s in self._announce_at_s if at_s > now_s]
            kind = Kind.ANNOUNCE
        elif now_s >= self._beat_at_s:
            kind = Kind.HEARTBEAT
        else:
            return []
        self._beat_at_s = now_s + self._jittered(self._interval_s)
        return [*self._multicast(kind), *self._renewals(now_s)]

    def _renewals(self, now_s: float) -> list[Action]:
        """Repeat ``Seen`` for peers whose last one could expire soon."""
        soon_s = self._beat_at_s + LATE_S + 2 * self._interval_s
        renewed = self._peers.renew(now_s, soon_s)
        vouched = (_vouch(statement, until_s - now_s) for statement, until_s in renewed)
        return [action for actions in vouched for action in actions]

    def goodbye(self) -> list[Send]:
        """Return what to send before leaving for good."""
        return self._multicast(Kind.GOODBYE)

    def receive(self, heard: Sequence[Datagram], now_s: float) -> list[Action]:
        """Handle the datagrams that arrived together."""
        meanings = _meanings_of(tuple(heard))
        if self._peers.all_repeat(meanings, now_s):
            return []
        repeats = self._peers.repeats
        actions: list[Action] = []
        for datagram, meaning in zip(heard, meanings, strict=True):
            if not repeats(meaning, now_s):
                actions += self._receive(datagram, meaning, now_s)
        return actions

    def _receive(self, heard: Datagram, meaning: _Meaning, now_s: float) -> list[Action]:
        if meaning is None:
            return self._receive_goodbye(heard, now_s)
        if isinstance(meaning, IgnoredDatagram):
            return [meaning]
        if isinstance(meaning, _Sealed):
            return [meaning.distrusted] if meaning.fence_tag == fence_tag(self._fence) else []
        if meaning.node.boot_id == self._local.boot_id:
            return []
        if meaning.fence != self._fence:
            return [_foreign(meaning.fence, heard)]
        novelty, actions = self._receive_news(meaning, now_s)
        if novelty is Novelty.NEW and self.speaks:
            actions += self._welcome(heard, now_s)
        return actions

    def _receive_goodbye(self, heard: Datagram, now_s: float) -> list[Action]:
        packet = read(heard.data)
        if packet is None or packet.boot_id == self._local.boot_id:
            return []
        if packet.fence != self._fence:
            return [_foreign(packet.fence, heard)]
        news = self._peers.record_goodbye(packet.name, packet.boot_id, now_s)
        return [Gone(packet.name, Reason.LEFT, packet.boot_id)] if news else []

    def _receive_news(self, statement: Statement, now_s: float) -> tuple[Novelty, list[Action]]:
        before = self._peers.current(statement.node.key)
        novelty = self._peers.hear(statement, now_s)
        if novelty in (Novelty.KNOWN, Novelty.LATE):
            return novelty, []
        if novelty is Novelty.RIVAL:
            return novelty, [Seen(statement.node, self._ttl_s)]
        actions = [*_introduction(statement, self._ttl_s)]
        boot_id = statement.node.boot_id
        if before is not None and boot_id is not None and boot_id < before:
            # a roster that still has the newer run would ignore this one as late
            actions.insert(0, Gone(statement.node.key, Reason.REPLACED, before))
        return novelty, actions

    def _welcome(self, heard: Datagram, now_s: float) -> list[Send]:
        """Introduce ourselves to a new peer, unless it answers us or enough others will."""
        datagram, source = heard
        packet = read(datagram)
        if packet is None or packet.kind == Kind.ANSWER:
            return []
        if self._random() * len(self._peers) >= ANSWERERS:
            return []
        answer = self.datagram(Kind.ANSWER)
        if packet.kind == Kind.ANNOUNCE and len(answer) <= len(datagram):
            return [Send(answer, source)] if self._answers.take(now_s) else []
        if now_s >= self._early_after_s:
            self._early_after_s = now_s + self._interval_s
            self._beat_at_s = now_s
        return []

    def _describe(self) -> None:
        self._own = Packet.of(self._local, self._fence, Kind.HEARTBEAT, leaving=self._leaving)
        self._datagrams.clear()

    def _multicast(self, kind: Kind) -> list[Send]:
        return [Send(self.datagram(kind))] if self.speaks else []

    def datagram(self, kind: Kind) -> bytes:
        """Return the packet of this node, encoded."""
        datagram = self._datagrams.get(kind)
        if datagram is None:
            packet = replace(self._own, kind=kind)
            if kind is Kind.ANNOUNCE:
                packet = packet.padded(self._announce_bytes)
            datagram = self._datagrams[kind] = encode(packet)
        return datagram

    def _jittered(self, delay_s: float) -> float:
        return delay_s * (1 + SPREAD * (2 * self._random() - 1))


@lru_cache(maxsize=REMEMBERED)
def read(datagram: bytes) -> Packet | None:
    """Return the packet in a datagram; ``None`` for one of a kind that is unknown here."""
    return decode(datagram)


@lru_cache(maxsize=REMEMBERED_AT_ONCE)
def _meanings_of(heard: tuple[Datagram, ...]) -> tuple[_Meaning, ...]:
    """Return the meaning of a batch, shared by all nodes of this process that receive it."""
    return tuple(map(_meaning_of, heard))


@lru_cache(maxsize=REMEMBERED)
def _meaning_of(heard: Datagram) -> _Meaning:
    """Return the meaning of a datagram; ``None`` for a goodbye or an unknown kind."""
    try:
        packet = read(heard.data)
    except RemoteProtocolError as error:
        if is_sealed(heard.data):
            return _sealed(heard)
        return IgnoredDatagram(f"{error}; from {heard.source.host}")
    if packet is None or packet.kind == Kind.GOODBYE:
        return None
    return _same(packet.node(heard.source), packet.fence, packet.leaving)


def _sealed(heard: Datagram) -> _Meaning:
    """Return the meaning of a sealed datagram to a node without a secret."""
    try:
        clear = read_clear(heard.data)
    except NotOpened as error:
        return IgnoredDatagram(f"{error}; from {heard.source.host}")
    return _Sealed(clear.fence_tag, Distrusted(clear.name, heard.source, THEY_ALONE))


@lru_cache(maxsize=REMEMBERED)
def _same(node: Node, fence: Fence, leaving: bool) -> Statement:
    """Return one object for equal statements, so that ``HeardPeers`` recognizes it by identity."""
    return Statement(node, fence, leaving)


def _foreign(fence: Fence, heard: Datagram) -> IgnoredDatagram:
    what = f"cluster {fence.cluster!r}, group {fence.group!r} is foreign"
    return IgnoredDatagram(f"gossip: {what}; from {heard.source.host}")


@lru_cache(maxsize=REMEMBERED)
def _introduction(statement: Statement, ttl_s: float) -> list[Action]:
    """Return what to report of a new or changed run, shared by all nodes of this process."""
    return _vouch(statement, ttl_s)


def _vouch(statement: Statement, ttl_s: float) -> list[Action]:
    seen = Seen(statement.node, ttl_s)
    return [seen, Leaving(statement.node.key)] if statement.leaving else [seen]
