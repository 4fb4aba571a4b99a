"""The pipe between supervisor and worker: whole messages, never blocking."""

import pytest
from worker_pipe import pipe

from cluster_kit.abc import MAX_PAYLOAD_BYTES
from cluster_kit.pipe.channel import Parcel
from cluster_kit.pipe.reader import MAX_MESSAGE_BYTES, parcel_head


@pytest.fixture
def ends():
    with pipe() as pair:
        yield pair


def receive(channel, count):
    messages = []
    while len(messages) < count:
        messages += channel.receive()
    return messages


def test_messages_arrive_whole_and_in_order(ends):
    a, b = ends
    for number in range(100):
        a.send({"number": number})
    assert [m["number"] for m in receive(b, 100)] == list(range(100))


def test_sending_to_a_reader_that_sleeps_does_not_block_and_loses_nothing(ends):
    a, b = ends
    big = b"x" * (1 << 20)
    for _ in range(3):
        a.send(big)
    assert a.pending_bytes > 0
    received = []
    while len(received) < 3:
        a.flush()
        received += b.receive()
    assert received == [big] * 3
    assert a.flush()
    assert a.pending_bytes == 0


def test_receiving_nothing_is_no_message(ends):
    _, b = ends
    assert b.receive() == []


def test_end_is_reported_after_the_last_message(ends):
    a, b = ends
    a.send("last")
    a.close()
    assert receive(b, 1) == ["last"]
    with pytest.raises(EOFError):
        b.receive()


def test_messages_sent_before_death_are_received(ends):
    a, b = ends
    for number in range(100):
        a.send(number)
    assert a.pending_bytes == 0
    a.close()
    assert b.receive_rest() == list(range(100))


def test_sending_to_the_dead_is_an_os_error(ends):
    a, b = ends
    b.close()
    with pytest.raises(OSError):
        a.send("anybody there?")


class Explodes:
    """Can be sent, and not be read."""

    def __reduce__(self):
        return _explode, ()


def _explode():
    raise BaseException("boom")  # noqa: TRY002 - as odd as it gets


def test_unreadable_message_ends_the_channel_after_earlier_messages(ends):
    a, b = ends
    for message in ("before", Explodes(), "after"):
        a.send(message)
    assert receive(b, 1) == ["before"]
    for _ in range(2):
        with pytest.raises(EOFError, match="BaseException: boom"):
            b.receive()


def test_rest_of_a_dead_end_is_what_can_be_read(ends):
    a, b = ends
    for message in ("before", Explodes(), "after"):
        a.send(message)
    a.close()
    assert b.receive_rest() == ["before"]


def test_a_large_message_comes_through_with_what_is_around_it_and_leaves_no_large_buffer(ends):
    a, b = ends
    messages = ["before", b"x" * (5 << 20), "after"]
    for message in messages:
        a.send(message)
    a.send_parcel(7, b"payload")
    received = []
    while len(received) < 4:
        a.flush()
        received += b.receive()
    assert received == [*messages, Parcel(7, b"payload")]
    b.receive()
    assert len(b._reader._buffer) < 1 << 18


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (parcel_head(7, b"x" * (MAX_PAYLOAD_BYTES + 1)), "a parcel of"),
        ((2**32 - 1).to_bytes(4, "big"), "a message of"),
        ((MAX_MESSAGE_BYTES + 1).to_bytes(4, "big") + b"\x80", "a message of"),
        (b"\0\0\0\5\1\0\0\0\0", "error"),
        (b"\0\0\0\0", "EOFError"),
    ],
    ids=["parcel", "anything", "message", "torn", "nothing"],
)
def test_frame_too_long_or_too_short_ends_the_channel_before_it_arrives(ends, frame, told):
    a, b = ends
    a.send("before")
    a.send_raw(frame)
    assert receive(b, 1) == ["before"]
    for _ in range(2):
        with pytest.raises(EOFError, match=told):
            b.receive()
