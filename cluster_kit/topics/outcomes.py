"""What a ``Messenger`` reports, and the opaque handles that its calls take."""

from __future__ import annotations

import msgspec

from cluster_kit.errors import ClusterKitError
from cluster_kit.node import Node
from cluster_kit.topics.incoming import IncomingStream, LocalInterest
from cluster_kit.topics.questions import Question

__all__ = [
    "Arrived",
    "IncomingStream",
    "LocalInterest",
    "Missing",
    "OperationFailed",
    "Outcome",
    "Question",
    "QuestionArrived",
    "Replied",
    "Sent",
    "SyncDone",
]


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """A message has arrived.

    Attributes:
        number: In its stream; see ``Messenger.mark_read``.
        data: If it is long, perhaps a view that nobody has copied.
    """

    stream: IncomingStream
    sender: Node
    topic: str
    number: int
    data: bytes


class Missing(msgspec.Struct, frozen=True, gc=False):
    """Messages are lost at this place of the stream.

    Attributes:
        number: The last lost one, as far as is known; see ``Messenger.mark_read``.
        lost: How many; ``None`` if that can't be known.
    """

    stream: IncomingStream
    sender: Node
    topic: str
    number: int
    lost: int | None


class QuestionArrived(msgspec.Struct, frozen=True):
    """A question has arrived; end it by ``reply``, ``fail`` or ``decline``.

    Attributes:
        patience_s: How long an answer is of use.
    """

    question: Question
    sender: Node
    topic: str
    data: bytes
    patience_s: float


class Sent(msgspec.Struct, frozen=True):
    """The message of ``Messenger.send`` was queued."""

    ticket: int


class Replied(msgspec.Struct, frozen=True):
    """The question of ``Messenger.ask`` was answered."""

    ticket: int
    data: bytes


class OperationFailed(msgspec.Struct, frozen=True):
    """``Messenger.send`` or ``Messenger.ask`` has failed.

    Attributes:
        error: ``NotSentError``; or, once a question was queued, ``RemoteError``,
            ``UnansweredError``.
    """

    ticket: int
    error: ClusterKitError


class SyncDone(msgspec.Struct, frozen=True):
    """The peer has processed all records that were sent before ``Messenger.sync``."""

    ticket: int


Outcome = Arrived | Missing | QuestionArrived | Sent | Replied | OperationFailed | SyncDone
