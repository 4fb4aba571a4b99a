"""The records of the message protocol, as values and as bytes.

A payload is a MessagePack array of records; each is an array of its type number and its fields.
Later versions may append fields and add types, so unknown ones are skipped. All input is untrusted.
Which record may follow which is decided in ``cluster_kit.topics``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, cast

import msgspec

from cluster_kit.abc import MAX_PAYLOAD_BYTES
from cluster_kit.errors import LocalProtocolError, RemoteProtocolError

RUN_BYTES = 16
MAX_TOPICS = 1024
MAX_TOPIC_BYTES = 255
MAX_LANES = 8
FRAGMENT_BYTES = 32 * 1024  # small enough that other messages get their turn in between
MAX_TEXT_CHARS = 4096
MAX_REASON_CHARS = 64
MAX_NUMBER = 2**63 - 1

# Upper bounds of encoded sizes.
ARRAY_BYTES = 8  # of a payload, besides its records
RECORD_BYTES = 32  # of a record, besides topic, text and data
HEAD_BYTES = RECORD_BYTES + MAX_TOPIC_BYTES  # of a record, besides text and data
INTEREST_BYTES = 40  # of an interest, besides its topic

Topic = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TOPIC_BYTES)]
Number = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
Run = Annotated[bytes, msgspec.Meta(min_length=RUN_BYTES, max_length=RUN_BYTES)]


class Interest(msgspec.Struct, frozen=True, array_like=True):
    """What an application wants of one topic.

    Attributes:
        stream: The stream number that it has chosen; a new one each time it starts listening.
        messages: How many messages of each sender may be outstanding; 0 if it doesn't listen.
        bytes: The same for their data. A longer message passes if nothing else is outstanding.
        answers: Whether it answers questions.
    """

    stream: Number
    messages: Number
    bytes: Number
    answers: bool = False


Interests_ = Annotated[dict[Topic, Interest], msgspec.Meta(max_length=MAX_TOPICS)]


class TopicGreeting(msgspec.Struct, frozen=True, array_like=True):
    """What an application that uses topics says in the handshake of a link."""

    run: Run
    max_message_bytes: Number
    interests: Interests_

    def __post_init__(self) -> None:
        for topic in self.interests:
            check_topic(topic)  # msgspec turns its ValueError into a ValidationError


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of all records."""


class Opening(Record, frozen=True, tag=1):
    """The first record on a link; sent again if the epoch was not known at first.

    Attributes:
        run: The run id of the application.
        epoch: Changes when the sender's numbers for this receiver restart; 0 if they never did
            before, ``None`` until the sender knows the receiver's run.
    """

    run: Run
    epoch: Number | None


class Interests(Record, frozen=True, tag=2):
    """All that the sender listens to, in pieces; takes effect with the last one."""

    interests: Interests_
    last: bool

    def __post_init__(self) -> None:
        for topic in self.interests:
            check_topic(topic)


class Interested(Record, frozen=True, tag=3):
    """The sender starts listening to ``topic``, or changes how it does."""

    topic: Topic
    interest: Interest

    def __post_init__(self) -> None:
        check_topic(self.topic)


class Uninterested(Record, frozen=True, tag=4):
    """The sender stops listening to ``topic``."""

    topic: Topic


class Data(Record, frozen=True, tag=5):
    """A message."""

    stream: Number
    number: Number
    data: bytes


class Missed(Record, frozen=True, tag=6):
    """Everything up to ``number`` that has not arrived is lost."""

    stream: Number
    number: Number


class Credit(Record, frozen=True, tag=7):
    """Everything up to ``number`` is read or lost, which gives the receiver of this credit."""

    stream: Number
    number: Number


class Received(Record, frozen=True, tag=8):
    """How many bytes of payloads have arrived on this link."""

    bytes: Number


class Fragment(Record, frozen=True, tag=9):
    """A slice of the encoding of one record that is too long for a payload."""

    lane: Annotated[int, msgspec.Meta(ge=0, lt=MAX_LANES)]
    last: bool
    data: bytes


class Asked(Record, frozen=True, tag=10):
    """A question; an answer is of use for ``patience_ms``."""

    question: Number
    topic: Topic
    patience_ms: Number
    data: bytes


class Answered(Record, frozen=True, tag=11):
    """The answer to a question."""

    question: Number
    data: bytes


class Raised(Record, frozen=True, tag=12):
    """Answering the question has raised an exception."""

    question: Number
    text: Annotated[str, msgspec.Meta(max_length=MAX_TEXT_CHARS)]


class Declined(Record, frozen=True, tag=13):
    """The question is refused: nobody has acted on it, and nobody will."""

    question: Number
    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARS)]


QuestionEnd = Answered | Raised | Declined


class Closing(Record, frozen=True, tag=14):
    """The last record on this link."""


class Sync(Record, frozen=True, tag=15):
    """Asks for ``Synced`` once all earlier records are processed; a later one replaces it."""

    number: Number


class Synced(Record, frozen=True, tag=16):
    """All records before that ``Sync`` are processed, and their answers are sent."""

    number: Number


_Any = (
    Opening
    | Interests
    | Interested
    | Uninterested
    | Data
    | Missed
    | Credit
    | Received
    | Fragment
    | Asked
    | Answered
    | Raised
    | Declined
    | Closing
    | Sync
    | Synced
)


# The records that may arrive in fragments, with a view instead of the data: long data is copied
# late, by the thread that reads it.


class _DataInPlace(msgspec.Struct, frozen=True, array_like=True, tag=5):
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


class _RecordType(msgspec.Struct, array_like=True):
    type: int


_TAGS = frozenset(cls.__struct_config__.tag for cls in Record.__subclasses__())
_RECORDS = msgspec.msgpack.Decoder(list[_Any])
_RECORD = msgspec.msgpack.Decoder(_Any)
_SLICED = msgspec.msgpack.Decoder(_DataInPlace | _AskedInPlace | _AnsweredInPlace)
_PIECES = msgspec.msgpack.Decoder(list[msgspec.Raw])
_HEAD = msgspec.msgpack.Decoder(_RecordType)
_GREETING = msgspec.msgpack.Decoder(TopicGreeting)
_ENCODER = msgspec.msgpack.Encoder()
_PIECE_BYTES = 1024 * 1024
_NO_DATA = _ENCODER.encode(b"")


def check_topic(topic: str) -> int:
    """Return the size of a topic's name in bytes.

    Raises:
        ValueError: The name is invalid; the message says why.
    """
    try:
        size = len(topic.encode())
    except UnicodeEncodeError as exc:
        raise ValueError(f"topic: {topic[:80]!r} is text that UTF-8 can't encode") from exc
    if not 0 < size <= MAX_TOPIC_BYTES:
        raise ValueError(f"topic: {topic[:80]!r} has {size} bytes: expected 1 to {MAX_TOPIC_BYTES}")
    return size


def encode(records: Sequence[Record]) -> bytes:
    """Return the payload of ``records``.

    Raises:
        LocalProtocolError: It is longer than a link carries.
    """
    payload = _ENCODER.encode(records)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise LocalProtocolError(_too_long(payload))
    return payload


def encode_record(record: Record) -> bytes:
    """Return the encoding of one record, as fragments carry it."""
    return _ENCODER.encode(record)


def cut_record(record: Record) -> tuple[bytes, memoryview]:
    """Return the encoding of one record: what precedes its data, and a view of the data."""
    assert isinstance(record, Data | Asked | Answered)
    without = encode_record(msgspec.structs.replace(record, data=b""))
    return without[: -len(_NO_DATA)] + bin_head(len(record.data)), memoryview(record.data)


def bin_head(size: int) -> bytes:
    """Return the MessagePack head of ``size`` bytes, which are at least 256.

    Source: the MessagePack specification.
    """
    if size < 1 << 16:
        return b"\xc5" + size.to_bytes(2, "big")
    return b"\xc6" + size.to_bytes(4, "big")


def encode_greeting(greeting: TopicGreeting) -> bytes:
    """Return the encoding of ``greeting``."""
    return _ENCODER.encode(greeting)


def decode(payload: bytes) -> list[Any]:
    """Return the records in ``payload``, without those of unknown types.

    Raises:
        RemoteProtocolError: It is malformed.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise RemoteProtocolError(_too_long(payload))
    try:
        return _RECORDS.decode(payload)
    except (ValueError, RecursionError):  # it may be of a later version
        return _decode_one_by_one(payload)


def _too_long(payload: bytes) -> str:
    return f"messages: payload of {len(payload)} bytes: at most {MAX_PAYLOAD_BYTES} allowed"


def _decode_one_by_one(payload: bytes) -> list[Any]:
    try:
        pieces = _PIECES.decode(payload)
        return [_RECORD.decode(piece) for piece in pieces if _HEAD.decode(piece).type in _TAGS]
    except (ValueError, RecursionError) as exc:
        text = f"messages: malformed payload of {len(payload)} bytes: {exc}"
        raise RemoteProtocolError(text) from exc


def decode_sliced(body: bytes | bytearray) -> Data | Asked | Answered:
    """Return a record that arrived in fragments; long data is a view of ``body``.

    Raises:
        RemoteProtocolError: It is malformed, or of a type that is never sent in fragments.
    """
    try:
        record = _SLICED.decode(body)
    except (ValueError, RecursionError) as exc:
        text = f"messages: malformed fragments of {len(body)} bytes: {exc}"
        raise RemoteProtocolError(text) from exc
    is_long = len(record.data) > _PIECE_BYTES
    data = cast("bytes", record.data) if is_long else bytes(record.data)
    if isinstance(record, _DataInPlace):
        return Data(record.stream, record.number, data)
    if isinstance(record, _AskedInPlace):
        return Asked(record.question, record.topic, record.patience_ms, data)
    return Answered(record.question, data)


def decode_cut(head: bytes, size: int) -> Data | Asked | Answered:
    """Return a record of ``size`` bytes in fragments, of which only ``head`` is left, without data.

    Raises:
        RemoteProtocolError: It is malformed, or of a type that is never sent in fragments.
    """
    for at in range(len(head)):  # the data is last, so its length says where it begins
        for left in (size - at - 3, size - at - 5):
            if 256 <= left < 1 << 32 and head.startswith(bin_head(left), at):
                with suppress(RemoteProtocolError):
                    return decode_sliced(head[:at] + _NO_DATA)
    raise RemoteProtocolError(f"messages: malformed fragments of {size} bytes")


def copied(view: memoryview) -> bytes:
    """Return the bytes of a view; other threads can run between pieces of a long one."""
    if len(view) <= _PIECE_BYTES:
        return bytes(view)
    starts = range(0, len(view), _PIECE_BYTES)
    pieces = [bytes(view[start : start + _PIECE_BYTES]) for start in starts]
    return b"".join(pieces)  # releases the GIL


def decode_greeting(greeting: bytes) -> TopicGreeting | None:
    """Return the decoded ``greeting``, ``None`` if it is empty: the peer listens to nothing.

    Raises:
        RemoteProtocolError: It is malformed.
    """
    if not greeting:
        return None
    try:
        return _GREETING.decode(greeting)
    except (ValueError, RecursionError) as exc:
        text = f"messages: malformed greeting of {len(greeting)} bytes: {exc}"
        raise RemoteProtocolError(text) from exc
