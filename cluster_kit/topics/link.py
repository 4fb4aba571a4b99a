"""One link, as this application speaks on it; what it hears there is ``cluster_kit.topics.hearing``."""

from __future__ import annotations

from cluster_kit.abc import MAX_PAYLOAD_BYTES
from cluster_kit.errors import ClusterKitError, NotLinkedError, NotSentError, RemoteProtocolError, UnansweredError
from cluster_kit.node import Node
from cluster_kit.topics.control import Control
from cluster_kit.topics.lanes import Lane, Lanes
from cluster_kit.topics.local import Local, Place
from cluster_kit.topics.outcomes import Failed, Sent
from cluster_kit.topics.outgoing import Outgoing
from cluster_kit.topics.peers import Peer
from cluster_kit.topics.questions import Question, Questions, Waiting
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
        told_interests: The pieces of all its interests that have come so far.
        has_closed: Whether the peer has said all.
    """

    def __init__(self, local: Local, number: int, node: Node) -> None:
        assert node.name is not None
        self.number = number
        self.node = node
        self.name = node.name
        self.peer: Peer | None = None
        self.lanes = Lanes()
        self.control = Control(local.run, local.heeds)
        self.questions = Questions(number)
        self.parts: dict[int, bytearray | None] = {}
        self.told_interests: dict[str, wire.Interest] = {}
        self.has_closed = False
        self._local = local
        self._blocked: dict[str, Outgoing] = {}  # those who wait for room, or have something to tell once there is some
        self._is_closing = False
        self._is_closed = False

    # -- who the peer is, and what it wants ------------------------------------------------------------------------------------

    def bind(self, run: bytes, greeting: wire.Greeting | None) -> None:
        """The peer's application is that run; go on where it was left.

        Raises:
            RemoteProtocolError: It is this very application.
        """
        if run == self._local.run:
            raise RemoteProtocolError("messages: the link leads back to this application")
        peer, is_known = self._local.peers.meet(self.node, run)
        self.peer, peer.link = peer, self
        self.control.line = peer.line
        if greeting is not None:
            peer.max_message_bytes = greeting.max_message_bytes
        for stream in peer.streams.values():
            stream.lane, stream.skipped_bytes = Lane(), None
        interests: dict[str, wire.Interest] = {} if greeting is None else greeting.interests
        self.set_interests(interests)
        self.control.must_open = bool(interests)
        if is_known:
            told = [
                (interest.stream, peer.by_number.get(interest.stream)) for interest in interests.values() if interest.messages
            ]
            self.control.tell_missed([wire.Missed(number, 0 if stream is None else stream.number) for number, stream in told])

    def set_interests(self, interests: dict[str, wire.Interest]) -> None:
        """The peer listens to that, and to nothing else."""
        for topic in [topic for topic in self._known_peer().interests if topic not in interests]:
            self.set_interest(topic, None)
        for topic, interest in interests.items():
            self.set_interest(topic, interest)

    def set_interest(self, topic: str, interest: wire.Interest | None) -> None:
        """The peer listens to ``topic`` so from now on, or not at all.

        Raises:
            RemoteProtocolError: It listens to too much.
        """
        peer = self._known_peer()
        before = peer.interests.pop(topic, None)
        self._local.changes += 1
        if interest is not None:
            peer.interests[topic] = interest
            if len(peer.interests) > wire.MAX_TOPICS:
                raise RemoteProtocolError(f"messages: it listens to more than {wire.MAX_TOPICS} topics")
        if interest is None or interest.messages == 0:
            self._local.hears_no_more(topic, self.name)
            stream = self._drop(peer, topic)
            if stream is not None:
                self._end_parked(stream, NotSentError(f"topic {topic!r}: {self.name} doesn't listen any more", node=self.name))
        else:
            self._local.hears(topic, self.name, self)
            self._set_window(peer, topic, interest)
        if before is not None and before.answers and not (interest is not None and interest.answers):
            self._end_questions(topic)

    def _set_window(self, peer: Peer, topic: str, interest: wire.Interest) -> None:
        stream = peer.streams.get(topic)
        if stream is None:
            return
        if stream.stream == interest.stream:
            stream.window = interest
        else:  # it has begun to listen anew; who waits for room is not of any stream yet
            self._drop(peer, topic)
            parked, stream = stream.parked, self._begin(peer, topic)
            stream.parked = parked
            self._blocked[topic] = stream
        self._serve(topic, stream)

    def _drop(self, peer: Peer, topic: str) -> Outgoing | None:
        """Say nothing more on a stream, and return it; what waits in its lane still goes."""
        stream = peer.streams.pop(topic, None)
        if stream is not None:
            peer.by_number.pop(stream.stream, None)
            peer.outstanding -= stream.count
            self._blocked.pop(topic, None)
        return stream

    def _known_peer(self) -> Peer:
        if self.peer is None:
            raise RemoteProtocolError("messages: it speaks before it has said who it is")
        return self.peer

    # -- messages --------------------------------------------------------------------------------------------------------------

    def publish(self, topic: str, data: bytes, size: int) -> bool:
        """Hand over ``data`` if there is room; return whether there was. The peer listens to ``topic``."""
        peer = self.peer
        assert peer is not None
        stream = peer.streams.get(topic) or self._begin(peer, topic)
        if not stream.parked and size <= peer.max_message_bytes and self._has_room(peer, stream, size):
            self._hand_over(peer, stream, data)
            return True
        stream.skip(size if size <= peer.max_message_bytes else 0)
        self._blocked[topic] = stream
        self._serve(topic, stream)
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
            stream = peer.streams.get(topic) or self._begin(peer, topic)
            if not stream.parked and self._has_room(peer, stream, len(data)):
                self._hand_over(peer, stream, data)
                self._local.outcomes.append(Sent(ticket))
                return
            stream.parked[ticket] = data
            self._local.places[ticket] = Place(self, topic)
            self._blocked[topic] = stream
            self._serve(topic, stream)

    def _begin(self, peer: Peer, topic: str) -> Outgoing:
        stream = peer.streams[topic] = Outgoing(topic, peer.interests[topic])
        peer.by_number[stream.stream] = stream
        return stream

    def _has_room(self, peer: Peer, stream: Outgoing, size: int) -> bool:
        return peer.outstanding < MAX_OUTSTANDING and stream.has_room(size) and self.lanes.has_room(size + _SAID_BYTES)

    def _hand_over(self, peer: Peer, stream: Outgoing, data: bytes) -> None:
        size = len(data)
        peer.outstanding += 1
        self.lanes.put(stream.lane, wire.Said(stream.stream, stream.use(size), data), size + _SAID_BYTES)
        self._local.ready.add(self.number)

    def taken(self, stream_number: int, number: int) -> None:
        """The peer has read everything up to ``number``.

        Raises:
            RemoteProtocolError: That was never said to it.
        """
        peer = self._known_peer()
        stream = peer.by_number.get(stream_number)
        if stream is None:
            return  # it was not listened to meanwhile
        if number > stream.number:
            raise RemoteProtocolError(f"messages: topic {stream.topic!r}: it has read {number}: {stream.number} were sent")
        was_full = peer.outstanding >= MAX_OUTSTANDING
        peer.outstanding -= stream.take(number)
        self._serve(stream.topic, stream)
        if was_full:
            self._serve_all()

    def _serve(self, topic: str, stream: Outgoing) -> None:
        """Hand over what waits for room, as far as there is any, and tell of what there was none for."""
        peer = self.peer
        if peer is None or topic not in self._blocked or self._is_closing:
            return
        while stream.parked:
            ticket, data = next(iter(stream.parked.items()))
            if not self._has_room(peer, stream, len(data)):
                return
            del stream.parked[ticket], self._local.places[ticket]
            self._hand_over(peer, stream, data)
            self._local.outcomes.append(Sent(ticket))
        if stream.skipped_bytes is None:
            del self._blocked[topic]
        elif self._has_room(peer, stream, stream.skipped_bytes):
            self._tell_skipped(stream)
            del self._blocked[topic]

    def _tell_skipped(self, stream: Outgoing) -> None:
        stream.skipped_bytes = None
        self.lanes.put_missed(stream.lane, wire.Missed(stream.stream, stream.number))
        self._local.ready.add(self.number)

    def _serve_all(self) -> None:
        self.lanes.is_tight = False
        for topic, stream in list(self._blocked.items()):
            self._serve(topic, stream)
            if self.lanes.is_tight:
                return
        self._serve_questions()

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
            self.questions.parked[ticket] = Waiting(topic, data, patience_ms)
            self._local.places[ticket] = Place(self, None)
            self._serve_questions()

    def end_inquiry(self, number: int) -> int | None:
        """A question of ours has its answer; return its ticket, ``None`` if nobody waits for it."""
        inquiry = self.questions.asked.pop(number, None)
        if inquiry is None:
            return None
        self._local.places.pop(inquiry.ticket, None)
        self._serve_questions()
        return inquiry.ticket

    def _serve_questions(self) -> None:
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
            limit = self._known_peer().max_message_bytes
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
            self._serve(topic, stream)
            return True
        if self.questions.parked.pop(ticket, None) is not None:
            self._serve_questions()
            return True
        number = self.questions.number_of(ticket)
        assert number is not None
        was_waiting = self.lanes.take_back(self.questions.asked.pop(number).record)
        self._serve_all()
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
                self._end_parked(stream, gone)
                stream.lane = Lane()
            for topic in self.peer.interests:
                self._local.hears_no_more(topic, self.name)
            self.peer.link = None
            self._local.peers.part(self.peer, None if self.has_closed else now_s)

    def close(self) -> None:
        """Say nothing more than what waits already, then that this was all."""
        if not self._is_closing:
            self._is_closing = True
            for stream in self._blocked.values():
                if stream.skipped_bytes is not None:
                    self._tell_skipped(stream)
            self._local.ready.add(self.number)

    def _end_parked(self, stream: Outgoing, error: NotSentError) -> None:
        while stream.parked:
            self._fail(stream.parked.popitem(last=False)[0], error)

    def _end_questions(self, topic: str) -> None:
        error = NotSentError(f"topic {topic!r}: {self.name} doesn't answer there any more", node=self.name)
        for ticket in [ticket for ticket, waiting in self.questions.parked.items() if waiting.topic == topic]:
            del self.questions.parked[ticket]
            self._fail(ticket, error)

    def _too_long(self, topic: str, size: int, peer: Peer) -> NotSentError:
        limit = peer.max_message_bytes
        return NotSentError(f"topic {topic!r}: message of {size} bytes: {self.name} takes at most {limit}", node=self.name)

    def _fail(self, ticket: int, error: ClusterKitError) -> None:
        self._local.places.pop(ticket, None)
        self._local.outcomes.append(Failed(ticket, error))

    # -- what goes -------------------------------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether there is something to send now."""
        if self._is_closed:
            return False
        return self.control.is_due or self.lanes.may_go or (self._is_closing and self.lanes.is_empty)

    def next_payload(self) -> bytes | None:
        """Return what to send next, ``None`` if there is nothing now."""
        if not self.is_ready:
            return None
        records: list[wire.Record] = []
        used = wire.ARRAY_BYTES + self.control.open(records)
        used = self.control.fill(records, used)
        if not self.control.is_due:
            if self.lanes.may_go:
                self.lanes.fill(records, used)
            elif self._is_closing and self.lanes.is_empty and used + _CLOSING_BYTES < MAX_PAYLOAD_BYTES:
                records.append(wire.Closing())
                self._is_closed = True
        payload = wire.encode(records)
        self.lanes.sent(len(payload))
        if self.lanes.is_tight:
            self._serve_all()
        return payload
