"""A message longer than the whole queue of a link: it arrives intact, and holds up no others."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cluster_kit.node import BootId, Node
from cluster_kit.payloads import MAX_PAYLOAD_BYTES
from cluster_kit.topics import lanes
from cluster_kit.topics.data import decode, encode
from cluster_kit.topics.messenger import Messenger
from cluster_kit.topics.outcomes import Arrived, LocalInterest, Outcome, QuestionArrived, Replied
from cluster_kit.wire.topics import MAX_TOPIC_BYTES

LONG = lanes.MAX_QUEUED_BYTES + 1
LIMIT = 2 * LONG
ROOM = LocalInterest(messages=1000, bytes=LIMIT)


def linked() -> tuple[Messenger, Messenger]:
    """Return two messengers over a link of number 1; the second listens."""
    ann, bob = (Messenger(bytes([number]) * 16, max_message_bytes=LIMIT) for number in (1, 2))
    for topic in ("long", "short"):
        bob.listen(topic, ROOM)
    nodes = [
        Node(name=f"{name}@h", boot_id=BootId(1, number))
        for number, name in enumerate(("ann", "bob"))
    ]
    ann.up(1, nodes[1], bob.greeting, outdated=False)
    bob.up(1, nodes[0], ann.greeting, outdated=False)
    return ann, bob


def exchange(ann: Messenger, bob: Messenger) -> list[Arrived]:
    """Carry payloads both ways until none is left; return the messages that arrived at the second,
    in order.
    """
    arrived = []
    while ann.ready() or bob.ready():
        while (payload := ann.next_payload(1)) is not None:
            arrived += [each for each in bob.receive(1, payload) if isinstance(each, Arrived)]
        while (payload := bob.next_payload(1)) is not None:
            ann.receive(1, payload)
    return arrived


def test_long_message_leaves_room_for_short_ones_and_is_overtaken_by_them() -> None:
    ann, bob = linked()
    assert ann.publish("long", b"x" * LONG) == 1
    assert [ann.publish("short", bytes([number])) for number in range(100)] == [1] * 100
    arrived = exchange(ann, bob)
    assert [each.data for each in arrived] == [
        *(bytes([number]) for number in range(100)),
        b"x" * LONG,
    ]


def test_only_one_long_message_is_queued_at_a_time() -> None:
    ann, bob = linked()
    assert [ann.publish(topic, b"x" * LONG) for topic in ("long", "short", "long")] == [1, 0, 0]
    assert len(exchange(ann, bob)) == 1
    assert ann.publish("short", b"x" * LONG) == 1
    assert ann.publish("long", b"x" * lanes.MAX_QUEUED_BYTES) == 0
    assert ann.publish("long", b"x") == 1


@pytest.mark.parametrize("size", [0, 255, 256, 65_535, 65_536, (1 << 20) + 1])
def test_bytes_of_any_length_are_encoded_as_messagepack(size: int) -> None:
    data = bytes(size)
    assert encode(data) == msgspec.msgpack.encode(data)
    assert decode(encode(data)) == data


@pytest.mark.parametrize("size", [64_900, 65_000, 65_535, 65_536, 300_000])
def test_fragmented_message_arrives_intact(size: int) -> None:
    ann, bob = linked()
    data = bytes(range(256)) * (size // 256 + 1)
    ann.publish("long", data[:size])
    [arrived] = exchange(ann, bob)
    assert arrived.data == data[:size]


@pytest.mark.parametrize("size", [64_952, 64_953, 64_960, 64_961])
def test_message_about_as_long_as_a_payload_takes_at_most_two_payloads(size: int) -> None:
    ann, bob = linked()
    exchange(ann, bob)
    ann.publish("long", b"x" * size)
    payloads = [payload for _ in range(2) if (payload := ann.next_payload(1)) is not None]
    [arrived] = [each for payload in payloads for each in bob.receive(1, payload)]
    assert isinstance(arrived, Arrived)
    assert arrived.data == b"x" * size


@pytest.mark.parametrize(
    "held", [b"x" * (2 << 20), "x" * (2 << 20), {"a": [b"\xde\x01" * (1 << 20), 1]}]
)
def test_long_data_of_any_type_arrives_intact(held: object) -> None:
    ann, bob = linked()
    ann.publish("long", encode(held))
    [arrived] = exchange(ann, bob)
    assert decode(arrived.data) == held


def inquiring() -> tuple[Messenger, Messenger]:
    """Return two linked messengers; the second answers."""
    ann, bob = linked()
    bob.listen("long", LocalInterest(messages=0, bytes=0, answers=True))
    bob.listen("short", LocalInterest(messages=0, bytes=0, answers=True))
    carry(bob, ann)
    return ann, bob


def carry(one: Messenger, other: Messenger) -> list[Outcome]:
    """Carry all payloads of the first to the second; return the outcomes there."""
    outcomes: list[Outcome] = []
    while (payload := one.next_payload(1)) is not None:
        outcomes += other.receive(1, payload)
        while (payload := other.next_payload(1)) is not None:
            one.receive(1, payload)
    return outcomes


# a question's topic and numbers take up to 300 bytes more
@pytest.mark.parametrize("size", range(MAX_PAYLOAD_BYTES - 350, MAX_PAYLOAD_BYTES + 10))
def test_data_about_as_long_as_a_payload_arrives_within_few_payloads(size: int) -> None:
    ann, bob = linked()
    topic = "x" * MAX_TOPIC_BYTES
    bob.listen(topic, LocalInterest(messages=1000, bytes=LIMIT, answers=True))
    exchange(ann, bob)
    data = b"x" * size
    ann.publish(topic, data)
    assert [each.data for each in within_few_payloads(ann, bob)] == [data]
    ann.ask("bob@h", topic, data, 1, 60.0)
    [asked] = within_few_payloads(ann, bob)
    assert asked.data == data
    bob.reply(asked.question, data)
    assert [each.data for each in within_few_payloads(bob, ann)] == [data]


def within_few_payloads(one: Messenger, other: Messenger) -> list[Any]:
    """Carry a handful of payloads to the second; return the outcomes there that hold data."""
    outcomes: list[Outcome] = []
    for _ in range(5):
        if (payload := one.next_payload(1)) is not None:
            outcomes += other.receive(1, payload)
        if (payload := other.next_payload(1)) is not None:
            one.receive(1, payload)
    return [each for each in outcomes if hasattr(each, "data")]


def test_short_question_overtakes_a_long_one() -> None:
    ann, bob = inquiring()
    ann.ask("bob@h", "long", b"x" * LONG, 1, 60.0)
    ann.ask("bob@h", "short", b"?", 2, 60.0)
    asked = [each for each in carry(ann, bob) if isinstance(each, QuestionArrived)]
    assert [each.data for each in asked] == [b"?", b"x" * LONG]


def test_short_answer_overtakes_a_long_one() -> None:
    ann, bob = inquiring()
    for ticket in (1, 2):
        ann.ask("bob@h", "short", b"?", ticket, 60.0)
    first, second = (each.question for each in carry(ann, bob) if isinstance(each, QuestionArrived))
    bob.reply(first, b"x" * LONG)
    bob.reply(second, b"!")
    replied = [each for each in carry(bob, ann) if isinstance(each, Replied)]
    assert [(each.ticket, len(each.data)) for each in replied] == [(2, 1), (1, LONG)]


def test_long_question_can_be_withdrawn_until_its_first_fragment_is_sent() -> None:
    ann, bob = inquiring()
    ann.ask("bob@h", "short", b"?", 1, 60.0)
    ann.ask("bob@h", "long", b"x" * 100_000, 2, 60.0)
    assert ann.withdraw(2)
    assert ann.withdraw(1)
    assert carry(ann, bob) == []
    ann.ask("bob@h", "long", b"x" * 100_000, 3, 60.0)
    assert ann.next_payload(1) is not None
    assert not ann.withdraw(3)
