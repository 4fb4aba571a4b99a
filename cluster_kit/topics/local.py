"""The state that all links of one application share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cluster_kit.topics.incoming import IncomingStream, LocalTopics
from cluster_kit.topics.outcomes import Outcome
from cluster_kit.topics.peers import TopicPeers

if TYPE_CHECKING:
    from cluster_kit.topics.link import TopicLink


class Pending(NamedTuple):
    """Where the operation of a ticket is; ``topic`` is that of a parked message, else ``None``."""

    link: TopicLink
    topic: str | None


class LocalApplication:
    """This application.

    Attributes:
        outcomes: Those that have not been returned yet.
        listeners: The links to listening peers, by topic, then by the peer's name.
        pending: The operations that can be withdrawn, by ticket: parked messages, open questions.
        ready: The numbers of links that may have something to send.
        owed_credit: The streams whose senders have to get credit at the next tick.
        changes: Counts links that come or go, and interests that change.
    """

    def __init__(self, run: bytes, max_message_bytes: int) -> None:
        self.run = run
        self.max_message_bytes = max_message_bytes
        self.topics = LocalTopics()
        self.outcomes: list[Outcome] = []
        self.peers = TopicPeers(self.topics, self.outcomes)
        self.listeners: dict[str, dict[str, TopicLink]] = {}
        self.pending: dict[int, Pending] = {}
        self.ready: set[int] = set()
        self.owed_credit: dict[IncomingStream, None] = {}
        self.changes = 0

    def add_listener(self, topic: str, name: str, link: TopicLink) -> None:
        """Note that the peer of that name listens to ``topic``."""
        self.listeners.setdefault(topic, {})[name] = link

    def remove_listener(self, topic: str, name: str) -> None:
        """Note that it doesn't listen any more, or is not linked."""
        links = self.listeners.get(topic)
        if links is not None and links.pop(name, None) is not None and not links:
            del self.listeners[topic]
