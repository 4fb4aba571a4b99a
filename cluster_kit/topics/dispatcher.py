"""What each record that arrives on a link does: one handler per type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cluster_kit.errors import (
    ClusterKitError,
    NotSentError,
    RemoteError,
    RemoteProtocolError,
    UnansweredError,
)
from cluster_kit.topics import outcomes
from cluster_kit.topics.incoming import IncomingStream, PartialRecord
from cluster_kit.topics.link import TopicLink
from cluster_kit.topics.local import LocalApplication
from cluster_kit.topics.peers import TopicPeer
from cluster_kit.topics.questions import MAX_OPEN
from cluster_kit.wire import topics as wire

MAX_DECLINED = 1024  # records that may wait for one link; beyond that, questions get none


class Dispatcher:
    """Handles the payloads of all links of an application."""

    def __init__(self, local: LocalApplication) -> None:
        self._local = local
        self._handlers: dict[type[wire.Record], Callable[[TopicLink, Any], None]] = {
            wire.Opening: self._on_opening,
            wire.Interests: self._on_interests,
            wire.Interested: lambda link, record: link.set_interest(record.topic, record.interest),
            wire.Uninterested: lambda link, record: link.set_interest(record.topic, None),
            wire.Data: self._on_data,
            wire.Missed: self._on_missed,
            wire.Credit: lambda link, record: link.add_credit(record.stream, record.number),
            wire.Received: lambda link, record: link.lanes.note_received(record.bytes),
            wire.Fragment: self._on_fragment,
            wire.Asked: self._on_asked,
            wire.Answered: self._on_answered,
            wire.Raised: self._on_raised,
            wire.Declined: self._on_declined,
            wire.Closing: self._on_closing,
            wire.Sync: lambda link, record: link.control.answer_sync(record.number),
            wire.Synced: self._on_synced,
        }

    def dispatch(self, link: TopicLink, payload: bytes) -> None:
        """Handle the records of ``payload`` in order.

        Raises:
            RemoteProtocolError: It breaks the protocol. The records before the offending one count.
        """
        handlers = self._handlers
        link.control.count_received(len(payload))
        for record in wire.decode(payload):
            if link.peer_has_closed:
                raise RemoteProtocolError("messages: the peer sent a record after 'closing'")
            handlers[type(record)](link, record)
        if link.is_ready:
            self._local.ready.add(link.number)

    # -- identity and interests --------------------------------------------------------------------

    def _on_opening(self, link: TopicLink, opening: wire.Opening) -> None:
        if link.peer is None:
            link.identify(opening.run, None)
        assert link.peer is not None
        if link.peer.run != opening.run:
            raise RemoteProtocolError("messages: the peer's opening and greeting name two runs")
        if opening.epoch is not None:
            if link.control.peer_has_opened:
                raise RemoteProtocolError("messages: the peer sent a second opening")
            self._resume(link, link.peer, opening.epoch)

    def _resume(self, link: TopicLink, peer: TopicPeer, epoch: int) -> None:
        """Continue the peer's streams where they were left, if its epoch is the known one."""
        peers, incoming = self._local.peers, peer.incoming
        if incoming.epoch != epoch:
            if epoch > 0:  # messages of an older epoch may be lost
                peers.resolve_doubt(peer)
            incoming.begin_epoch(epoch)
            link.control.drop_credit()
        peers.clear_doubt(peer)
        link.control.peer_has_opened = True
        for stream in incoming.streams.values():
            stream.resend_credit()
            if stream.owes_credit:
                link.control.give_credit(stream)

    def _on_interests(self, link: TopicLink, record: wire.Interests) -> None:
        link.partial_interests.update(record.interests)
        if len(link.partial_interests) > wire.MAX_TOPICS:
            limit = wire.MAX_TOPICS
            raise RemoteProtocolError(f"messages: the peer listens to more than {limit} topics")
        if record.last:
            interests, link.partial_interests = link.partial_interests, {}
            link.set_interests(interests)

    def _on_closing(self, link: TopicLink, _: wire.Closing) -> None:
        link.peer_has_closed = True

    def _on_synced(self, link: TopicLink, synced: wire.Synced) -> None:
        tickets = link.control.complete_syncs(synced.number)
        self._local.outcomes.extend(outcomes.SyncDone(ticket) for ticket in tickets)

    # -- messages ----------------------------------------------------------------------------------

    def _opened_peer(self, link: TopicLink) -> TopicPeer:
        if link.peer is None or not link.control.peer_has_opened:
            raise RemoteProtocolError("messages: the peer sent a record before its opening")
        return link.peer

    def _on_data(self, link: TopicLink, data: wire.Data) -> None:
        stream = self._opened_peer(link).incoming.stream(data.stream)
        if stream is None:
            return
        number, size = data.number, len(data.data)
        if size > self._local.max_message_bytes:
            self._on_too_long(link, data)
            return
        if number <= stream.last or stream.is_full:
            return  # a repetition; or dropped, which shows as a gap
        if number != stream.last + 1:
            self._record_loss(link, stream, number - 1)
        stream.record_arrival(number, size)
        arrived = outcomes.Arrived(stream, link.node, stream.topic, number, data.data)
        self._local.outcomes.append(arrived)

    def _record_loss(self, link: TopicLink, stream: IncomingStream, number: int) -> None:
        """Report all numbers up to ``number`` that have not arrived as lost."""
        lost = stream.owner.lost_before(stream, number + 1)
        if lost == 0:
            stream.skip(number)
            if stream.owes_credit:  # nothing may be left to be read, which would give it
                link.control.give_credit(stream)
        else:
            stream.record_loss(number)
            missing = outcomes.Missing(stream, link.node, stream.topic, number, lost)
            self._local.outcomes.append(missing)

    def _on_missed(self, link: TopicLink, missed: wire.Missed) -> None:
        stream = self._opened_peer(link).incoming.stream(missed.stream)
        if stream is not None and missed.number >= stream.last:
            self._record_loss(link, stream, missed.number)

    def _on_fragment(self, link: TopicLink, fragment: wire.Fragment) -> None:
        partial = link.fragments.setdefault(fragment.lane, PartialRecord())
        partial.add(fragment.data, self._local.max_message_bytes + wire.HEAD_BYTES)
        if not fragment.last:
            return
        del link.fragments[fragment.lane]
        if partial.is_whole:
            record = wire.decode_sliced(partial.body)
            self._handlers[type(record)](link, record)
        else:
            self._on_too_long(link, wire.decode_cut(bytes(partial.body), partial.size))

    def _on_too_long(self, link: TopicLink, record: wire.Record) -> None:
        """Drop a record whose sender may not know our limit, and tell those who wait for it."""
        limit = self._local.max_message_bytes
        match record:
            case wire.Data(stream, number):
                self._on_missed(link, wire.Missed(stream, number))
            case wire.Asked(question):
                self._decline(link, question, f"it takes at most {limit} bytes")
            case wire.Answered(question):
                text = f"{link.name}: the answer is too long: this node takes at most {limit} bytes"
                self._end_question(link, question, UnansweredError(text, node=link.name))

    # -- questions ---------------------------------------------------------------------------------

    def _on_asked(self, link: TopicLink, asked: wire.Asked) -> None:
        self._opened_peer(link)
        if asked.question in link.questions.open:
            raise RemoteProtocolError("messages: the peer used one number for two open questions")
        if len(asked.data) > self._local.max_message_bytes:
            self._on_too_long(link, asked)
            return
        reason = self._why_declined(link, asked)
        if reason is None:
            question = link.questions.accept(asked.question)
            patience_s = asked.patience_ms / 1000
            self._local.outcomes.append(
                outcomes.QuestionArrived(question, link.node, asked.topic, asked.data, patience_s)
            )
        else:
            self._decline(link, asked.question, reason)

    def _decline(self, link: TopicLink, question: int, reason: str) -> None:
        if link.lanes.replies < MAX_DECLINED:
            link.put_reply(wire.Declined(question, reason))

    def _why_declined(self, link: TopicLink, asked: wire.Asked) -> str | None:
        local_topic = self._local.topics.by_name.get(asked.topic)
        if local_topic is None or not local_topic.interest.answers:
            return "no function answers in this topic"
        if link.lanes.replies >= MAX_OPEN or not link.questions.has_room_for_theirs:
            return "it is busy: too many questions are open"
        return None

    def _on_answered(self, link: TopicLink, answered: wire.Answered) -> None:
        if len(answered.data) > self._local.max_message_bytes:
            self._on_too_long(link, answered)
        elif (ticket := link.end_question(answered.question)) is not None:
            self._local.outcomes.append(outcomes.Replied(ticket, answered.data))

    def _on_raised(self, link: TopicLink, raised: wire.Raised) -> None:
        error = RemoteError(f"{link.name}: {raised.text}", node=link.name)
        self._end_question(link, raised.question, error)

    def _on_declined(self, link: TopicLink, declined: wire.Declined) -> None:
        text = f"{link.name}: the question was not answered: {declined.reason}"
        self._end_question(link, declined.question, NotSentError(text, node=link.name))

    def _end_question(self, link: TopicLink, question: int, error: ClusterKitError) -> None:
        ticket = link.end_question(question)
        if ticket is not None:
            self._local.outcomes.append(outcomes.OperationFailed(ticket, error))
