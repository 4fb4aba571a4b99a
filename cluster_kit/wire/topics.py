"""What two applications say to each other over a link, as values and as bytes: the records of the message protocol.

A payload is a MessagePack array of records, each an array of its type's number and its fields. Later versions may append fields
and add types: what is unknown here is skipped. Everything that comes in is hostile. Nothing here knows what may follow what;
that is ``cluster_kit.topics``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, cast

import msgspec

from cluster_kit.abc import MAX_PAYLOAD_BYTES
from cluster_kit.errors import LocalProtocolError, RemoteProtocolError

RUN_BYTES = 16
MAX_TOPICS = 1024
MAX_TOPIC_BYTES = 255
MAX_LANES = 8
PART_BYTES = 32 * 1024  # of one message at a time, so that others come between
MAX_TEXT_CHARS = 4096
MAX_REASON_CHARS = 64
MAX_NUMBER = 2**63 - 1

ARRAY_BYTES = 8  # around all records of a payload, at most
RECORD_BYTES = 32  # of a record besides what is named in it and its data, at most
INTEREST_BYTES = 40  # of an interest besides its topic, at most

Topic = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TOPIC_BYTES)]
Number = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
Run = Annotated[bytes, msgspec.Meta(min_length=RUN_BYTES, max_length=RUN_BYTES)]


class Interest(msgspec.Struct, frozen=True, array_like=True):
    """What an application wants of one topic.

    Attributes:
        stream: The number by which it will know what is said there; another one each time that it begins to listen.
        messages: How many it takes in before it has read them, from each sender; 0 if it doesn't listen.
        bytes: The same of their data. One message that is longer passes where nothing else waits.
        answers: Whether it answers questions.
    """

    stream: Number
    messages: Number
    bytes: Number
    answers: bool = False


Interests_ = Annotated[dict[Topic, Interest], msgspec.Meta(max_length=MAX_TOPICS)]


class Greeting(msgspec.Struct, frozen=True, array_like=True):
    """What an application that listens to anything tells in the handshake of a link."""

    run: Run
    max_message_bytes: Number
    interests: Interests_

    def __post_init__(self) -> None:
        for topic in self.interests:
            check_topic(topic)  # msgspec reports its ValueError as one of decoding


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What all records are."""


class Opening(Record, frozen=True, tag=1):
    """The sender's first word on a link; said again where the line was not known at first.

    ``run`` is that of the application. ``line`` differs wherever it begins to count anew for the receiver, and is 0 where it
    has certainly never counted for it before; it is ``None`` as long as the sender doesn't know whom it talks to.
    """

    run: Run
    epoch: Number | None


class Interests(Record, frozen=True, tag=2):
    """All that the sender listens to now, in pieces; the last one makes them count."""

    interests: Interests_
    last: bool

    def __post_init__(self) -> None:
        for topic in self.interests:
            check_topic(topic)


class Interested(Record, frozen=True, tag=3):
    """The sender listens to ``topic`` from now on, or does so otherwise than before."""

    topic: Topic
    interest: Interest

    def __post_init__(self) -> None:
        check_topic(self.topic)


class Uninterested(Record, frozen=True, tag=4):
    """The sender doesn't listen to ``topic`` any more."""

    topic: Topic


class Said(Record, frozen=True, tag=5):
    """One message."""

    stream: Number
    number: Number
    data: bytes


class Missed(Record, frozen=True, tag=6):
    """Everything up to ``number`` that has not arrived is lost."""

    stream: Number
    number: Number


class Taken(Record, frozen=True, tag=7):
    """Everything up to ``number`` is read, or lost: that is room for the receiver of this."""

    stream: Number
    number: Number


class Heard(Record, frozen=True, tag=8):
    """So many bytes of payloads have arrived on this link."""

    bytes: Number


class Part(Record, frozen=True, tag=9):
    """A slice of the encoding of one record that is too large for a payload."""

    lane: Annotated[int, msgspec.Meta(ge=0, lt=MAX_LANES)]
    last: bool
    data: bytes


class Asked(Record, frozen=True, tag=10):
    """A question; who asks waits for ``patience_ms``."""

    question: Number
    topic: Topic
    patience_ms: Number
    data: bytes


class Answered(Record, frozen=True, tag=11):
    """The answer to a question."""

    question: Number
    data: bytes


class Raised(Record, frozen=True, tag=12):
    """Whoever was to answer has raised an exception."""

    question: Number
    text: Annotated[str, msgspec.Meta(max_length=MAX_TEXT_CHARS)]


class Declined(Record, frozen=True, tag=13):
    """The question was not answered by anybody, and won't be."""

    question: Number
    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARS)]


class Closing(Record, frozen=True, tag=14):
    """All was said; nothing follows on this link."""


class Sync(Record, frozen=True, tag=15):
    """Say ``Synced`` with this number behind whatever has been said so far; a later one makes up for it."""

    number: Number


class Synced(Record, frozen=True, tag=16):
    """Whatever came before that ``Sync`` has been heard, and what had to be said of it is said."""

    number: Number


_Any = (
    Opening
    | Interests
    | Interested
    | Uninterested
    | Said
    | Missed
    | Taken
    | Heard
    | Part
    | Asked
    | Answered
    | Raised
    | Declined
    | Closing
    | Sync
    | Synced
)


class _SaidInPlace(msgspec.Struct, frozen=True, array_like=True, tag=5):
    stream: Number
    number: Number
    data: memoryview


class _AskedInPlace(msgspec.Struct, frozen=True, array_like=True, tag=10):
    question: Number
    topic: Topic
    patience_ms: Number
    data: memoryview


class _AnsweredInPlace(msgspec.Struct, frozen=True, array_like=True, tag=11):
    question: Number
    data: memoryview


class _Head(msgspec.Struct, array_like=True):
    type: int


_TAGS = frozenset(cls.__struct_config__.tag for cls in Record.__subclasses__())
_RECORDS = msgspec.msgpack.Decoder(list[_Any])
_RECORD = msgspec.msgpack.Decoder(_Any)
_SLICED = msgspec.msgpack.Decoder(_SaidInPlace | _AskedInPlace | _AnsweredInPlace)  # so that the data is not copied at once
_PIECES = msgspec.msgpack.Decoder(list[msgspec.Raw])
_HEAD = msgspec.msgpack.Decoder(_Head)
_GREETING = msgspec.msgpack.Decoder(Greeting)
_ENCODER = msgspec.msgpack.Encoder()
_PIECE_BYTES = 1024 * 1024
_NO_DATA = _ENCODER.encode(b"")


def check_topic(topic: str) -> int:
    """Return how many bytes the name of a topic has.

    Raises:
        ValueError: It is none; says why.
    """
    try:
        size = len(topic.encode())
    except UnicodeEncodeError as exc:
        raise ValueError(f"topic: {topic[:80]!r} is not text that UTF-8 can hold") from exc
    if not 0 < size <= MAX_TOPIC_BYTES:
        raise ValueError(f"topic: {topic[:80]!r} has {size} bytes: expected 1 to {MAX_TOPIC_BYTES}")
    return size


def encode(records: Sequence[Record]) -> bytes:
    """Return the payload of ``records``.

    Raises:
        LocalProtocolError: It is larger than a link carries.
    """
    payload = _ENCODER.encode(records)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise LocalProtocolError(f"messages: payload of {len(payload)} bytes: at most {MAX_PAYLOAD_BYTES} allowed")
    return payload


def encode_record(record: Record) -> bytes:
    """Return one record, as it is found in parts that are put together."""
    return _ENCODER.encode(record)


def cut_record(record: Record) -> tuple[bytes, memoryview]:
    """Return one record, to be sent in parts: up to its data, and that, which is not copied, as it may be megabytes."""
    assert isinstance(record, Said | Asked | Answered)
    without = encode_record(msgspec.structs.replace(record, data=b""))
    return without[: -len(_NO_DATA)] + bin_head(len(record.data)), memoryview(record.data)


def bin_head(size: int) -> bytes:
    """Return how that many bytes begin in MessagePack, from 256 up. Source: the MessagePack specification."""
    return b"\xc5" + size.to_bytes(2, "big") if size < 1 << 16 else b"\xc6" + size.to_bytes(4, "big")


def encode_greeting(greeting: Greeting) -> bytes:
    """Return ``greeting`` as it is told."""
    return _ENCODER.encode(greeting)


def decode(payload: bytes) -> list[Any]:
    """Return the records that ``payload`` holds, without those of unknown types.

    Raises:
        RemoteProtocolError: It is malformed.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise RemoteProtocolError(f"messages: payload of {len(payload)} bytes: at most {MAX_PAYLOAD_BYTES} allowed")
    try:
        return _RECORDS.decode(payload)
    except (ValueError, RecursionError):  # it may be of a later version
        return _decode_one_by_one(payload)


def _decode_one_by_one(payload: bytes) -> list[Any]:
    try:
        return [_RECORD.decode(piece) for piece in _PIECES.decode(payload) if _HEAD.decode(piece).type in _TAGS]
    except (ValueError, RecursionError) as exc:
        raise RemoteProtocolError(f"messages: malformed payload of {len(payload)} bytes: {exc}") from exc


def decode_sliced(body: bytes | bytearray) -> Said | Asked | Answered:
    """Return the record that came in parts; long data is a view of ``body``, to be copied by whoever reads it.

    Raises:
        RemoteProtocolError: It is malformed, or none of those that may be too large for a payload.
    """
    try:
        record = _SLICED.decode(body)
    except (ValueError, RecursionError) as exc:
        raise RemoteProtocolError(f"messages: malformed parts of {len(body)} bytes: {exc}") from exc
    data = cast("bytes", record.data) if len(record.data) > _PIECE_BYTES else bytes(record.data)
    if isinstance(record, _SaidInPlace):
        return Said(record.stream, record.number, data)
    if isinstance(record, _AskedInPlace):
        return Asked(record.question, record.topic, record.patience_ms, data)
    return Answered(record.question, data)


def copied(view: memoryview) -> bytes:
    """Return what a view shows; where that is long, other threads wait only while a piece of it is copied."""
    if len(view) <= _PIECE_BYTES:
        return bytes(view)
    pieces = [bytes(view[start : start + _PIECE_BYTES]) for start in range(0, len(view), _PIECE_BYTES)]
    return b"".join(pieces)  # which lets other threads run


def decode_greeting(greeting: bytes) -> Greeting | None:
    """Return what ``greeting`` tells, ``None`` where it is empty: then nothing is listened to.

    Raises:
        RemoteProtocolError: It is malformed.
    """
    if not greeting:
        return None
    try:
        return _GREETING.decode(greeting)
    except (ValueError, RecursionError) as exc:
        raise RemoteProtocolError(f"messages: malformed greeting of {len(greeting)} bytes: {exc}") from exc
