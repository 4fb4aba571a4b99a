"""``Messenger``, the sans-I/O core of an application's messages in one topology.

It has no lock, thread, clock, randomness or socket; the caller has these, and makes one call at a
time. The docstring of ``cluster_kit.topics`` explains how it works.
"""

from __future__ import annotations

from cluster_kit.errors import NotLinkedError
from cluster_kit.node import Node, canonical_key
from cluster_kit.topics.dispatcher import Dispatcher
from cluster_kit.topics.incoming import IncomingStream, LocalInterest
from cluster_kit.topics.link import TopicLink
from cluster_kit.topics.local import LocalApplication
from cluster_kit.topics.outcomes import OperationFailed, Outcome
from cluster_kit.topics.questions import Question
from cluster_kit.wire import topics as wire

_MAX_PATIENCE_MS = 2**53


class Messenger:
    """All streams, questions and links of one application.

    Outcomes are returned by the next call that returns any; if a call raises, none is lost.

    Args:
        run: The application's run id: ``RUN_BYTES`` random bytes, made when it starts.
        max_message_bytes: See ``Connector.max_message_bytes``; may be set later.
    """

    def __init__(self, run: bytes, *, max_message_bytes: int = 1024 * 1024) -> None:
        if len(run) != wire.RUN_BYTES:
            raise ValueError(f"messenger: run of {len(run)} bytes: expected {wire.RUN_BYTES}")
        self._local = LocalApplication(run, max_message_bytes)
        self._dispatcher = Dispatcher(self._local)
        self._links: dict[int, TopicLink] = {}
        self._by_name: dict[str, TopicLink] = {}
        self._greeting: bytes | None = None
        self._now_s = 0.0
        self._is_closing = False

    @property
    def max_message_bytes(self) -> int:
        """The size limit of messages, both sent and received, in bytes."""
        return self._local.max_message_bytes

    @max_message_bytes.setter
    def max_message_bytes(self, value: int) -> None:
        self._local.max_message_bytes = value
        self._greeting = None

    @property
    def changes(self) -> int:
        """A counter that changes whenever the results of ``linked`` and ``listeners`` may."""
        return self._local.changes

    @property
    def greeting(self) -> bytes:
        """The greeting for the handshakes of new links, as of now."""
        if self._greeting is None:
            local = self._local
            by_name = local.topics.by_name
            interests = {topic: local_topic.advertised for topic, local_topic in by_name.items()}
            greeting = wire.TopicGreeting(local.run, local.max_message_bytes, interests)
            self._greeting = wire.encode_greeting(greeting)
        return self._greeting

    # -- interests and reading ---------------------------------------------------------------------

    def listen(self, topic: str, interest: LocalInterest | None) -> None:
        """Begin, change or, with ``None``, end listening to ``topic``.

        Raises:
            ValueError: The name is invalid, or there are too many topics.
        """
        wire.check_topic(topic)
        topics = self._local.topics
        is_new = topic not in topics.by_name
        if is_new and interest is None:
            return
        if is_new and len(topics.by_name) >= wire.MAX_TOPICS:
            text = f"topic {topic!r}: at most {wire.MAX_TOPICS} topics can be listened to"
            raise ValueError(text)
        ended = topics.set(topic, interest)
        if ended is not None:
            self._local.peers.forget_stream(ended.number)
        elif not is_new:
            for stream in self._streams(topics.by_name[topic].number):
                self._give_credit(stream)  # the new window may be smaller than the credit due
        self._greeting = None
        for link in self._links.values():
            link.control.announce_interest(topic)
            self._local.ready.add(link.number)

    def listeners(self, topic: str, *, answering: bool = False) -> tuple[Node, ...]:
        """Return the linked nodes that listen to ``topic`` or, if ``answering``, answer there."""
        found = []
        for name in sorted(self._by_name):
            link = self._by_name[name]
            interest = link.peer.interests.get(topic) if link.peer is not None else None
            if interest is not None and (interest.answers if answering else interest.messages > 0):
                found.append(link.node)
        return tuple(found)

    def linked(self, topic: str) -> dict[int, tuple[Node, bool]]:
        """Return the node at the end of each link, and whether it answers in ``topic``."""
        found = {}
        for number, link in self._links.items():
            interest = link.peer.interests.get(topic) if link.peer is not None else None
            found[number] = (link.node, interest is not None and interest.answers)
        return found

    def sync(self, link: int, ticket: int) -> None:
        """Ask the peer to confirm that it has processed all earlier records of ``link``.

        ``SyncDone`` then reports ``ticket``; nothing does if the link is or goes down.
        """
        found = self._links.get(link)
        if found is not None:
            found.control.sync(ticket)
            self._local.ready.add(link)

    def mark_read(self, stream: IncomingStream, number: int) -> None:
        """Note that the application has read ``stream`` up to ``number``, unless it has ended."""
        peer = self._local.peers.peer_of(stream)
        if peer is None:
            return
        stream.mark_read(number)
        if stream.owes_credit:
            self._local.owed_credit[stream] = None
            if peer.link is not None and stream.is_credit_due(self._local.max_message_bytes):
                peer.link.control.give_credit(stream)
                self._local.ready.add(peer.link.number)

    # -- links -------------------------------------------------------------------------------------

    def up(self, link: int, node: Node, greeting: bytes, *, outdated: bool) -> list[Outcome]:
        """Add a link.

        Args:
            link: Its number, which no earlier link had.
            node: The peer.
            greeting: The peer's.
            outdated: Whether the peer was sent another greeting than the current one.

        Raises:
            RemoteProtocolError: ``greeting`` is malformed, or this application's own. Call
                ``down``, and ignore the link.
        """
        decoded = wire.decode_greeting(greeting)
        assert node.name is not None
        before = self._by_name.get(node.name)
        if before is not None:
            self._close_link(before, self._now_s)
        opened = self._links[link] = self._by_name[node.name] = TopicLink(self._local, link, node)
        self._local.changes += 1
        if decoded is not None:
            opened.identify(decoded.run, decoded)
        if outdated:
            opened.control.announce_interests()
        if self._is_closing:
            opened.close()
        self._local.ready.add(link)
        return self.take_outcomes()

    def down(self, link: int, now_s: float) -> list[Outcome]:
        """Remove a link that is down, or that is to be ignored."""
        self._now_s = now_s
        closed = self._links.get(link)
        if closed is not None:
            self._close_link(closed, now_s)
        return self.take_outcomes()

    def receive(self, link: int, payload: bytes) -> list[Outcome]:
        """Process a payload from the peer.

        Raises:
            RemoteProtocolError: The peer breaks the protocol. Call ``down``, and ignore the link.
        """
        found = self._links.get(link)
        if found is not None:
            self._dispatcher.dispatch(found, payload)
        return self.take_outcomes()

    def tick(self, now_s: float) -> list[Outcome]:
        """Do what is due by time; to be called about once a second."""
        self._now_s = now_s
        self._local.peers.tick(now_s)
        for stream in self._local.owed_credit:
            self._give_credit(stream)
        self._local.owed_credit.clear()
        return self.take_outcomes()

    def close(self) -> None:
        """Accept nothing more to send; send what is queued, then ``Closing``, on all links."""
        self._is_closing = True
        for link in self._links.values():
            link.close()

    def ready(self) -> tuple[int, ...]:
        """Return the numbers of the links that have something to send now."""
        ready = self._local.ready
        links = self._links
        for number in [each for each in ready if each not in links or not links[each].is_ready]:
            ready.discard(number)
        return tuple(ready)

    def next_payload(self, link: int) -> bytes | None:
        """Return what to send next on ``link``, ``None`` if there is nothing now."""
        found = self._links.get(link)
        return None if found is None else found.next_payload()

    # -- messages ----------------------------------------------------------------------------------

    def publish(self, topic: str, data: bytes) -> int:
        """Queue ``data`` for each listening peer that has room; return for how many.

        Raises:
            ValueError: It is too long.
        """
        size = len(data)
        self._check_size(topic, size)
        links = self._local.listeners.get(topic)
        if links is None or self._is_closing:
            return 0
        count = 0
        for link in links.values():
            if link.publish(topic, data, size):
                count += 1
        return count

    def send(self, to: Node | str, topic: str, data: bytes, ticket: int) -> list[Outcome]:
        """Queue ``data`` for one node.

        ``Sent`` or ``OperationFailed`` reports ``ticket``, now or later.

        Raises:
            ValueError: It is too long.
        """
        self._check_size(topic, len(data))
        link = self._link_to(to, topic, ticket)
        if link is not None:
            link.send(topic, data, ticket)
        return self.take_outcomes()

    def ask(
        self, to: Node | str, topic: str, data: bytes, ticket: int, patience_s: float
    ) -> list[Outcome]:
        """Ask one node; ``Replied`` or ``OperationFailed`` reports ``ticket``, now or later.

        Args:
            to: A node means this very run of it, a name whichever runs.
            topic: Where it answers.
            data: The question.
            ticket: Not in use.
            patience_s: How long the answer is of use; the answering application learns that.

        Raises:
            ValueError: It is too long.
        """
        self._check_size(topic, len(data))
        link = self._link_to(to, topic, ticket)
        if link is not None:
            link.ask(topic, data, ticket, int(min(max(patience_s * 1000, 0), _MAX_PATIENCE_MS)))
        return self.take_outcomes()

    def withdraw(self, ticket: int) -> bool:
        """Give up an operation, without an outcome; return whether it was certainly not sent."""
        place = self._local.pending.pop(ticket, None)
        return place is not None and place.link.withdraw(ticket, place.topic)

    def reply(self, question: Question, data: bytes) -> None:
        """Answer a question; ignored if it has ended.

        Raises:
            ValueError: The answer is too long; the question is still open.
        """
        self._check_size("answer", len(data))
        self._answer(question, wire.Answered(question.number, data))

    def fail(self, question: Question, text: str) -> None:
        """End a question with the text of an exception."""
        self._answer(question, wire.Raised(question.number, _plain(text, wire.MAX_TEXT_CHARS)))

    def decline(self, question: Question, reason: str) -> None:
        """End a question unanswered, for a ``reason``."""
        text = _plain(reason, wire.MAX_REASON_CHARS)
        self._answer(question, wire.Declined(question.number, text))

    def take_outcomes(self) -> list[Outcome]:
        """Return the outcomes that no call has returned yet."""
        outcomes = self._local.outcomes[:]
        self._local.outcomes.clear()
        return outcomes

    # -- inside ------------------------------------------------------------------------------------

    def _close_link(self, link: TopicLink, now_s: float) -> None:
        del self._links[link.number], self._by_name[link.name]
        self._local.changes += 1
        link.down(now_s)

    def _link_to(self, to: Node | str, topic: str, ticket: int) -> TopicLink | None:
        """Return the link to ``to``; if there is none, fail ``ticket``."""
        wire.check_topic(topic)
        key = to if isinstance(to, str) else to.key
        link = self._by_name.get(key) or self._by_name.get(canonical_key(key))
        if link is None:
            error = NotLinkedError(f"topic {topic!r}: {key!r} is not linked", node=key)
        elif isinstance(to, Node) and to.boot_id is not None and link.node.boot_id != to.boot_id:
            text = f"topic {topic!r}: {key!r} is linked, but not that run of it"
            error = NotLinkedError(text, node=key)
        else:
            return link
        self._local.outcomes.append(OperationFailed(ticket, error))
        return None

    def _answer(self, question: Question, record: wire.QuestionEnd) -> None:
        link = self._links.get(question.link)
        if link is not None:
            link.answer(question, record)

    def _streams(self, number: int) -> list[IncomingStream]:
        found = [peer.incoming.streams.get(number) for peer in self._local.peers]
        return [stream for stream in found if stream is not None]

    def _give_credit(self, stream: IncomingStream) -> None:
        """Give the sender all credit that it doesn't know of."""
        peer = self._local.peers.peer_of(stream)
        if peer is not None and peer.link is not None and stream.owes_credit:
            peer.link.control.give_credit(stream)
            self._local.ready.add(peer.link.number)

    def _check_size(self, topic: str, size: int) -> None:
        limit = self._local.max_message_bytes
        if size > limit:
            text = f"topic {topic!r}: message of {size} bytes: at most {limit} allowed"
            raise ValueError(f"{text}; see max_message_bytes")


def _plain(text: str, limit: int) -> str:
    """Return as much of ``text`` as can be sent."""
    return text[:limit].encode(errors="replace").decode()
