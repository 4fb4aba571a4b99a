"""What comes of messages, as a ``Messenger`` tells it, and the handles by which it is spoken to about them."""

from __future__ import annotations

import msgspec

from cluster_kit.errors import ClusterKitError
from cluster_kit.node import Node
from cluster_kit.topics.incoming import IncomingStream, Interest
from cluster_kit.topics.questions import Question

__all__ = [
    "Arrived",
    "Asked",
    "Failed",
    "IncomingStream",
    "Interest",
    "Missing",
    "Outcome",
    "Question",
    "Replied",
    "Sent",
    "Synced",
]


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """A message is here.

    Attributes:
        number: Its number in the stream; see ``Messenger.mark_read``.
        data: Where it is long perhaps a view, that nobody has copied.
    """

    stream: IncomingStream
    sender: Node
    topic: str
    number: int
    data: bytes


class Missing(msgspec.Struct, frozen=True, gc=False):
    """Messages are lost, at this place of the stream.

    Attributes:
        number: That of the last of them, as far as is known; see ``Messenger.mark_read``.
        lost: How many; ``None`` where nobody can know.
    """

    stream: IncomingStream
    sender: Node
    topic: str
    number: int
    lost: int | None


class Asked(msgspec.Struct, frozen=True):
    """Somebody asks; each question is to be ended by ``reply``, ``fail`` or ``decline``.

    Attributes:
        patience_s: For how long an answer is of use.
    """

    question: Question
    sender: Node
    topic: str
    data: bytes
    patience_s: float


class Sent(msgspec.Struct, frozen=True):
    """The message of ``Messenger.send`` was handed over."""

    ticket: int


class Replied(msgspec.Struct, frozen=True):
    """The question of ``Messenger.ask`` was answered."""

    ticket: int
    data: bytes


class Failed(msgspec.Struct, frozen=True):
    """Nothing comes of ``Messenger.send`` or ``Messenger.ask``.

    Attributes:
        error: A ``NotSentError``; of questions that were handed over also ``RemoteError`` or ``UnansweredError``.
    """

    ticket: int
    error: ClusterKitError


class Synced(msgspec.Struct, frozen=True):
    """The peer has heard all that it had been told before ``Messenger.sync``."""

    ticket: int


Outcome = Arrived | Missing | Asked | Sent | Replied | Failed | Synced
