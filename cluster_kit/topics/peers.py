"""What is remembered of each peer's application, also while there is no link to it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cluster_kit.node import Node
from cluster_kit.topics.incoming import IncomingStream, IncomingStreams, LocalTopics
from cluster_kit.topics.outcomes import Missing, Outcome
from cluster_kit.topics.outgoing import OutgoingStream
from cluster_kit.wire.topics import MAX_NUMBER, MAX_TOPICS, Interest, Missed

if TYPE_CHECKING:
    from cluster_kit.topics.link import TopicLink

MAX_AWAY = 1024  # peers that are remembered without a link
DOUBT_S = 10.0  # how long a peer without a link may take to return, and to count what was lost


class TopicPeer:
    """One run of an application on one node.

    Attributes:
        epoch: The epoch of our numbers for it; see ``wire.topics.Opening``.
        interests: What it listens to, as it last advertised.
        streams: Our streams to it, by topic.
        by_number: The same, by the stream numbers that it has chosen.
        lapsed: Our streams that its greetings lacked, by stream number. If a greeting was out of
            date, the peer advertises them later, and they go on.
        outstanding: How many messages it has not read, in all of them.
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
        self.lapsed: dict[int, OutgoingStream] = {}
        self.outstanding = 0
        self.link: TopicLink | None = None

    def missed_on(self, interests: dict[str, Interest]) -> list[Missed]:
        """Return the records that announce the last number of each stream that may go on."""
        used = {number: stream.number for number, stream in self.by_number.items()}
        wanted = [each.stream for each in interests.values() if each.messages]
        missed = [Missed(number, used.get(number, 0)) for number in wanted]
        return missed + [Missed(number, stream.number) for number, stream in self.lapsed.items()]

    def begin_stream(self, topic: str) -> OutgoingStream:
        """Begin the stream that the peer asks for, or resume it if it has lapsed."""
        window = self.interests[topic]
        stream = self.lapsed.pop(window.stream, None)
        if stream is None or stream.topic != topic:
            stream = OutgoingStream(topic, window)
        stream.window = window
        self.outstanding += stream.count
        self.streams[topic] = self.by_number[window.stream] = stream
        return stream

    def end_stream(self, topic: str) -> OutgoingStream | None:
        """End a stream and return it; its messages still count as outstanding."""
        stream = self.streams.pop(topic, None)
        if stream is not None:
            self.by_number.pop(stream.stream_number, None)
        return stream

    def keep_lapsed(self, streams: Iterable[OutgoingStream]) -> None:
        """Keep those of ``streams`` that have ended, as the greeting may be out of date."""
        for stream in self.lapsed.values():
            stream.compact()  # those of earlier links
        for stream in streams:
            if stream.stream_number not in self.by_number:
                self.lapsed[stream.stream_number] = stream
        for longest_ago in list(self.lapsed)[:-MAX_TOPICS]:
            del self.lapsed[longest_ago]

    def __repr__(self) -> str:
        return f"<TopicPeer {self.node.name} {self.run.hex()[:8]}>"


class TopicPeers:
    """All linked peers, and those of the others that were linked last."""

    def __init__(self, topics: LocalTopics, outcomes: list[Outcome]) -> None:
        self._topics = topics
        self._outcomes = outcomes
        self._known: dict[tuple[str, bytes], TopicPeer] = {}
        self._away: OrderedDict[TopicPeer, None] = OrderedDict()  # without a link, longest first
        self._doubts: dict[TopicPeer, float] = {}  # since when, earliest first
        self._owners: dict[IncomingStreams, TopicPeer] = {}
        self._forgotten = 0

    def __iter__(self) -> Iterator[TopicPeer]:
        return iter(self._known.values())

    def link_up(self, node: Node, run: bytes) -> tuple[TopicPeer, bool]:
        """Return the peer that is linked now, and whether it was known before."""
        assert node.name is not None
        peer = self._known.get((node.name, run))
        is_known = peer is not None
        if peer is None:
            incoming = IncomingStreams(self._topics, history_may_be_lost=self._forgotten > 0)
            peer = TopicPeer(node, run, epoch=self._forgotten, incoming=incoming)
            self._known[node.name, run] = self._owners[incoming] = peer
        peer.node = node
        self._away.pop(peer, None)
        for other in [each for each in self._away if each.node.name == node.name]:
            self._retire(other)  # its name is another run's now
        return peer, is_known

    def link_down(self, peer: TopicPeer, now_s: float | None) -> None:
        """Note that the link is down at ``now_s``; pass ``None`` if nothing was lost with it."""
        self._away[peer] = None
        peer.interests = {topic: peer.interests[topic] for topic in peer.streams}  # saves memory
        if now_s is None:
            self._retire(peer)
        else:
            self._doubts.pop(peer, None)  # the earliest come first
            self._doubts[peer] = now_s
        if len(self._away) > MAX_AWAY:
            oldest = next(iter(self._away))
            self._retire(oldest)
            del self._away[oldest], self._owners[oldest.incoming]
            del self._known[oldest.node.name or "", oldest.run]
            self._forgotten += 1

    def peer_of(self, stream: IncomingStream) -> TopicPeer | None:
        """Return the sender of a stream, ``None`` if the stream has ended."""
        peer = self._owners.get(stream.owner)
        is_open = stream.owner.streams.get(stream.local_topic.number) is stream
        return peer if is_open else None

    def forget_stream(self, number: int) -> None:
        """Drop the incoming streams of a topic that isn't listened to any more."""
        for peer in self._known.values():
            peer.incoming.streams.pop(number, None)

    # -- doubt -------------------------------------------------------------------------------------

    def clear_doubt(self, peer: TopicPeer) -> None:
        """Note that the peer is back, and will report its losses itself."""
        self._doubts.pop(peer, None)

    def resolve_doubt(self, peer: TopicPeer) -> None:
        """Report a loss of unknown size on all of the peer's streams, if it is in doubt."""
        if self._doubts.pop(peer, None) is not None:
            for stream in peer.incoming.doubtful_streams():
                self._outcomes.append(Missing(stream, peer.node, stream.topic, stream.last, None))

    def tick(self, now_s: float) -> None:
        """Resolve the doubts that have lasted for ``DOUBT_S``."""
        while self._doubts:
            peer, since_s = next(iter(self._doubts.items()))
            if now_s - since_s < DOUBT_S:
                return
            self._retire(peer)

    def _retire(self, peer: TopicPeer) -> None:
        """Resolve the doubt about a peer that may never return, and shrink its streams."""
        self.resolve_doubt(peer)
        if peer.link is None:
            peer.incoming.compact()
            for stream in (*peer.streams.values(), *peer.lapsed.values()):
                stream.compact()
