"""One application's messages in one topology, as values: what its links say comes in, what they are to say comes out.

No lock, thread, clock, randomness or socket: whoever has these calls it, one call at a time. The page on how it works is the
docstring of ``cluster_kit.topics``.
"""

from __future__ import annotations

from cluster_kit.errors import NotLinkedError
from cluster_kit.node import Node, canonical_key
from cluster_kit.topics.dispatcher import Dispatcher
from cluster_kit.topics.incoming import IncomingStream, Interest
from cluster_kit.topics.link import Link
from cluster_kit.topics.local import Local
from cluster_kit.topics.outcomes import Failed, Outcome
from cluster_kit.topics.questions import Question
from cluster_kit.wire import topics as wire

_MAX_PATIENCE_MS = 2**53


class Messenger:
    """All streams, questions and links of one application.

    Outcomes are returned by the next call that returns any: of a call that raises, they are not lost.

    Args:
        run: ``RUN_BYTES`` random bytes, which this application has for as long as it lives, and no other has.
        max_message_bytes: See ``Connector.max_message_bytes``; may be set later.
    """

    def __init__(self, run: bytes, *, max_message_bytes: int = 1024 * 1024) -> None:
        if len(run) != wire.RUN_BYTES:
            raise ValueError(f"messenger: run of {len(run)} bytes: expected {wire.RUN_BYTES}")
        self._local = Local(run, max_message_bytes)
        self._dispatcher = Dispatcher(self._local)
        self._links: dict[int, Link] = {}
        self._by_name: dict[str, Link] = {}
        self._greeting: bytes | None = None
        self._now_s = 0.0
        self._is_closing = False

    @property
    def max_message_bytes(self) -> int:
        """The longest message to be sent and to be taken."""
        return self._local.max_message_bytes

    @max_message_bytes.setter
    def max_message_bytes(self, value: int) -> None:
        self._local.max_message_bytes = value
        self._greeting = None

    @property
    def changes(self) -> int:
        """A number that changes whenever ``linked`` and ``listeners`` may."""
        return self._local.changes

    @property
    def greeting(self) -> bytes:
        """What peers are to be told in the handshake, as of now."""
        if self._greeting is None:
            local = self._local
            interests = {topic: endpoint.advertised for topic, endpoint in local.endpoints.by_topic.items()}
            self._greeting = wire.encode_greeting(wire.Greeting(local.run, local.max_message_bytes, interests))
        return self._greeting

    # -- what this application wants -------------------------------------------------------------------------------------------

    def listen(self, topic: str, interest: Interest | None) -> None:
        """Listen to ``topic`` so from now on, or, with ``None``, not any more.

        Raises:
            ValueError: That is no name of a topic, or one too many.
        """
        wire.check_topic(topic)
        endpoints = self._local.endpoints
        is_new = topic not in endpoints.by_topic
        if is_new and interest is None:
            return
        if is_new and len(endpoints.by_topic) >= wire.MAX_TOPICS:
            raise ValueError(f"topic {topic!r}: at most {wire.MAX_TOPICS} topics can be listened to")
        ended = endpoints.set(topic, interest)
        if ended is not None:
            self._local.peers.forget_stream(ended.number)
        elif not is_new:
            for stream in self._streams(endpoints.by_topic[topic].number):
                self._give_credit(stream)  # the new window may be smaller than what is owed
        self._greeting = None
        for link in self._links.values():
            link.control.announce_interest(topic)
            self._local.ready.add(link.number)

    def listeners(self, topic: str, *, answering: bool = False) -> tuple[Node, ...]:
        """Return the linked nodes that listen to ``topic``, or, if ``answering``, that answer there; by name."""
        found = []
        for name in sorted(self._by_name):
            link = self._by_name[name]
            interest = link.peer.interests.get(topic) if link.peer is not None else None
            if interest is not None and (interest.answers if answering else interest.messages > 0):
                found.append(link.node)
        return tuple(found)

    def linked(self, topic: str) -> dict[int, tuple[Node, bool]]:
        """Return the nodes at the other ends of all links, and whether each answers in ``topic``."""
        found = {}
        for number, link in self._links.items():
            interest = link.peer.interests.get(topic) if link.peer is not None else None
            found[number] = (link.node, interest is not None and interest.answers)
        return found

    def sync(self, link: int, ticket: int) -> None:
        """Have ``Synced`` tell of ``ticket`` when the peer has heard all that it was told on ``link`` before, and said what
        follows from that; nothing if the link is down, or goes down before.
        """
        found = self._links.get(link)
        if found is not None:
            found.control.sync(ticket)
            self._local.ready.add(link)

    def mark_read(self, stream: IncomingStream, number: int) -> None:
        """Take everything of ``stream`` up to ``number`` for read; what is over already is ignored."""
        peer = self._local.peers.peer_of(stream)
        if peer is None:
            return
        stream.mark_read(number)
        if stream.owes_credit:
            self._local.owed_credit[stream] = None
            if peer.link is not None and stream.is_credit_due(self._local.max_message_bytes):
                peer.link.control.give_credit(stream)
                self._local.ready.add(peer.link.number)

    # -- links -----------------------------------------------------------------------------------------------------------------

    def up(self, link: int, node: Node, greeting: bytes, *, outdated: bool) -> list[Outcome]:
        """A link is up.

        Args:
            link: Its number, not used before.
            node: The peer.
            greeting: The peer's.
            outdated: Whether the peer was told another greeting than that of now.

        Raises:
            RemoteProtocolError: ``greeting`` can't be read, or is this application's own: call ``down``, and ignore the link.
        """
        told = wire.decode_greeting(greeting)
        assert node.name is not None
        before = self._by_name.get(node.name)
        if before is not None:
            self._close_link(before, self._now_s)
        opened = self._links[link] = self._by_name[node.name] = Link(self._local, link, node)
        self._local.changes += 1
        if told is not None:
            opened.identify(told.run, told)
        if outdated:
            opened.control.announce_interests()
        if self._is_closing:
            opened.close()
        self._local.ready.add(link)
        return self.take_outcomes()

    def down(self, link: int, now_s: float) -> list[Outcome]:
        """A link is down, or is ignored from now on."""
        self._now_s = now_s
        closed = self._links.get(link)
        if closed is not None:
            self._close_link(closed, now_s)
        return self.take_outcomes()

    def receive(self, link: int, payload: bytes) -> list[Outcome]:
        """The peer has sent ``payload``.

        Raises:
            RemoteProtocolError: The peer breaks the protocol: call ``down``, and ignore the link from then on.
        """
        found = self._links.get(link)
        if found is not None:
            self._dispatcher.dispatch(found, payload)
        return self.take_outcomes()

    def tick(self, now_s: float) -> list[Outcome]:
        """Do what has waited for long enough; call it each second or so."""
        self._now_s = now_s
        self._local.peers.tick(now_s)
        for stream in self._local.owed_credit:
            self._give_credit(stream)
        self._local.owed_credit.clear()
        return self.take_outcomes()

    def close(self) -> None:
        """Say on all links that this was all, behind what waits already; hand over nothing more."""
        self._is_closing = True
        for link in self._links.values():
            link.close()

    def ready(self) -> tuple[int, ...]:
        """Return the links that have something to send now."""
        ready = self._local.ready
        for number in [number for number in ready if number not in self._links or not self._links[number].is_ready]:
            ready.discard(number)
        return tuple(ready)

    def next_payload(self, link: int) -> bytes | None:
        """Return what to send next on a link, ``None`` if there is nothing now."""
        found = self._links.get(link)
        return None if found is None else found.next_payload()

    # -- messages --------------------------------------------------------------------------------------------------------------

    def publish(self, topic: str, data: bytes) -> int:
        """Hand ``data`` to all linked nodes that listen to ``topic`` and have room; return to how many.

        Raises:
            ValueError: It is too long.
        """
        size = len(data)
        if size > self._local.max_message_bytes:
            self._raise_too_long(topic, size)
        links = self._local.listeners.get(topic)
        if links is None or self._is_closing:
            return 0
        count = 0
        for link in links.values():
            if link.publish(topic, data, size):
                count += 1
        return count

    def send(self, to: Node | str, topic: str, data: bytes, ticket: int) -> list[Outcome]:
        """Hand ``data`` to one node: ``Sent`` or ``Failed`` tell of ``ticket``, now or later.

        Raises:
            ValueError: It is too long.
        """
        if len(data) > self._local.max_message_bytes:
            self._raise_too_long(topic, len(data))
        link = self._link_to(to, topic, ticket)
        if link is not None:
            link.send(topic, data, ticket)
        return self.take_outcomes()

    def ask(self, to: Node | str, topic: str, data: bytes, ticket: int, patience_s: float) -> list[Outcome]:
        """Ask one node: ``Replied`` or ``Failed`` tell of ``ticket``, now or later.

        Args:
            to: The node.
            topic: Where it answers.
            data: The question.
            ticket: Not in use.
            patience_s: How long an answer is of use, for whoever answers to know.

        Raises:
            ValueError: It is too long.
        """
        if len(data) > self._local.max_message_bytes:
            self._raise_too_long(topic, len(data))
        link = self._link_to(to, topic, ticket)
        if link is not None:
            link.ask(topic, data, ticket, int(min(max(patience_s * 1000, 0), _MAX_PATIENCE_MS)))
        return self.take_outcomes()

    def withdraw(self, ticket: int) -> bool:
        """Have nothing more told of ``ticket``; return whether it was certainly not sent."""
        place = self._local.pending.pop(ticket, None)
        return place is not None and place.link.withdraw(ticket, place.topic)

    def reply(self, question: Question, data: bytes) -> None:
        """Answer a question; one that has ended is ignored.

        Raises:
            ValueError: It is too long; the question is still open.
        """
        if len(data) > self._local.max_message_bytes:
            self._raise_too_long("answer", len(data))
        self._answer(question, wire.Answered(question.number, data))

    def fail(self, question: Question, text: str) -> None:
        """Tell who asked what was raised instead of an answer."""
        self._answer(question, wire.Raised(question.number, _plain(text, wire.MAX_TEXT_CHARS)))

    def decline(self, question: Question, reason: str) -> None:
        """Tell who asked that nobody has answered, and why."""
        self._answer(question, wire.Declined(question.number, _plain(reason, wire.MAX_REASON_CHARS)))

    # -- inside ----------------------------------------------------------------------------------------------------------------

    def take_outcomes(self) -> list[Outcome]:
        """Return the outcomes that no call has returned yet."""
        outcomes = self._local.outcomes[:]
        self._local.outcomes.clear()
        return outcomes

    def _close_link(self, link: Link, now_s: float) -> None:
        del self._links[link.number], self._by_name[link.name]
        self._local.changes += 1
        self._local.ready.discard(link.number)
        link.down(now_s)

    def _link_to(self, to: Node | str, topic: str, ticket: int) -> Link | None:
        """Return the link to ``to``; without one, ``ticket`` has failed."""
        wire.check_topic(topic)
        key = to if isinstance(to, str) else to.key
        link = self._by_name.get(key) or self._by_name.get(canonical_key(key))
        if link is None:
            error = NotLinkedError(f"topic {topic!r}: {key!r} is not linked", node=key)
        elif isinstance(to, Node) and to.boot_id is not None and link.node.boot_id != to.boot_id:
            error = NotLinkedError(f"topic {topic!r}: {key!r} is linked, but not that run of it", node=key)
        else:
            return link
        self._local.outcomes.append(Failed(ticket, error))
        return None

    def _answer(self, question: Question, record: wire.Answered | wire.Raised | wire.Declined) -> None:
        link = self._links.get(question.link)
        if link is not None:
            link.answer(question, record)

    def _streams(self, number: int) -> list[IncomingStream]:
        return [stream for peer in self._local.peers if (stream := peer.incoming.streams.get(number)) is not None]

    def _give_credit(self, stream: IncomingStream) -> None:
        """Have the sender told of all that is read, if it doesn't know."""
        peer = self._local.peers.peer_of(stream)
        if peer is not None and peer.link is not None and stream.owes_credit:
            peer.link.control.give_credit(stream)
            self._local.ready.add(peer.link.number)

    def _raise_too_long(self, topic: str, size: int) -> None:
        limit = self._local.max_message_bytes
        raise ValueError(f"topic {topic!r}: message of {size} bytes: at most {limit} allowed; see max_message_bytes")


def _plain(text: str, limit: int) -> str:
    """Return as much of ``text`` as may be sent."""
    return text[:limit].encode(errors="replace").decode()
