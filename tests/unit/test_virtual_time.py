"""Virtual time: all of asyncio works, but no time is spent waiting."""

import asyncio
import gc
import socket
import threading
import time

import pytest

from cluster_kit.errors import DeadlockError, LeakError, VirtualTimeError
from cluster_kit.testing.virtual_time.loop import VirtualLoop
from cluster_kit.testing.virtual_time.run import run_virtually

DAY_S = 86_400.0


async def never():
    await asyncio.get_running_loop().create_future()


def test_a_day_passes_at_once():
    async def main():
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        await asyncio.sleep(DAY_S / 2)
        return loop.time() - before_s

    began_s = time.monotonic()
    assert run_virtually(main(), limit_s=DAY_S) == DAY_S / 2
    assert time.monotonic() - began_s < 60


def test_asyncio_runner_accepts_it():
    async def main():
        await asyncio.sleep(60)
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == 60
        assert runner.run(main()) == 120


def test_timers_run_by_time_and_then_in_the_order_they_were_set():
    async def main():
        order = []
        loop = asyncio.get_running_loop()
        for number, delay_s in enumerate([2, 1, 2, 1, 0]):
            loop.call_later(delay_s, order.append, (delay_s, number))
        loop.call_soon(order.append, "soon")
        await asyncio.sleep(3)
        return order

    assert run_virtually(main()) == ["soon", (0, 4), (1, 1), (1, 3), (2, 0), (2, 2)]


def test_time_passes_even_if_the_delay_is_below_float_resolution():
    async def main():
        loop = asyncio.get_running_loop()
        await asyncio.sleep(DAY_S)
        passed = loop.create_future()

        def look():
            if loop.time() > DAY_S:
                passed.set_result(loop.time())
            else:
                loop.call_later(1e-15, look)

        look()
        return await passed

    assert DAY_S < run_virtually(main(), limit_s=2 * DAY_S) < DAY_S + 1e-9


def test_a_due_timer_is_not_starved_by_callbacks_that_are_always_ready():
    async def main():
        passed = asyncio.Event()
        asyncio.get_running_loop().call_later(0, passed.set)
        while not passed.is_set():  # noqa: ASYNC110 - the case in question
            await asyncio.sleep(0)

    run_virtually(main())


def test_a_cancelled_timer_does_not_run_and_does_not_move_time():
    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(5000):
            loop.call_later(50, pytest.fail, "it was cancelled").cancel()
        assert len(loop.timeline._due) < 5000
        await asyncio.sleep(1)
        return loop.time()

    assert run_virtually(main()) == 1


def test_timeouts_waits_groups_and_queues_are_those_of_asyncio():
    async def produce(queue):
        for number in range(3):
            await asyncio.sleep(1)
            await queue.put(number)

    async def main():
        loop = asyncio.get_running_loop()
        queue = asyncio.Queue(maxsize=1)
        async with asyncio.TaskGroup() as group:
            group.create_task(produce(queue))
            got = [await queue.get() for _ in range(3)]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await never()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(never(), 5)
        sleeps = [asyncio.create_task(asyncio.sleep(s, s)) for s in (1, 2, 3)]
        done, pending = await asyncio.wait(sleeps, timeout=2.5)
        return got, len(done), len(pending), await asyncio.gather(*sleeps), loop.time()

    assert run_virtually(main()) == ([0, 1, 2], 2, 1, [1, 2, 3], 16)


def test_cancelled_and_forgotten_tasks_end_in_order():
    ended = []

    async def waits(name):
        try:
            await never()
        finally:
            await asyncio.sleep(1)
            ended.append(name)

    async def main():
        task = asyncio.create_task(waits("cancelled"))
        left = asyncio.create_task(waits("left behind"))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert not left.done()

    run_virtually(main())
    assert ended == ["cancelled", "left behind"]


def test_generators_that_are_dropped_or_left_open_are_closed():
    closed = []

    async def generator(name):
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(1)
            closed.append(name)

    kept = []

    async def main():
        async for _ in generator("dropped"):
            break
        gc.collect()
        await asyncio.sleep(2)
        assert closed == ["dropped"]
        kept.append(generator("left open"))
        await anext(kept[0])

    run_virtually(main())
    assert closed == ["dropped", "left open"]


def test_call_soon_threadsafe_works_from_the_own_thread():
    async def main():
        called = asyncio.Event()
        asyncio.get_running_loop().call_soon_threadsafe(called.set)
        await called.wait()

    run_virtually(main())


def test_a_task_factory_creates_the_tasks():
    made = []

    def factory(loop, coroutine, **how):
        made.append(coroutine.__name__)
        return asyncio.Task(coroutine, loop=loop, **how)

    async def main():
        asyncio.get_running_loop().set_task_factory(factory)
        await asyncio.create_task(asyncio.sleep(1), name="a nap")

    run_virtually(main())
    assert made[0] == "sleep"


def test_tasks_are_numbered_from_one_in_each_run():
    async def main():
        return asyncio.current_task().get_name(), asyncio.create_task(asyncio.sleep(0)).get_name()

    assert run_virtually(main()) == run_virtually(main()) == ("Task-1", "Task-2")


def test_virtual_loop_does_not_run_inside_another_loop():
    async def main():
        coroutine = never()
        with pytest.raises(RuntimeError, match="from a running event loop"):
            run_virtually(coroutine)
        coroutine.close()

    run_virtually(main())


# What goes wrong


def test_a_deadlock_lists_waiting_tasks_and_their_places():
    async def main():
        waiter = asyncio.create_task(never(), name="the waiter")
        await waiter

    with pytest.raises(
        DeadlockError,
        match=(
            r"Task-1 of loop in .*main \(.*test_virtual_time.py:\d+\), the waiter of loop in "
            r"never"
        ),
    ):
        run_virtually(main())


def test_a_run_past_its_limit_lists_waiting_tasks():
    async def ticks():
        while True:  # noqa: ASYNC110 - the case in question
            await asyncio.sleep(1)

    async def main():
        ticking = asyncio.create_task(ticks(), name="ticking")
        await never()
        ticking.cancel()

    with pytest.raises(VirtualTimeError, match=r"not over by 100 s.* in never .*ticking"):
        run_virtually(main(), limit_s=100)


def test_a_task_that_is_cancelled_at_the_limit_has_time_to_end():
    ended = []

    async def main():
        try:
            for _ in range(1000):
                await asyncio.sleep(1)
        finally:
            await asyncio.sleep(1)
            ended.append(True)

    with pytest.raises(VirtualTimeError, match="not over by 100 s"):
        run_virtually(main(), limit_s=100)
    assert ended


def test_time_that_cannot_pass_is_an_error():
    async def main():
        over = asyncio.Event()
        asyncio.get_running_loop().call_later(1, over.set)
        while not over.is_set():  # noqa: ASYNC110 - the case in question
            await asyncio.sleep(0)

    with pytest.raises(
        VirtualTimeError, match=r"a task is always busy at 0 s.*Task-1 of loop in .*main"
    ):
        run_virtually(main())


def test_an_exception_of_the_main_coroutine_is_raised():
    async def main():
        await asyncio.sleep(1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run_virtually(main())


def test_an_exception_in_a_callback_is_not_lost():
    async def main():
        asyncio.get_running_loop().call_later(1, int, "no number")
        await asyncio.sleep(2)

    with pytest.raises(
        VirtualTimeError, match=r"unhandled exception: Exception in callback.*no number"
    ):
        run_virtually(main())


def test_exception_in_an_unawaited_task_is_not_lost():
    async def fail():
        raise KeyError("unseen")

    async def main():
        task = asyncio.create_task(fail())
        await asyncio.sleep(1)
        del task

    with pytest.raises(VirtualTimeError, match=r"never retrieved.*unseen"):
        run_virtually(main())


def test_an_unhandled_exception_is_a_note_of_the_one_that_ends_the_run():
    async def main():
        asyncio.get_running_loop().call_soon(int, "no number")
        await asyncio.sleep(1)
        raise KeyError("mine")

    with pytest.raises(KeyError) as caught:
        run_virtually(main())
    assert "no number" in "".join(caught.value.__notes__)


def test_a_custom_handler_gets_unhandled_exceptions():
    handled = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: handled.append(str(context["exception"])))
        loop.call_soon(int, "no number")
        await asyncio.sleep(1)

    run_virtually(main())
    assert "no number" in handled[0]


# The real world


@pytest.mark.parametrize(
    "reach_out",
    [
        lambda loop: asyncio.open_connection("127.0.0.1", 1),
        lambda loop: asyncio.start_server(print, "127.0.0.1", 0),
        lambda loop: asyncio.to_thread(print),
        lambda loop: asyncio.create_subprocess_exec("true"),
        lambda loop: loop.getaddrinfo("localhost", 1),
        lambda loop: loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0)),
        lambda loop: loop.sock_connect(None, ("127.0.0.1", 1)),
    ],
)
def test_real_io_is_refused(reach_out):
    async def main():
        await reach_out(asyncio.get_running_loop())

    with pytest.raises(LeakError, match="would reach the real world"):
        run_virtually(main())


def test_a_leak_is_found_even_if_it_was_swallowed():
    async def main():
        one, other = socket.socketpair()
        with one, other:
            try:
                asyncio.get_running_loop().add_reader(one, print)
            except Exception:  # noqa: BLE001 - the case in question
                return "all is well"

    with pytest.raises(LeakError, match=r"add_reader\(\)"):
        run_virtually(main())


def test_another_thread_is_refused():
    refused = []

    def call(loop):
        try:
            loop.call_soon_threadsafe(print)
        except LeakError as exc:
            refused.append(exc)

    async def main():
        thread = threading.Thread(target=call, args=(asyncio.get_running_loop(),), name="stranger")
        thread.start()
        thread.join()

    with pytest.raises(LeakError, match="from the thread 'stranger'"):
        run_virtually(main())
    assert len(refused) == 1
