"""What all links of one application share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cluster_kit.topics.incoming import Endpoints, IncomingStream
from cluster_kit.topics.outcomes import Outcome
from cluster_kit.topics.peers import Peers

if TYPE_CHECKING:
    from cluster_kit.topics.link import Link


class Pending(NamedTuple):
    """Where what has a ticket is; ``topic`` is that of a message that waits for room, ``None`` for a question."""

    link: Link
    topic: str | None


class Local:
    """This application.

    Attributes:
        outcomes: Those that nobody was told yet.
        audience: The links to those who listen, by topic and then by the name of the node.
        places: Of what was neither handed over nor given up, or not answered, by ticket.
        ready: The links that may have something to send.
        owed: The streams whose senders don't know of all that is read.
        changes: How often a link came or went, or a peer listened otherwise than before.
    """

    def __init__(self, run: bytes, max_message_bytes: int) -> None:
        self.run = run
        self.max_message_bytes = max_message_bytes
        self.endpoints = Endpoints()
        self.outcomes: list[Outcome] = []
        self.peers = Peers(self.endpoints, self.outcomes)
        self.listeners: dict[str, dict[str, Link]] = {}
        self.pending: dict[int, Pending] = {}
        self.ready: set[int] = set()
        self.owed_credit: dict[IncomingStream, None] = {}
        self.changes = 0

    def add_listener(self, topic: str, name: str, link: Link) -> None:
        """The node of that name listens to ``topic``."""
        self.listeners.setdefault(topic, {})[name] = link

    def remove_listener(self, topic: str, name: str) -> None:
        """It doesn't, or is not linked any more."""
        links = self.listeners.get(topic)
        if links is not None and links.pop(name, None) is not None and not links:
            del self.listeners[topic]
