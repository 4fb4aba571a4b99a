"""Payloads of applications pass through their workers unread, in order, in bounded memory."""

import asyncio
import logging
import pickle
import sys

import pytest
from carrying import (
    BOB,
    CAT,
    DEADLINE_S,
    LARGE,
    LATER_BOB,
    Carrier,
    Deaf,
    Stage,
    opened,
    staged,
)
from memory_channel import ROOM_BYTES

from cluster_kit.abc import MAX_GREETING_BYTES, MAX_PAYLOAD_BYTES
from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.node import BootId
from cluster_kit.pipe.channel import Parcel
from cluster_kit.pipe.messages import Forwarded, LinkClosed, LinkOpened
from cluster_kit.worker.forwarding import MAX_WAITING_BYTES
from cluster_kit.worker.outbox import MAX_PENDING_BYTES


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@staged
async def test_links_are_reported_with_numbers_and_greetings(stage):
    stage.listen()
    stage.forwarding.up(BOB, b"his", b"hello")
    stage.forwarding.up(CAT, b"", b"an older one")
    stage.forwarding.down(BOB)
    stage.forwarding.greet(b"newer")
    stage.forwarding.up(BOB, b"his", b"hello")
    await stage.until_heard(
        opened(1, greeting=b"his"),
        opened(2, CAT, outdated=True),
        LinkClosed(1),
        opened(3, greeting=b"his", outdated=True, greetings=1),
    )
    assert stage.forwarding.greeting == b"newer"
    assert stage.forwarding.max_message_bytes == 1000


@staged
async def test_parcels_go_over_their_link_in_order_and_are_reported_once_a_turn(stage):
    stage.listen()
    stage.forwarding.up(BOB, b"", b"hello")
    stage.forwarding.up(CAT, b"", b"hello")
    stage.send(1, b"1", b"2")
    stage.send(2, b"to cat")
    stage.send(1, b"3")
    stage.send(3, b"to nobody")
    await stage.until_heard(Forwarded(1, 3), Forwarded(2, 1))
    sent = {
        node: [payload for to, payload in stage.connector.sent if to is node] for node in (BOB, CAT)
    }
    assert sent == {BOB: [b"1", b"2", b"3"], CAT: [b"to cat"]}


@staged
async def test_incoming_parcels_report_how_many_were_forwarded(stage):
    stage.listen()
    stage.forwarding.up(BOB, b"", b"hello")
    stage.forwarding.up(CAT, b"", b"hello")
    stage.forwarding.send(Parcel(1, b"question"))
    stage.forwarding.send(Parcel(2, b"question"))
    await asyncio.sleep(0)  # before Python 3.12 it takes a turn until they are sent
    for answer in (b"answer", b"another"):
        stage.forwarding.message(BOB, answer)
    stage.forwarding.send(Parcel(1, b"last"))
    opening = [opened(1), opened(2, CAT)]
    answers = [Parcel(1, b"answer", forwarded=1), Parcel(1, b"another")]
    await stage.until_heard(*opening, *answers, Forwarded(2, 1), Forwarded(1, 1))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a task takes a turn to begin")
@staged
async def test_parcel_for_a_link_with_room_is_sent_at_once(stage):
    stage.forwarding.up(BOB, b"", b"hello")
    stage.forwarding.send(Parcel(1, b"now"))
    assert stage.connector.sent == [(BOB, b"now")]


@staged
async def test_a_link_without_room_holds_up_itself_alone_and_goes_on(stage):
    stage.listen()
    stage.forwarding.up(BOB, b"", b"hello")
    stage.connector.room.clear()
    stage.send(1, b"1", b"2")
    await stage.until_tried(1)
    assert (stage.connector.sent, stage.connector.under_way) == ([], 1)
    stage.send(1, b"3")
    stage.connector.room.set()
    await stage.until(
        lambda: sum(each.parcels for each in stage.heard if isinstance(each, Forwarded)) == 3
    )
    assert [payload for _, payload in stage.connector.sent] == [b"1", b"2", b"3"]


@staged
async def test_events_of_a_link_are_forwarded_in_order(stage):
    stage.listen()
    stage.forwarding.up(BOB, b"", b"hello")
    stage.forwarding.message(BOB, b"1")
    stage.forwarding.message(BOB, LARGE)
    stage.forwarding.down(BOB)
    await stage.until_heard(opened(1), Parcel(1, b"1"), Parcel(1, LARGE), LinkClosed(1))


@staged
async def test_links_without_messages_are_not_reported_and_their_payloads_warned_about_once(stage):
    stage.listen()
    stage.forwarding.up(BOB, None, b"")
    for _ in range(3):
        stage.forwarding.message(BOB, b"?")
        stage.forwarding.message(CAT, b"?")
    stage.forwarding.down(BOB)
    stage.forwarding.down(CAT)
    stage.forwarding.up(CAT, b"", b"hello")
    stage.forwarding.message(CAT.evolve(boot_id=BootId(3, 3)), b"of another run")
    await stage.until_heard(opened(1, CAT))
    assert stage.heard == [opened(1, CAT)]
    [text] = warnings(stage.caplog)
    assert text == "message: ignored a payload of bob@h, as no link to it carries messages"


def test_connector_that_carries_nothing_opens_no_link():
    async def scenario():
        stage = Stage(Deaf)
        stage.listen()
        assert stage.forwarding.max_message_bytes is None
        stage.forwarding.up(BOB, b"", b"hello")
        stage.forwarding.down(BOB)
        stage.channel.send("last")
        await stage.until_heard("last")
        assert stage.heard == ["last"]

    asyncio.run(scenario())


@staged
async def test_a_later_run_replaces_the_link_to_an_earlier_one(stage):
    stage.listen()
    stage.forwarding.up(BOB, b"", b"hello")
    stage.forwarding.up(LATER_BOB, b"", b"hello")
    stage.forwarding.down(BOB)
    stage.forwarding.message(LATER_BOB, b"here")
    stage.forwarding.up(LATER_BOB, None, b"")
    await stage.until_heard(
        opened(1), LinkClosed(1), opened(2, LATER_BOB), Parcel(2, b"here"), LinkClosed(2)
    )


@staged
async def test_a_lost_link_drops_what_was_for_it_and_still_passes_on_what_had_come(stage):
    stage.listen()
    stage.forwarding.up(BOB, b"", b"hello")
    stage.connector.error = ConnectError("tcp: lost", node="bob@h", reason=ConnectReason.RESET)
    stage.forwarding.up(CAT, b"", b"hello")
    stage.send(1, b"1", b"2")
    await stage.until_tried(1)
    stage.connector.error = None
    stage.send(1, b"3")
    stage.send(2, b"to cat")
    await stage.until_heard(Forwarded(2, 1))
    stage.forwarding.message(BOB, b"last")
    stage.forwarding.down(BOB)
    await stage.until_heard(Forwarded(2, 1), Parcel(1, b"last"), LinkClosed(1))
    assert stage.connector.sent == [(CAT, b"to cat")]
    assert warnings(stage.caplog) == []


@pytest.mark.parametrize(
    "raised", [RuntimeError("boom"), SystemExit(), KeyboardInterrupt(), asyncio.CancelledError()]
)
def test_connector_that_raises_costs_one_link_its_messages_and_is_logged_once(raised, caplog):
    async def scenario():
        stage = Stage()
        stage.listen()
        stage.forwarding.up(BOB, b"", b"hello")
        stage.forwarding.up(CAT, b"", b"hello")
        stage.connector.error = raised
        stage.send(1, b"1", b"2")
        await stage.until_heard(LinkClosed(1))
        stage.connector.error = None
        stage.send(1, b"3")
        stage.send(2, b"to cat")
        stage.forwarding.message(BOB, b"not passed on")
        await stage.until_heard(Forwarded(2, 1))
        stage.connector.error = raised
        stage.send(2, b"1")
        await stage.until_heard(LinkClosed(2))
        stage.connector.error = None
        stage.forwarding.down(BOB)
        stage.forwarding.up(BOB, b"", b"hello")
        stage.send(3, b"again")
        await stage.until_heard(opened(3), Forwarded(3, 1))
        assert stage.connector.sent == [(CAT, b"to cat"), (BOB, b"again")]
        [error] = warnings(caplog)
        assert error.startswith(f"send: the connector raised for bob@h: {type(raised).__name__}")

    asyncio.run(scenario())


def test_a_connector_that_cancels_its_own_task_costs_its_messages():
    class Cancels(Carrier):
        async def send(self, node, payload):
            asyncio.current_task().cancel()

    async def scenario():
        stage = Stage(Cancels)
        stage.listen()
        stage.forwarding.up(BOB, b"", b"hello")
        stage.send(1, b"1", b"2")
        await stage.until_heard(LinkClosed(1))

    asyncio.run(scenario())


def test_connector_whose_send_is_not_async_is_logged(caplog):
    class Plain(Carrier):
        def send(self, node, payload):
            return None

    async def scenario():
        stage = Stage(Plain)
        stage.listen()
        stage.forwarding.up(BOB, b"", b"hello")
        stage.send(1, b"1")
        await stage.until_heard(LinkClosed(1))

    asyncio.run(scenario())
    assert "TypeError" in warnings(caplog)[0]


@staged
async def test_the_end_of_a_link_ends_the_sending_over_it(stage):
    stage.listen()
    stage.forwarding.up(BOB, b"", b"hello")
    stage.connector.room.clear()
    stage.send(1, b"1", b"2")
    await stage.until_tried(1)
    stage.forwarding.down(BOB)
    stage.forwarding.up(BOB, b"", b"hello")
    await stage.until_heard(LinkClosed(1), opened(2))
    assert stage.connector.under_way == 0
    stage.connector.room.set()
    stage.send(2, b"anew")
    await stage.until_heard(Forwarded(2, 1))
    assert stage.connector.sent == [(BOB, b"anew")]
    assert warnings(stage.caplog) == []


@staged
async def test_application_that_takes_nothing_has_little_in_the_pipe_and_gets_all_of_it_in_turn(
    stage,
):
    await stage.fill_pipe()
    stage.forwarding.up(BOB, b"", b"hello")
    for number in range(30):
        stage.forwarding.message(BOB, bytes([number]) * MAX_PAYLOAD_BYTES)
        stage.forwarding.message(CAT, bytes([number]) * MAX_PAYLOAD_BYTES)
    assert stage.channel.pending_bytes < MAX_PENDING_BYTES // 2
    stage.listen()
    await stage.until(
        lambda: sum(isinstance(each, Parcel) and each.link == 2 for each in stage.heard) == 30
    )
    await stage.until(lambda: stage.heard[-1] == Parcel(1, bytes([29]) * MAX_PAYLOAD_BYTES))
    assert [
        each.payload[0] for each in stage.heard if isinstance(each, Parcel) and each.link == 2
    ] == list(range(30))
    first = stage.heard.index(Parcel(2, bytes([0]) * MAX_PAYLOAD_BYTES))
    assert [each.link for each in stage.heard[first : first + 20] if isinstance(each, Parcel)] == [
        2,
        1,
    ] * 10
    assert not stage.forwarding._waiting
    stage.forwarding.message(BOB, b"at once")
    await stage.until_heard(Parcel(2, b"at once"))


@pytest.mark.parametrize("size", [0, 1, MAX_PAYLOAD_BYTES])
def test_a_peer_that_sends_what_is_not_taken_loses_its_link_and_no_memory_is_held(size, caplog):
    async def scenario():
        stage = Stage()
        await stage.fill_pipe()
        stage.forwarding.up(BOB, b"", b"hello")
        for _ in range(2 * MAX_WAITING_BYTES // (size + 64)):
            stage.forwarding.message(BOB, b"x" * size)
        assert [each.node for each in stage.forwarding._waiting] == [CAT]
        stage.forwarding.message(CAT, b"last")
        stage.listen()
        await stage.until_heard(Parcel(1, b"last"))
        assert [each for each in stage.heard if not isinstance(each, Parcel)] == [
            opened(1, CAT),
            opened(2),
            LinkClosed(2),
        ]
        assert all(each.link == 1 for each in stage.heard if isinstance(each, Parcel))
        stage.send(2, b"to bob")
        stage.send(1, b"to cat")
        await stage.until_heard(Forwarded(1, 1))
        stage.forwarding.down(BOB)
        stage.forwarding.up(BOB, b"", b"hello")
        stage.forwarding.message(BOB, b"anew")
        await stage.until_heard(opened(3), Parcel(3, b"anew"))

    asyncio.run(scenario())
    [warning] = warnings(caplog)
    assert warning.startswith("bob@h: more than 4 MiB of its messages wait for this application")


@staged
async def test_small_backlog_of_a_closed_link_is_still_forwarded(stage):
    await stage.fill_pipe()
    stage.forwarding.up(BOB, b"", b"hello")
    for number in range(3):
        stage.forwarding.message(BOB, bytes([number]))
    stage.forwarding.down(BOB)
    for _ in range(40):
        stage.forwarding.message(CAT, LARGE)
    stage.forwarding.down(CAT)
    assert stage.channel.pending_bytes < MAX_PENDING_BYTES
    stage.listen()
    await stage.until_heard(LinkClosed(1))
    ours = [
        each for each in stage.heard if isinstance(each, Parcel | LinkClosed) and each.link == 2
    ]
    assert ours == [*(Parcel(2, bytes([number])) for number in range(3)), LinkClosed(2)]
    assert (
        sum(len(each.payload) for each in stage.heard if isinstance(each, Parcel))
        > MAX_PENDING_BYTES - ROOM_BYTES
    )
    assert not stage.forwarding._waiting


@staged
async def test_links_that_come_and_go_while_the_application_takes_nothing_are_not_kept(stage):
    greeting = bytes(MAX_GREETING_BYTES)
    for _ in range(100):
        stage.forwarding.up(BOB, greeting, b"hello")
        stage.forwarding.message(BOB, b"lost with its link")
        stage.forwarding.down(BOB)
    assert stage.channel.pending_bytes <= MAX_PENDING_BYTES + MAX_GREETING_BYTES
    stage.forwarding.up(BOB, greeting, b"hello")
    stage.forwarding.up(CAT, b"I am cat", b"hello")
    stage.forwarding.message(CAT, b"here")
    stage.listen()
    await stage.until(lambda: Parcel(102, b"here") in stage.heard)
    numbers = [message.link for message in stage.heard if isinstance(message, LinkOpened)]
    closed = [message.link for message in stage.heard if isinstance(message, LinkClosed)]
    assert closed == numbers[:-2] == list(range(1, len(closed) + 1))
    assert numbers[-2:] == [101, 102]


@staged
async def test_flushing_waits_for_what_is_queued_and_no_longer_than_it_may(stage):
    await stage.forwarding.flush(DEADLINE_S)
    stage.forwarding.up(BOB, b"", b"hello")
    stage.connector.room.clear()
    for payload in (b"1", b"2"):
        stage.forwarding.send(Parcel(1, payload))
    await stage.forwarding.flush(0.01)
    assert stage.connector.sent == []
    asyncio.get_running_loop().call_later(0.01, stage.connector.room.set)
    await stage.forwarding.flush(DEADLINE_S)
    assert [payload for _, payload in stage.connector.sent] == [b"1", b"2"]


@staged
async def test_at_the_end_all_links_are(stage):
    stage.listen()
    stage.forwarding.up(BOB, b"", b"hello")
    stage.forwarding.up(CAT, b"", b"hello")
    stage.connector.room.clear()
    stage.forwarding.send(Parcel(1, b"1"))
    await asyncio.sleep(0)
    stage.forwarding.close()
    stage.forwarding.message(BOB, b"late")
    stage.forwarding.down(BOB)
    await stage.until_heard(opened(1), opened(2, CAT), LinkClosed(1), LinkClosed(2))
    assert warnings(stage.caplog) == []


@pytest.mark.parametrize(
    ("payload", "error"),
    [("text", TypeError), (bytearray(b"x"), TypeError), (LARGE + b"x", ValueError)],
)
def test_connector_that_reports_nonsense_gets_an_error_at_once(payload, error):
    async def scenario():
        stage = Stage()
        stage.forwarding.up(BOB, b"", b"hello")
        with pytest.raises(error, match="message: payload"):
            stage.forwarding.message(BOB, payload)
        with pytest.raises(error, match="up: greeting"):
            stage.forwarding.up(
                CAT,
                payload * (MAX_GREETING_BYTES // 50_000) if error is ValueError else payload,
                b"",
            )

    asyncio.run(scenario())


def test_messages_about_links_can_be_pickled():
    for message in (opened(1), LinkClosed(1), Forwarded(1, 2)):
        assert pickle.loads(pickle.dumps(message)) == message
