"""What is remembered of each peer's application, also while there is no link to it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cluster_kit.node import Node
from cluster_kit.topics.incoming import Endpoints, IncomingStream, IncomingStreams
from cluster_kit.topics.outcomes import Missing, Outcome
from cluster_kit.topics.outgoing import OutgoingStream
from cluster_kit.wire.topics import MAX_NUMBER, Interest

if TYPE_CHECKING:
    from cluster_kit.topics.link import Link

MAX_AWAY = 1024
DOUBT_S = 10.0


class Peer:
    """One run of an application at one node.

    Attributes:
        epoch: By which it knows these numbers from those that it was told earlier; see ``wire.topics.Opening``.
        interests: What it listens to, as it has last said.
        streams: What was said to it, by topic.
        by_number: The same streams by the numbers that it has given them.
        outstanding: How many messages in all of them it has not read.
    """

    def __init__(self, node: Node, run: bytes, *, epoch: int, incoming: IncomingStreams) -> None:
        self.node = node
        self.run = run
        self.epoch = epoch
        self.incoming = incoming
        self.max_message_bytes = MAX_NUMBER
        self.interests: dict[str, Interest] = {}
        self.streams: dict[str, OutgoingStream] = {}
        self.by_number: dict[int, OutgoingStream] = {}
        self.outstanding = 0
        self.link: Link | None = None

    def __repr__(self) -> str:
        return f"<Peer {self.node.name} {self.run.hex()[:8]}>"


class Peers:
    """All of them: those that are linked, and of the others those that left last."""

    def __init__(self, endpoints: Endpoints, outcomes: list[Outcome]) -> None:
        self._endpoints = endpoints
        self._outcomes = outcomes
        self._known: dict[tuple[str, bytes], Peer] = {}
        self._away: OrderedDict[Peer, None] = OrderedDict()  # who left first comes first
        self._doubts: dict[Peer, float] = {}  # since when, earliest first
        self._owners: dict[IncomingStreams, Peer] = {}
        self._forgotten = 0

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._known.values())

    def __len__(self) -> int:
        return len(self._known)

    def link_up(self, node: Node, run: bytes) -> tuple[Peer, bool]:
        """Return the peer that is linked now, and whether it is remembered."""
        assert node.name is not None
        peer = self._known.get((node.name, run))
        is_known = peer is not None
        if peer is None:
            incoming = IncomingStreams(self._endpoints, history_may_be_lost=self._forgotten > 0)
            peer = self._known[node.name, run] = Peer(node, run, epoch=self._forgotten, incoming=incoming)
            self._owners[incoming] = peer
        peer.node = node
        self._away.pop(peer, None)
        for other in [each for each in self._away if each.node.name == node.name]:
            self._retire(other)  # its name is another run's now
        return peer, is_known

    def link_down(self, peer: Peer, now_s: float | None) -> None:
        """The link is down; without ``now_s`` nothing is in doubt."""
        self._away[peer] = None
        self._doubts.pop(peer, None)
        peer.interests = {topic: peer.interests[topic] for topic in peer.streams}  # it may have listened to much
        if now_s is None:
            self._retire(peer)
        else:
            self._doubts[peer] = now_s
        if len(self._away) > MAX_AWAY:
            oldest = next(iter(self._away))
            self._retire(oldest)
            del self._away[oldest], self._known[oldest.node.name or "", oldest.run], self._owners[oldest.incoming]
            self._forgotten += 1

    def peer_of(self, stream: IncomingStream) -> Peer | None:
        """Return who says a stream, ``None`` if that is over."""
        peer = self._owners.get(stream.owner)
        return peer if peer is not None and stream.owner.streams.get(stream.endpoint.number) is stream else None

    def forget_stream(self, number: int) -> None:
        """Drop what was heard on a topic that isn't listened to any more."""
        for peer in self._known.values():
            peer.incoming.streams.pop(number, None)

    # -- doubt -----------------------------------------------------------------------------------------------------------------

    def is_in_doubt(self, peer: Peer) -> bool:
        """Whether it may have said what didn't arrive."""
        return peer in self._doubts

    def clear_doubt(self, peer: Peer) -> None:
        """It is back, and tells what was lost."""
        self._doubts.pop(peer, None)

    def resolve_doubt(self, peer: Peer) -> None:
        """Tell that something may be lost, if that is in doubt."""
        if self._doubts.pop(peer, None) is not None:
            for stream in peer.incoming.doubtful_streams():
                self._outcomes.append(Missing(stream, peer.node, stream.topic, stream.last, None))

    def tick(self, now_s: float) -> None:
        """Give up doubts that have lasted."""
        while self._doubts:
            peer, since_s = next(iter(self._doubts.items()))
            if now_s - since_s < DOUBT_S:
                return
            self._retire(peer)

    def _retire(self, peer: Peer) -> None:
        self.resolve_doubt(peer)
        if peer.link is None:
            peer.incoming.compact()
            for stream in peer.streams.values():
                stream.compact()
