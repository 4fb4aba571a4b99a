"""The records by which messages are judged: sender, receiver, content and fate of each.

Every message carries a serial number of the simulation's own in its data. So nothing here relies on
the stream numbers of the protocol, which are what is being tested. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cluster_kit.topics.incoming import LocalInterest

SERIAL_BYTES = 8


def serial_of(data: bytes) -> int:
    """Return the serial number of a message."""
    return int.from_bytes(data[:SERIAL_BYTES])


@dataclass(slots=True, eq=False)
class ApplicationRun:
    """One run of the application of one node.

    Attributes:
        listening: When it began to listen to each topic that it listens to now.
        widest: The largest window it has ever granted on each topic.
        worker_started_s: When its present worker started.
    """

    number: int
    key: str
    id: bytes
    listening: dict[str, float] = field(default_factory=dict)
    widest: dict[str, LocalInterest] = field(default_factory=dict)
    worker_started_s: float = 0.0
    is_over: bool = False


@dataclass(slots=True, eq=False)
class TrackedLink:
    """One link of one application.

    Attributes:
        peer_id: The id of the application run at the other end; empty until it is known.
        sent: Bytes handed to the worker for this link.
        acknowledged: How many of these the peer says have arrived.
    """

    peer_id: bytes
    sent: int = 0
    acknowledged: int = 0


@dataclass(frozen=True, slots=True)
class SentMessage:
    """One message to one peer; ``had_room`` if there certainly was room for it."""

    serial: int
    at_s: float
    link: TrackedLink
    had_room: bool


@dataclass(slots=True, eq=False)
class Delivery:
    """What one application run has sent another on one topic, and how much is accounted for.

    The receiver has accounted for the first ``position`` messages: each has arrived, or is missing
    before one that has. Of the rest it has reported the next ``lost`` as lost, in gaps. So when a
    message arrives, exactly ``lost`` messages must lie between ``position`` and its own index.

    After a gap of unknown size, or when a topic is subscribed to again, that number is unknown
    until the next message arrives: the delivery is ``uncountable``.
    """

    sent: list[SentMessage] = field(default_factory=list)
    index: dict[int, int] = field(default_factory=dict)  # in ``sent``, by serial
    position: int = 0
    lost: int = 0
    uncountable: bool = False

    def add(self, message: SentMessage) -> None:
        """Record that a message was sent."""
        self.index[message.serial] = len(self.sent)
        self.sent.append(message)

    def lose_count(self) -> None:
        """Expect any number of missing messages before the next one that arrives."""
        self.uncountable, self.lost = True, 0

    def advance(self, index: int) -> None:
        """Account for all messages up to the one at ``index``, which has arrived."""
        self.position, self.lost, self.uncountable = index + 1, 0, False

    def is_explained(self, missing: int) -> bool:
        """Whether gaps have reported exactly ``missing`` messages since ``position``."""
        return self.uncountable or missing == self.lost
