"""One link: what this application sends on it. ``dispatcher`` has what arrives on it.

A message needs room in three places: in the window of its stream, within ``MAX_OUTSTANDING`` of its
peer, and in the queue of the link. Without room, ``publish`` skips a number and ``send`` parks the
data. Such a stream is *blocked*. It is tried again when its peer gives credit or a wider window;
all are when a used up queue or ``MAX_OUTSTANDING`` has room again. Questions need the queue only.
"""

from __future__ import annotations

from cluster_kit.abc import MAX_PAYLOAD_BYTES
from cluster_kit.errors import (
    ClusterKitError,
    NotLinkedError,
    NotSentError,
    RemoteProtocolError,
    UnansweredError,
)
from cluster_kit.node import Node
from cluster_kit.topics.control import Control
from cluster_kit.topics.incoming import PartialRecord
from cluster_kit.topics.lanes import Lane, Lanes
from cluster_kit.topics.local import LocalApplication, Pending
from cluster_kit.topics.outcomes import OperationFailed, Sent
from cluster_kit.topics.outgoing import OutgoingStream
from cluster_kit.topics.peers import TopicPeer
from cluster_kit.topics.questions import ParkedQuestion, Question, Questions
from cluster_kit.wire import topics as wire

MAX_OUTSTANDING = 128 * 1024  # unread messages per peer, however wide its windows are

_MOST_BEFORE_CLOSING_BYTES = MAX_PAYLOAD_BYTES - wire.ARRAY_BYTES - 8  # leaves room for ``Closing``


class TopicLink:
    """A link that is up.

    Attributes:
        node: The peer.
        peer: What is remembered of its application; ``None`` until its run is known.
        fragments: Records that have arrived in part, by lane.
        partial_interests: The pieces of the peer's ``Interests`` that have arrived so far.
        peer_has_closed: Whether the peer has said ``Closing``.
    """

    def __init__(self, local: LocalApplication, number: int, node: Node) -> None:
        assert node.name is not None
        self.number = number
        self.node = node
        self.name = node.name
        self.peer: TopicPeer | None = None
        self.lanes = Lanes()
        self.control = Control(local.run, local.topics)
        self.questions = Questions(number)
        self.fragments: dict[int, PartialRecord] = {}
        self.partial_interests: dict[str, wire.Interest] = {}
        self.peer_has_closed = False
        self._local = local
        self._blocked: dict[str, OutgoingStream] = {}  # with parked messages or losses to announce
        self._is_closing = False
        self._is_closed = False

    # -- identity and interests --------------------------------------------------------------------

    def identify(self, run: bytes, greeting: wire.TopicGreeting | None) -> None:
        """Note the run of the peer's application, and continue its streams.

        Raises:
            RemoteProtocolError: It is this very application.
        """
        if run == self._local.run:
            raise RemoteProtocolError("messages: the link leads back to this application")
        peer, is_known = self._local.peers.link_up(self.node, run)
        self.peer, peer.link = peer, self
        self.control.epoch = peer.epoch
        greeting = greeting or wire.TopicGreeting(run, peer.max_message_bytes, {})
        peer.max_message_bytes = greeting.max_message_bytes
        streams = list(peer.streams.values())
        self.set_interests(greeting.interests)
        peer.keep_lapsed(streams)
        if is_known:
            self.control.announce_missed(peer.missed_on(greeting.interests))

    def set_interests(self, interests: dict[str, wire.Interest]) -> None:
        """Replace all interests of the peer."""
        for topic in [each for each in self._identified_peer().interests if each not in interests]:
            self.set_interest(topic, None)
        for topic, interest in interests.items():
            self.set_interest(topic, interest)

    def set_interest(self, topic: str, interest: wire.Interest | None) -> None:
        """Change or, with ``None``, end the peer's interest in ``topic``.

        Raises:
            RemoteProtocolError: It listens to too many topics.
        """
        peer = self._identified_peer()
        peer.interests.pop(topic, None)
        self._local.changes += 1
        if interest is not None:
            self.control.must_open = True
            peer.interests[topic] = interest
            if len(peer.interests) > wire.MAX_TOPICS:
                text = f"messages: the peer listens to more than {wire.MAX_TOPICS} topics"
                raise RemoteProtocolError(text)
        if interest is None or interest.messages == 0:
            self._local.remove_listener(topic, self.name)
            if (stream := self._end_stream(peer, topic)) is not None:
                self._fail_parked(stream, self._not_sent(topic, "doesn't listen any more"))
        else:
            self._local.add_listener(topic, self.name, self)
            self._set_window(peer, topic, interest)
        if interest is None or not interest.answers:
            self._fail_questions(topic)

    def _set_window(self, peer: TopicPeer, topic: str, interest: wire.Interest) -> None:
        stream = peer.streams.get(topic)
        if stream is None:
            if interest.stream in peer.lapsed:  # it goes on, and there may be credit for it
                peer.begin_stream(topic)
            return
        if stream.stream_number == interest.stream:
            stream.window = interest
        else:  # a new stream; parked messages have no number yet, and move to it
            self._end_stream(peer, topic)
            parked, stream = stream.parked, peer.begin_stream(topic)
            stream.parked = parked
            self._blocked[topic] = stream
        self._unblock(topic, stream)

    def _end_stream(self, peer: TopicPeer, topic: str) -> OutgoingStream | None:
        """End a stream and return it; what is queued in its lane is still sent."""
        stream = peer.end_stream(topic)
        if stream is not None:
            self._blocked.pop(topic, None)
            self._release(peer, stream.count)
        return stream

    def _identified_peer(self) -> TopicPeer:
        if self.peer is None:
            raise RemoteProtocolError("messages: the peer sent a record before its opening")
        return self.peer

    # -- messages ----------------------------------------------------------------------------------

    def publish(self, topic: str, data: bytes, size: int) -> bool:
        """Queue ``data`` if there is room; return whether there was. The peer has to listen."""
        peer = self.peer
        assert peer is not None
        stream = peer.streams.get(topic) or peer.begin_stream(topic)
        is_short = size <= peer.max_message_bytes
        if is_short and not stream.parked and self._has_room(peer, stream, size):
            self._enqueue(peer, stream, data)
            return True
        stream.skip(size if is_short else 0)
        self._blocked[topic] = stream
        self._unblock(topic, stream)
        return False

    def send(self, topic: str, data: bytes, ticket: int) -> None:
        """Queue ``data``, or park it until there is room."""
        peer = self.peer
        interest = None if peer is None else peer.interests.get(topic)
        if peer is None or interest is None or interest.messages == 0:
            self._fail(ticket, self._not_sent(topic, "doesn't listen to it"))
        elif self._is_closing or len(data) > peer.max_message_bytes:
            self._fail(ticket, self._refusal(topic, data, peer))
        else:
            stream = peer.streams.get(topic) or peer.begin_stream(topic)
            if not stream.parked and self._has_room(peer, stream, len(data)):  # saves parking it
                self._enqueue(peer, stream, data)
                self._local.outcomes.append(Sent(ticket))
                return
            stream.parked[ticket] = data
            self._local.pending[ticket] = Pending(self, topic)
            self._blocked[topic] = stream
            self._unblock(topic, stream)

    def _has_room(self, peer: TopicPeer, stream: OutgoingStream, size: int) -> bool:
        is_granted = peer.outstanding < MAX_OUTSTANDING and stream.has_room(size)
        return is_granted and self.lanes.has_room(size + wire.RECORD_BYTES)

    def _enqueue(self, peer: TopicPeer, stream: OutgoingStream, data: bytes) -> None:
        size = len(data)
        peer.outstanding += 1
        record = wire.Data(stream.stream_number, stream.next_number(size), data)
        self.lanes.put(stream.lane, record, size + wire.RECORD_BYTES)
        self._local.ready.add(self.number)

    def add_credit(self, stream_number: int, number: int) -> None:
        """Note that the peer has read everything up to ``number``.

        Raises:
            RemoteProtocolError: The number was never used.
        """
        peer = self._identified_peer()
        stream = peer.by_number.get(stream_number)
        if stream is None:
            return  # the stream has ended meanwhile
        if number > stream.number:
            text = f"messages: topic {stream.topic!r}: the peer claims to have read {number}"
            raise RemoteProtocolError(f"{text}: {stream.number} were sent")
        self._release(peer, stream.release(number))
        self._unblock(stream.topic, stream)

    def _release(self, peer: TopicPeer, messages: int) -> None:
        """Note that ``messages`` fewer are outstanding, and use the room."""
        was_full = peer.outstanding >= MAX_OUTSTANDING
        peer.outstanding -= messages
        if was_full:
            self._unblock_all()

    def _unblock(self, topic: str, stream: OutgoingStream) -> None:
        """Queue the parked messages of a stream as far as there is room, then announce losses."""
        peer = self.peer
        if peer is None or topic not in self._blocked or self._is_closing:
            return
        while stream.parked:
            ticket, data = next(iter(stream.parked.items()))
            if not self._has_room(peer, stream, len(data)):
                return
            del stream.parked[ticket], self._local.pending[ticket]
            self._enqueue(peer, stream, data)
            self._local.outcomes.append(Sent(ticket))
        if stream.skipped_bytes is not None:
            if not self._has_room(peer, stream, stream.skipped_bytes):
                return
            self._announce_skipped(stream)
        del self._blocked[topic]

    def _announce_skipped(self, stream: OutgoingStream) -> None:
        stream.skipped_bytes = None
        self.lanes.put_missed(stream.lane, wire.Missed(stream.stream_number, stream.number))
        self._local.ready.add(self.number)

    def _unblock_all(self) -> None:
        self.lanes.was_full = False
        for topic, stream in list(self._blocked.items()):
            self._unblock(topic, stream)
            if self.lanes.was_full:
                return
        self._send_questions()

    # -- questions and answers ---------------------------------------------------------------------

    def ask(self, topic: str, data: bytes, ticket: int, patience_ms: int) -> None:
        """Queue a question, or park it until there is room."""
        peer = self.peer
        interest = None if peer is None else peer.interests.get(topic)
        if peer is None or interest is None or not interest.answers:
            self._fail(ticket, self._not_sent(topic, "doesn't answer there"))
        elif self._is_closing or len(data) > peer.max_message_bytes:
            self._fail(ticket, self._refusal(topic, data, peer))
        else:
            self.questions.parked[ticket] = ParkedQuestion(topic, data, patience_ms)
            self._local.pending[ticket] = Pending(self, None)
            self._send_questions()

    def end_question(self, number: int) -> int | None:
        """End a question of ours; return its ticket, ``None`` if it was withdrawn."""
        sent = self.questions.asked.pop(number, None)
        if sent is None:
            return None
        self._local.pending.pop(sent.ticket, None)
        self._send_questions()
        return sent.ticket

    def _send_questions(self) -> None:
        questions = self.questions
        while questions.parked and questions.has_room and not self._is_closing:
            ticket, waiting = next(iter(questions.parked.items()))
            size = len(waiting.data) + wire.RECORD_BYTES + wire.MAX_TOPIC_BYTES
            if not self.lanes.has_room(size):
                return
            del questions.parked[ticket]
            self.lanes.put_question(questions.ask(ticket, waiting), size)
            self._local.ready.add(self.number)

    def answer(self, question: Question, record: wire.QuestionEnd) -> None:
        """End a question of theirs with ``record``, unless it has ended already."""
        if not self.questions.end(question) or self._is_closing:
            return
        if isinstance(record, wire.Answered):
            size = len(record.data) + wire.RECORD_BYTES
            limit = self._identified_peer().max_message_bytes
            if len(record.data) > limit:
                text = f"the answer has {len(record.data)} bytes: {self.name} takes at most {limit}"
                record = wire.Raised(question.number, text)
            elif not self.lanes.has_reply_room(size):
                text = f"there is no room for the answer: too many are queued for {self.name}"
                record = wire.Raised(question.number, text)
        self.put_reply(record)

    def put_reply(self, record: wire.QuestionEnd) -> None:
        """Queue an answer."""
        self.lanes.put_reply(record)
        self._local.ready.add(self.number)

    # -- failing and closing -----------------------------------------------------------------------

    def withdraw(self, ticket: int, topic: str | None) -> bool:
        """Give up an operation; return whether it was certainly not sent."""
        if topic is not None:
            assert self.peer is not None
            stream = self.peer.streams[topic]
            del stream.parked[ticket]
            self._unblock(topic, stream)
            return True
        if self.questions.parked.pop(ticket, None) is not None:
            return True
        was_waiting = self.lanes.take_back(self.questions.withdraw(ticket))
        self._unblock_all()
        return was_waiting

    def down(self, now_s: float) -> None:
        """Fail all pending operations, and keep the streams for the next link."""
        gone = NotLinkedError(f"{self.name}: the link is down", node=self.name)
        for ticket in self.questions.parked:
            self._fail(ticket, gone)
        for ticket, record in self.questions.asked.values():
            text = f"{self.name}: the link is down: whether the question was answered is unknown"
            lost = UnansweredError(text, node=self.name)
            self._fail(ticket, gone if self.lanes.take_back(record) else lost)
        if self.peer is not None:
            for stream in self.peer.streams.values():
                self._fail_parked(stream, gone)
                stream.lane, stream.skipped_bytes = Lane(), None
            for topic in self.peer.interests:
                self._local.remove_listener(topic, self.name)
            self.peer.link = None
            self._local.peers.link_down(self.peer, None if self.peer_has_closed else now_s)

    def close(self) -> None:
        """Send nothing but what is queued, then ``Closing``."""
        if not self._is_closing:
            self._is_closing = True
            for stream in self._blocked.values():
                if stream.skipped_bytes is not None:
                    self._announce_skipped(stream)
            self._local.ready.add(self.number)

    def _fail_parked(self, stream: OutgoingStream, error: NotSentError) -> None:
        while stream.parked:
            self._fail(stream.parked.popitem(last=False)[0], error)

    def _fail_questions(self, topic: str) -> None:
        error = self._not_sent(topic, "doesn't answer there any more")
        parked = self.questions.parked
        for ticket in [ticket for ticket, question in parked.items() if question.topic == topic]:
            del parked[ticket]
            self._fail(ticket, error)

    def _refusal(self, topic: str, data: bytes, peer: TopicPeer) -> NotSentError:
        if self._is_closing:
            return NotSentError(f"topic {topic!r}: this node is about to stop", node=self.name)
        limit = f"{self.name} takes at most {peer.max_message_bytes}"
        text = f"topic {topic!r}: message of {len(data)} bytes: {limit}"
        return NotSentError(text, node=self.name)

    def _not_sent(self, topic: str, why: str) -> NotSentError:
        return NotSentError(f"topic {topic!r}: {self.name} {why}", node=self.name)

    def _fail(self, ticket: int, error: ClusterKitError) -> None:
        self._local.pending.pop(ticket, None)
        self._local.outcomes.append(OperationFailed(ticket, error))

    # -- payloads ----------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether there is something to send now."""
        is_last = self._is_closing and self.lanes.is_empty  # to send ``Closing``
        return not self._is_closed and (is_last or self.control.is_due or self.lanes.can_send)

    def next_payload(self) -> bytes | None:
        """Return what to send next, ``None`` if there is nothing now."""
        if not self.is_ready:
            return None
        records: list[wire.Record] = []
        used = self.control.open(records)
        used = self.control.fill(records, used)
        if not self.control.is_due:
            if self.lanes.can_send:
                self.lanes.fill(records, used)
            elif self._is_closing and self.lanes.is_empty and used < _MOST_BEFORE_CLOSING_BYTES:
                records.append(wire.Closing())
                self._is_closed = True
        payload = wire.encode(records)
        self.lanes.sent(len(payload))
        if self.lanes.was_full:
            self._unblock_all()
        return payload
