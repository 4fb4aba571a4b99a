"""Targets: what two applications say to each other over a link."""

from contextlib import suppress

from fuzz_target import MSGPACK, Form, Target, framed

from cluster_kit.errors import RemoteProtocolError
from cluster_kit.node import BootId, Node
from cluster_kit.topics.data import decode as decode_data
from cluster_kit.topics.data import encode as encode_data
from cluster_kit.topics.messenger import Messenger
from cluster_kit.topics.outcomes import LocalInterest, QuestionArrived
from cluster_kit.wire import topics as wire

RUN = bytes(range(wire.RUN_BYTES))
WANTED = wire.Interest(1, 10, 1000, True)
MAX_MESSAGE_BYTES = 1000
RECORDS: tuple[wire.Record, ...] = (
    wire.Opening(RUN, 0),
    wire.Interests({"t": WANTED}, True),
    wire.Interested("u", WANTED),
    wire.Data(1, 1, b"x"),
    wire.Data(1, 4, b"x"),
    wire.Missed(1, 7),
    wire.Credit(1, 1),
    wire.Received(10),
    wire.Fragment(0, False, wire.encode_record(wire.Data(1, 8, b"y"))[:3]),
    wire.Fragment(0, True, wire.encode_record(wire.Data(1, 8, b"y"))[3:]),
    wire.Asked(1, "t", 1000, b"?"),
    wire.Answered(1, b"!"),
    wire.Raised(2, "KeyError: 7"),
    wire.Declined(3, "nobody answers there"),
    wire.Uninterested("u"),
    wire.Closing(),
)


# -- records ---------------------------------------------------------------------------------------


def check_records(payload: bytes) -> bool:
    """What decodes is encoded to what decodes to its equal, and keeps within its bounds."""
    try:
        records = wire.decode(payload)
    except RemoteProtocolError:
        return False
    assert wire.decode(wire.encode(records)) == records
    for record in records:
        match record:
            case wire.Interested(topic=topic):
                assert 0 < len(topic.encode()) <= wire.MAX_TOPIC_BYTES
            case wire.Interests(interests=interests):
                assert len(interests) <= wire.MAX_TOPICS
            case wire.Fragment(lane=lane):
                assert 0 <= lane < wire.MAX_LANES
    return bool(records)


def check_sliced(body: bytes) -> bool:
    """What came in parts is one of three, and so is one too long, of which the head is left."""
    with suppress(RemoteProtocolError):
        cut = wire.decode_cut(body[: wire.HEAD_BYTES], max(len(body), 2 * wire.HEAD_BYTES))
        assert not cut.data
    try:
        record = wire.decode_sliced(body)
    except RemoteProtocolError:
        return False
    assert isinstance(record, wire.Data | wire.Asked | wire.Answered)
    assert wire.decode_sliced(wire.encode_record(record)) == record
    return True


def check_greeting(data: bytes) -> bool:
    """A greeting is that of one run, and listens to no more topics than allowed."""
    try:
        greeting = wire.decode_greeting(data)
    except RemoteProtocolError:
        return False
    if greeting is None:
        return False
    assert len(greeting.run) == wire.RUN_BYTES
    assert len(greeting.interests) <= wire.MAX_TOPICS
    assert wire.decode_greeting(wire.encode_greeting(greeting)) == greeting
    return True


# -- an application that hears them ----------------------------------------------------------------


def check_messenger(data: bytes) -> bool:
    """Whatever a link carries, a message comes once and in order, and the application goes on."""
    messenger = Messenger(b"m" * wire.RUN_BYTES, max_message_bytes=MAX_MESSAGE_BYTES)
    messenger.listen("t", LocalInterest(messages=10, bytes=1000, answers=True))
    greeting = wire.encode_greeting(wire.TopicGreeting(RUN, MAX_MESSAGE_BYTES, {"t": WANTED}))
    messenger.up(1, Node("peer@h", boot_id=BootId(1, 1)), greeting, outdated=False)
    messenger.ask("peer@h", "t", b"?", 1, 1.0)
    messenger.publish("t", b"x")
    arrived, last = 0, 0
    while messenger.next_payload(1) is not None:
        pass
    try:
        for payload in framed(Form(bytes, bytes)).read(data):
            for outcome in messenger.receive(1, payload):
                if hasattr(outcome, "number"):
                    assert outcome.number > last or (
                        outcome.number == last and not hasattr(outcome, "data")
                    )
                    last = outcome.number
                    messenger.mark_read(outcome.stream, outcome.number)
                elif isinstance(outcome, QuestionArrived):
                    messenger.reply(outcome.question, outcome.data)
                arrived += 1
            while (said := messenger.next_payload(1)) is not None:
                wire.decode(said)
    except RemoteProtocolError:
        pass
    messenger.down(1, 0.0)
    messenger.tick(100.0)
    assert not messenger.withdraw(1)
    return arrived > 0


# -- data ------------------------------------------------------------------------------------------


def check_data(body: bytes) -> bool:
    """What decodes may be sent again, and comes to the same."""
    try:
        data = decode_data(body)
    except RemoteProtocolError:
        return False
    again = encode_data(data)
    assert encode_data(decode_data(again)) == again
    return True


def payloads(*groups: tuple[wire.Record, ...]) -> bytes:
    return b"".join(len(body).to_bytes(4, "big") + body for body in map(wire.encode, groups))


TARGETS = (
    Target(
        name="message-records",
        of=("cluster_kit.wire.topics:decode",),
        check=check_records,
        seeds=(
            wire.encode(RECORDS),
            *(wire.encode([record]) for record in RECORDS),
            MSGPACK.write([[99, "later"], [14]]),
        ),
        form=MSGPACK,
    ),
    Target(
        name="message-parts",
        of=("cluster_kit.wire.topics:decode_sliced", "cluster_kit.wire.topics:decode_cut"),
        check=check_sliced,
        seeds=tuple(
            map(
                wire.encode_record,
                (wire.Data(1, 1, b"x"), wire.Asked(1, "t", 1, b"x"), wire.Answered(1, b"x")),
            )
        ),
        form=MSGPACK,
    ),
    Target(
        name="message-greeting",
        of=("cluster_kit.wire.topics:decode_greeting",),
        check=check_greeting,
        seeds=(
            wire.encode_greeting(
                wire.TopicGreeting(RUN, 2**20, {"t": WANTED, "u": wire.Interest(2, 0, 0, True)})
            ),
            wire.encode_greeting(wire.TopicGreeting(RUN, 0, {})),
        ),
        form=MSGPACK,
    ),
    Target(
        name="messenger",
        of=("cluster_kit.topics.messenger:Messenger", "cluster_kit.topics.dispatcher:Dispatcher"),
        check=check_messenger,
        seeds=(
            payloads(RECORDS[:5], RECORDS[5:12], RECORDS[12:]),
            payloads(RECORDS[:1], RECORDS[9:11], RECORDS[3:5]),
        ),
        form=framed(MSGPACK),
    ),
    Target(
        name="message-data",
        of=("cluster_kit.topics.data:decode",),
        check=check_data,
        seeds=(
            encode_data({"user": [1, -1, 2**64 - 1, 1.5, True, None], b"k": {7: "ü"}}),
            encode_data("user:7"),
            b"\xd6\xff\x00\x00\x00\x01",
            encode_data([dict.fromkeys(range(1300)), b"x" * 300]),
        ),
        form=MSGPACK,
        max_bytes=9000,
    ),
)
