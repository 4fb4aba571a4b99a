"""``AsyncTopic``: the same names, awaited; callbacks and coroutine functions run in the
application's own loop.
"""

import asyncio
import threading
from contextlib import suppress

import pytest

from cluster_kit.errors import NotLinkedError, RemoteError, UnansweredError
from cluster_kit.supervisor.topics.aio import AsyncTopic
from cluster_kit.supervisor.topics.items import Gap, Message


def run(scenario):
    asyncio.run(asyncio.wait_for(scenario, 30))


def test_messages_arrive_in_order(ann, bob):
    async def scenario():
        heard = AsyncTopic(bob.topic("cache")).subscribe()
        ann.link(bob)
        cache = AsyncTopic(ann.topic("cache"))
        assert await cache.nodes() == (bob.node,)
        assert [await cache.publish(number) for number in range(100)] == [1] * 100
        await cache.send("bob@h", 100)
        async with heard:
            assert [(await anext(heard)).data for _ in range(101)] == list(range(101))
        assert [item async for item in heard] == []

    run(scenario())


def test_waiting_reader_is_woken_from_another_thread(ann, bob):
    async def scenario():
        heard = AsyncTopic(bob.topic("cache")).subscribe()
        ann.link(bob)
        for number in range(20):
            asyncio.get_running_loop().call_later(0.001, ann.topic("cache").publish, number)
            assert (await anext(heard)).data == number
        asyncio.get_running_loop().call_later(0.001, bob.boards.close)
        assert [item async for item in heard] == []

    run(scenario())


def test_callback_runs_in_the_loop(ann, bob, caplog):
    async def scenario():
        heard, all_heard = [], asyncio.Event()

        def hear(item):
            heard.append((item.data, threading.current_thread()))
            if item.data == 1:
                raise LookupError("no such shelf")
            if item.data == 2:
                all_heard.set()

        AsyncTopic(bob.topic("cache")).subscribe(hear)
        ann.link(bob)
        for number in range(3):
            ann.topic("cache").publish(number)
        await all_heard.wait()
        assert heard == [(number, threading.current_thread()) for number in range(3)]

    run(scenario())
    assert "LookupError: no such shelf" in caplog.text


def test_messages_lost_to_a_full_queue_show_as_a_gap(ann, bob):
    async def scenario():
        heard = AsyncTopic(bob.topic("cache")).subscribe(max_messages=2)
        ann.link(bob)
        assert [ann.topic("cache").publish(number) for number in range(4)] == [1, 1, 0, 0]
        first, second, gap = [await anext(heard) for _ in range(3)]
        assert (first.data, second.data) == (0, 1)
        assert gap == Gap(sender=ann.node, lost=2, topic="cache")

    run(scenario())


def test_question_ends_in_one_of_four_ways(ann, bob):
    async def scenario():
        bob.boards.loop = asyncio.get_running_loop()
        stock = AsyncTopic(bob.topic("stock"))

        @stock.answer
        async def answer(message):
            assert asyncio.get_running_loop() is bob.boards.loop
            assert isinstance(message, Message)
            if message.data == "late":
                await asyncio.sleep(30)
            return 7 / message.data

        ann.link(bob)
        asking = AsyncTopic(ann.topic("stock"))
        assert await asking.ask("bob@h", 2) == 3.5
        with pytest.raises(RemoteError, match="ZeroDivisionError"):
            await asking.ask(bob.node, 0)
        with pytest.raises(UnansweredError):
            await asking.ask("bob@h", "late", timeout_s=0.05)
        with pytest.raises(NotLinkedError):
            await asking.ask("eve@h", 1)
        assert await asking.ask_all(7) == {bob.node: 1.0}
        stock.stop_answering()
        bob.settle()
        ann.settle()
        assert await asking.ask_all(7) == {}

    run(scenario())


def test_plain_function_answers_in_a_thread(ann, bob):
    async def scenario():
        threads = []
        AsyncTopic(bob.topic("stock")).answer(lambda _: threads.append(threading.current_thread()))
        ann.link(bob)
        assert await AsyncTopic(ann.topic("stock")).ask("bob@h", 1) is None
        assert threads[0] is not threading.current_thread()

    run(scenario())


def test_cancelled_question_leaves_no_ticket(ann, bob):
    async def scenario():
        let_go = threading.Event()
        bob.topic("stock").answer(lambda _: let_go.wait(30))
        ann.link(bob)
        task = asyncio.create_task(AsyncTopic(ann.topic("stock")).ask("bob@h", 1, timeout_s=30))
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert not list(ann.board._tickets)
        let_go.set()

    run(scenario())
