"""One link, as this application speaks on it; what it hears there is ``cluster_kit.topics.dispatcher``."""

from __future__ import annotations

from cluster_kit.abc import MAX_PAYLOAD_BYTES
from cluster_kit.errors import ClusterKitError, NotLinkedError, NotSentError, RemoteProtocolError, UnansweredError
from cluster_kit.node import Node
from cluster_kit.topics.control import Control
from cluster_kit.topics.lanes import Lane, Lanes
from cluster_kit.topics.local import Local, Pending
from cluster_kit.topics.outcomes import Failed, Sent
from cluster_kit.topics.outgoing import OutgoingStream
from cluster_kit.topics.peers import Peer
from cluster_kit.topics.questions import ParkedQuestion, Question, Questions
from cluster_kit.wire import topics as wire

MAX_OUTSTANDING = 128 * 1024  # messages that one peer hasn't read, whatever room it gives

_SAID_BYTES = wire.RECORD_BYTES
_CLOSING_BYTES = 8


class Link:
    """A link that is up.

    Attributes:
        node: The peer.
        peer: What is remembered of its application; ``None`` until that has said which run it is.
        parts: Of messages that come in parts, by lane; ``None`` for one that is too long.
        partial_interests: The pieces of all its interests that have come so far.
        peer_has_closed: Whether the peer has said all.
    """

    def __init__(self, local: Local, number: int, node: Node) -> None:
        assert node.name is not None
        self.number = number
        self.node = node
        self.name = node.name
        self.peer: Peer | None = None
        self.lanes = Lanes()
        self.control = Control(local.run, local.endpoints)
        self.questions = Questions(number)
        self.parts: dict[int, bytearray | None] = {}
        self.partial_interests: dict[str, wire.Interest] = {}
        self.peer_has_closed = False
        self._local = local
        self._blocked: dict[str, OutgoingStream] = {}  # those who wait for room, or have something to tell once there is some
        self._is_closing = False
        self._is_closed = False

    # -- who the peer is, and what it wants ------------------------------------------------------------------------------------

    def identify(self, run: bytes, greeting: wire.Greeting | None) -> None:
        """The peer's application is that run; go on where it was left.

        Raises:
            RemoteProtocolError: It is this very application.
        """
        if run == self._local.run:
            raise RemoteProtocolError("messages: the link leads back to this application")
        peer, is_known = self._local.peers.link_up(self.node, run)
        self.peer, peer.link = peer, self
        self.control.epoch = peer.epoch
        if greeting is not None:
            peer.max_message_bytes = greeting.max_message_bytes
        for stream in peer.streams.values():
            stream.lane, stream.skipped_bytes = Lane(), None
        interests: dict[str, wire.Interest] = {} if greeting is None else greeting.interests
        self.set_interests(interests)
        self.control.must_open = bool(interests)
        if is_known:
            missed = []
            for number in [each.stream for each in interests.values() if each.messages]:
                known = peer.by_number.get(number)
                missed.append(wire.Missed(number, 0 if known is None else known.number))
            self.control.announce_missed(missed)

    def set_interests(self, interests: dict[str, wire.Interest]) -> None:
        """The peer listens to that, and to nothing else."""
        for topic in [topic for topic in self._identified_peer().interests if topic not in interests]:
            self.set_interest(topic, None)
        for topic, interest in interests.items():
            self.set_interest(topic, interest)

    def set_interest(self, topic: str, interest: wire.Interest | None) -> None:
        """The peer listens to ``topic`` so from now on, or not at all.

        Raises:
            RemoteProtocolError: It listens to too much.
        """
        peer = self._identified_peer()
        before = peer.interests.pop(topic, None)
        self._local.changes += 1
        if interest is not None:
            peer.interests[topic] = interest
            if len(peer.interests) > wire.MAX_TOPICS:
                raise RemoteProtocolError(f"messages: it listens to more than {wire.MAX_TOPICS} topics")
        if interest is None or interest.messages == 0:
            self._local.remove_listener(topic, self.name)
            stream = self._end_stream(peer, topic)
            if stream is not None:
                self._fail_parked(stream, NotSentError(f"topic {topic!r}: {self.name} doesn't listen any more", node=self.name))
        else:
            self._local.add_listener(topic, self.name, self)
            self._set_window(peer, topic, interest)
        if before is not None and before.answers and not (interest is not None and interest.answers):
            self._fail_questions(topic)

    def _set_window(self, peer: Peer, topic: str, interest: wire.Interest) -> None:
        stream = peer.streams.get(topic)
        if stream is None:
            return
        if stream.stream_number == interest.stream:
            stream.window = interest
        else:  # it has begun to listen anew; who waits for room is not of any stream yet
            self._end_stream(peer, topic)
            parked, stream = stream.parked, self._begin_stream(peer, topic)
            stream.parked = parked
            self._blocked[topic] = stream
        self._unblock(topic, stream)

    def _end_stream(self, peer: Peer, topic: str) -> OutgoingStream | None:
        """Say nothing more on a stream, and return it; what waits in its lane still goes."""
        stream = peer.streams.pop(topic, None)
        if stream is not None:
            peer.by_number.pop(stream.stream_number, None)
            peer.outstanding -= stream.count
            self._blocked.pop(topic, None)
        return stream

    def _identified_peer(self) -> Peer:
        if self.peer is None:
            raise RemoteProtocolError("messages: it speaks before it has said who it is")
        return self.peer

    # -- messages --------------------------------------------------------------------------------------------------------------

    def publish(self, topic: str, data: bytes, size: int) -> bool:
        """Hand over ``data`` if there is room; return whether there was. The peer listens to ``topic``."""
        peer = self.peer
        assert peer is not None
        stream = peer.streams.get(topic) or self._begin_stream(peer, topic)
        if not stream.parked and size <= peer.max_message_bytes and self._has_room(peer, stream, size):
            self._enqueue(peer, stream, data)
            return True
        stream.skip(size if size <= peer.max_message_bytes else 0)
        self._blocked[topic] = stream
        self._unblock(topic, stream)
        return False

    def send(self, topic: str, data: bytes, ticket: int) -> None:
        """Hand over ``data``, now or once there is room."""
        peer = self.peer
        interest = None if peer is None else peer.interests.get(topic)
        if peer is None or interest is None or interest.messages == 0:
            self._fail(ticket, NotSentError(f"topic {topic!r}: {self.name} doesn't listen to it", node=self.name))
        elif self._is_closing:
            self._fail(ticket, NotSentError(f"topic {topic!r}: this node is about to stop", node=self.name))
        elif len(data) > peer.max_message_bytes:
            self._fail(ticket, self._too_long(topic, len(data), peer))
        else:
            stream = peer.streams.get(topic) or self._begin_stream(peer, topic)
            if not stream.parked and self._has_room(peer, stream, len(data)):
                self._enqueue(peer, stream, data)
                self._local.outcomes.append(Sent(ticket))
                return
            stream.parked[ticket] = data
            self._local.pending[ticket] = Pending(self, topic)
            self._blocked[topic] = stream
            self._unblock(topic, stream)

    def _begin_stream(self, peer: Peer, topic: str) -> OutgoingStream:
        stream = peer.streams[topic] = OutgoingStream(topic, peer.interests[topic])
        peer.by_number[stream.stream_number] = stream
        return stream

    def _has_room(self, peer: Peer, stream: OutgoingStream, size: int) -> bool:
        return peer.outstanding < MAX_OUTSTANDING and stream.has_room(size) and self.lanes.has_room(size + _SAID_BYTES)

    def _enqueue(self, peer: Peer, stream: OutgoingStream, data: bytes) -> None:
        size = len(data)
        peer.outstanding += 1
        self.lanes.put(stream.lane, wire.Said(stream.stream_number, stream.next_number(size), data), size + _SAID_BYTES)
        self._local.ready.add(self.number)

    def add_credit(self, stream_number: int, number: int) -> None:
        """The peer has read everything up to ``number``.

        Raises:
            RemoteProtocolError: That was never said to it.
        """
        peer = self._identified_peer()
        stream = peer.by_number.get(stream_number)
        if stream is None:
            return  # it was not listened to meanwhile
        if number > stream.number:
            raise RemoteProtocolError(f"messages: topic {stream.topic!r}: it has read {number}: {stream.number} were sent")
        was_full = peer.outstanding >= MAX_OUTSTANDING
        peer.outstanding -= stream.release(number)
        self._unblock(stream.topic, stream)
        if was_full:
            self._unblock_all()

    def _unblock(self, topic: str, stream: OutgoingStream) -> None:
        """Hand over what waits for room, as far as there is any, and tell of what there was none for."""
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
        if stream.skipped_bytes is None:
            del self._blocked[topic]
        elif self._has_room(peer, stream, stream.skipped_bytes):
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

    # -- questions and answers -------------------------------------------------------------------------------------------------

    def ask(self, topic: str, data: bytes, ticket: int, patience_ms: int) -> None:
        """Hand over a question, now or once there is room."""
        peer = self.peer
        interest = None if peer is None else peer.interests.get(topic)
        if peer is None or interest is None or not interest.answers:
            self._fail(ticket, NotSentError(f"topic {topic!r}: {self.name} doesn't answer there", node=self.name))
        elif self._is_closing:
            self._fail(ticket, NotSentError(f"topic {topic!r}: this node is about to stop", node=self.name))
        elif len(data) > peer.max_message_bytes:
            self._fail(ticket, self._too_long(topic, len(data), peer))
        else:
            self.questions.parked[ticket] = ParkedQuestion(topic, data, patience_ms)
            self._local.pending[ticket] = Pending(self, None)
            self._send_questions()

    def end_question(self, number: int) -> int | None:
        """A question of ours has its answer; return its ticket, ``None`` if nobody waits for it."""
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

    def answer(self, question: Question, record: wire.Answered | wire.Raised | wire.Declined) -> None:
        """Have ``record`` end a question of theirs, unless that has ended."""
        if not self.questions.end(question) or self._is_closing:
            return
        if isinstance(record, wire.Answered):
            size = len(record.data) + wire.RECORD_BYTES
            limit = self._identified_peer().max_message_bytes
            if len(record.data) > limit:
                text = f"the answer has {len(record.data)} bytes: {self.name} takes at most {limit}"
                record = wire.Raised(question.number, text)
            elif not self.lanes.has_reply_room(size):
                text = f"there is no room for the answer: too many wait for {self.name} already"
                record = wire.Raised(question.number, text)
        self.put_reply(record)

    def put_reply(self, record: wire.Answered | wire.Raised | wire.Declined) -> None:
        """Have an answer wait for the link."""
        match record:
            case wire.Answered(data=data):
                size = len(data)
            case wire.Raised(text=text):
                size = 4 * len(text)
            case wire.Declined(reason=reason):
                size = 4 * len(reason)
        self.lanes.put_reply(record, size + wire.RECORD_BYTES)
        self._local.ready.add(self.number)

    # -- giving up -------------------------------------------------------------------------------------------------------------

    def withdraw(self, ticket: int, topic: str | None) -> bool:
        """Give up what has a ticket; return whether it was certainly not sent."""
        if topic is not None:
            assert self.peer is not None
            stream = self.peer.streams[topic]
            del stream.parked[ticket]
            self._unblock(topic, stream)
            return True
        if self.questions.parked.pop(ticket, None) is not None:
            self._send_questions()
            return True
        number = self.questions.number_of(ticket)
        assert number is not None
        was_waiting = self.lanes.take_back(self.questions.asked.pop(number).record)
        self._unblock_all()
        return was_waiting

    def down(self, now_s: float) -> None:
        """The link is down: end everything, and remember what is to be gone on with."""
        gone = NotLinkedError(f"{self.name}: the link is down", node=self.name)
        for ticket, _ in self.questions.parked.items():
            self._fail(ticket, gone)
        for ticket, record in self.questions.asked.values():
            lost = UnansweredError(
                f"{self.name}: the link is down: whether the question was answered is unknown", node=self.name
            )
            self._fail(ticket, gone if self.lanes.take_back(record) else lost)
        if self.peer is not None:
            for stream in self.peer.streams.values():
                self._fail_parked(stream, gone)
                stream.lane = Lane()
            for topic in self.peer.interests:
                self._local.remove_listener(topic, self.name)
            self.peer.link = None
            self._local.peers.link_down(self.peer, None if self.peer_has_closed else now_s)

    def close(self) -> None:
        """Say nothing more than what waits already, then that this was all."""
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
        error = NotSentError(f"topic {topic!r}: {self.name} doesn't answer there any more", node=self.name)
        for ticket in [ticket for ticket, waiting in self.questions.parked.items() if waiting.topic == topic]:
            del self.questions.parked[ticket]
            self._fail(ticket, error)

    def _too_long(self, topic: str, size: int, peer: Peer) -> NotSentError:
        limit = peer.max_message_bytes
        return NotSentError(f"topic {topic!r}: message of {size} bytes: {self.name} takes at most {limit}", node=self.name)

    def _fail(self, ticket: int, error: ClusterKitError) -> None:
        self._local.pending.pop(ticket, None)
        self._local.outcomes.append(Failed(ticket, error))

    # -- what goes -------------------------------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether there is something to send now."""
        if self._is_closed:
            return False
        return self.control.is_due or self.lanes.can_send or (self._is_closing and self.lanes.is_empty)

    def next_payload(self) -> bytes | None:
        """Return what to send next, ``None`` if there is nothing now."""
        if not self.is_ready:
            return None
        records: list[wire.Record] = []
        used = wire.ARRAY_BYTES + self.control.open(records)
        used = self.control.fill(records, used)
        if not self.control.is_due:
            if self.lanes.can_send:
                self.lanes.fill(records, used)
            elif self._is_closing and self.lanes.is_empty and used + _CLOSING_BYTES < MAX_PAYLOAD_BYTES:
                records.append(wire.Closing())
                self._is_closed = True
        payload = wire.encode(records)
        self.lanes.sent(len(payload))
        if self.lanes.was_full:
            self._unblock_all()
        return payload
