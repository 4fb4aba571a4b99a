"""What is heard on a link: one reader for each type of record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cluster_kit.errors import ClusterKitError, NotSentError, RemoteError, RemoteProtocolError, UnansweredError
from cluster_kit.topics import outcomes
from cluster_kit.topics.incoming import Stream
from cluster_kit.topics.link import Link
from cluster_kit.topics.local import Local
from cluster_kit.topics.peers import Peer
from cluster_kit.topics.questions import MAX_OPEN
from cluster_kit.wire import topics as wire

MAX_DECLINED = 1024  # that wait for one link

_SLICED_BYTES = wire.RECORD_BYTES + wire.MAX_TOPIC_BYTES  # of a record in parts, besides its data


class Hearing:
    """Hears for all links of an application."""

    def __init__(self, local: Local) -> None:
        self._local = local
        self._readers: dict[type[wire.Record], Callable[[Link, Any], None]] = {
            wire.Opening: self._opening,
            wire.Interests: self._interests,
            wire.Interested: lambda link, record: link.set_interest(record.topic, record.interest),
            wire.Uninterested: lambda link, record: link.set_interest(record.topic, None),
            wire.Said: self._said,
            wire.Missed: self._missed,
            wire.Taken: lambda link, record: link.taken(record.stream, record.number),
            wire.Heard: lambda link, record: link.lanes.heard(record.bytes),
            wire.Part: self._part,
            wire.Asked: self._asked,
            wire.Answered: self._answered,
            wire.Raised: self._raised,
            wire.Declined: self._declined,
            wire.Closing: self._closing,
            wire.Sync: lambda link, record: link.control.synced(record.number),
            wire.Synced: self._synced,
        }

    def hear(self, link: Link, payload: bytes) -> None:
        """Do as ``payload`` says.

        Raises:
            RemoteProtocolError: It breaks the protocol. What came before counts.
        """
        readers = self._readers
        link.control.arrived(len(payload))
        for record in wire.decode(payload):
            if link.has_closed:
                raise RemoteProtocolError("messages: it goes on behind its last word")
            readers[type(record)](link, record)
        if link.is_ready:
            self._local.ready.add(link.number)

    # -- who it is, and what it wants ------------------------------------------------------------------------------------------

    def _opening(self, link: Link, opening: wire.Opening) -> None:
        if link.peer is None:
            link.bind(opening.run, None)
        assert link.peer is not None
        if link.peer.run != opening.run:
            raise RemoteProtocolError("messages: it opens as another run than it has greeted as")
        if opening.line is not None:
            if link.control.may_tell:
                raise RemoteProtocolError("messages: it opens once more")
            self._go_on(link, link.peer, opening.line)

    def _go_on(self, link: Link, peer: Peer, line: int) -> None:
        """The peer's numbers are of that line; where they were left off, it says what is missing."""
        peers, incoming = self._local.peers, peer.incoming
        if incoming.line != line:
            if incoming.line is not None or line > 0:  # what was said before, and didn't arrive, may be of another line
                peers.give_up(peer)
            incoming.begin_line(line)
            link.control.forget_read()
        peers.clear_doubt(peer)
        link.control.may_tell = True
        for stream in incoming.streams.values():
            stream.doubt_told()
            if stream.is_owed:
                link.control.tell_read(stream)

    def _interests(self, link: Link, record: wire.Interests) -> None:
        link.told_interests.update(record.interests)
        if len(link.told_interests) > wire.MAX_TOPICS:
            raise RemoteProtocolError(f"messages: it listens to more than {wire.MAX_TOPICS} topics")
        if record.last:
            interests, link.told_interests = link.told_interests, {}
            link.set_interests(interests)

    def _closing(self, link: Link, _: wire.Closing) -> None:
        link.has_closed = True

    def _synced(self, link: Link, synced: wire.Synced) -> None:
        self._local.outcomes.extend(outcomes.Synced(ticket) for ticket in link.control.end_syncs(synced.number))

    # -- messages --------------------------------------------------------------------------------------------------------------

    def _stream(self, link: Link, number: int) -> Stream | None:
        peer = link.peer
        if peer is None or not link.control.may_tell:
            raise RemoteProtocolError("messages: it speaks before it has said who it is")
        return peer.incoming.stream(number)

    def _said(self, link: Link, said: wire.Said) -> None:
        stream = self._stream(link, said.stream)
        if stream is None:
            return
        number, size = said.number, len(said.data)
        if number <= stream.last or size > self._local.max_message_bytes or stream.is_full:
            return  # it shows as a gap, where it's no repetition
        if number != stream.last + 1:
            self._lose(link, stream, number - 1)
        stream.arrive(number, size)
        self._local.outcomes.append(outcomes.Arrived(stream, link.node, stream.topic, number, said.data))

    def _lose(self, link: Link, stream: Stream, number: int) -> None:
        """What didn't arrive up to ``number`` won't any more."""
        lost = stream.owner.lost_before(stream, number + 1)
        if lost == 0:
            stream.skip(number)
            self._is_read(link, stream)
        else:
            stream.lose(number)
            self._local.outcomes.append(outcomes.Missing(stream, link.node, stream.topic, number, lost))

    def _missed(self, link: Link, missed: wire.Missed) -> None:
        stream = self._stream(link, missed.stream)
        if stream is not None and missed.number >= stream.last:
            self._lose(link, stream, missed.number)

    def _is_read(self, link: Link, stream: Stream) -> None:
        if stream.is_due(self._local.max_message_bytes):
            link.control.tell_read(stream)

    def _part(self, link: Link, part: wire.Part) -> None:
        body = link.parts.setdefault(part.lane, bytearray())
        if body is not None:
            body += part.data
            if len(body) > self._local.max_message_bytes + _SLICED_BYTES:
                body = link.parts[part.lane] = None
        if part.last:
            del link.parts[part.lane]
            if body is not None:
                record = wire.decode_sliced(body)
                self._readers[type(record)](link, record)

    # -- questions -------------------------------------------------------------------------------------------------------------

    def _asked(self, link: Link, asked: wire.Asked) -> None:
        self._stream(link, 0)  # only once it has said who it is
        heed = self._local.heeds.by_topic.get(asked.topic)
        reason = None
        if asked.question in link.questions.open:
            raise RemoteProtocolError("messages: it gives two open questions one number")
        if heed is None or not heed.interest.answers:
            reason = "nobody answers there"
        elif len(asked.data) > self._local.max_message_bytes:
            reason = f"it takes at most {self._local.max_message_bytes} bytes"
        elif link.lanes.replies >= MAX_OPEN or (question := link.questions.take(asked.question)) is None:
            reason = "it is busy: too many questions are open"
        else:
            patience_s = asked.patience_ms / 1000
            self._local.outcomes.append(outcomes.Asked(question, link.node, asked.topic, asked.data, patience_s))
        if reason is not None and link.lanes.replies < MAX_DECLINED:
            link.put_reply(wire.Declined(asked.question, reason))

    def _answered(self, link: Link, answered: wire.Answered) -> None:
        ticket = link.end_inquiry(answered.question)
        if ticket is None:
            return
        if len(answered.data) > self._local.max_message_bytes:
            text = f"{link.name}: its answer is too long: {len(answered.data)} bytes"
            self._fail(ticket, UnansweredError(text, node=link.name))
        else:
            self._local.outcomes.append(outcomes.Replied(ticket, answered.data))

    def _raised(self, link: Link, raised: wire.Raised) -> None:
        ticket = link.end_inquiry(raised.question)
        if ticket is not None:
            self._fail(ticket, RemoteError(f"{link.name}: {raised.text}", node=link.name))

    def _declined(self, link: Link, declined: wire.Declined) -> None:
        ticket = link.end_inquiry(declined.question)
        if ticket is not None:
            self._fail(ticket, NotSentError(f"{link.name}: the question was not answered: {declined.reason}", node=link.name))

    def _fail(self, ticket: int, error: ClusterKitError) -> None:
        self._local.outcomes.append(outcomes.Failed(ticket, error))
