"""Several event loops on one timeline: they share its time, and pause and die by themselves."""

import asyncio
import contextvars
import gc
import subprocess
import sys
import textwrap

import pytest

from cluster_kit.errors import DeadlockError
from cluster_kit.testing.virtual_time.loop import VirtualLoop
from cluster_kit.testing.virtual_time.timeline import Timeline


async def never():
    await asyncio.get_running_loop().create_future()


def on_one_timeline(*names):
    timeline = Timeline()
    return timeline, [VirtualLoop(timeline, name=name) for name in names]


async def tick(log, name, period_s, count=1000):
    loop = asyncio.get_running_loop()
    for _ in range(count):
        await asyncio.sleep(period_s)
        log.append((loop.time(), name))


def test_loops_of_one_timeline_share_its_time():
    timeline, (one, other) = on_one_timeline("one", "other")
    log = []
    one.create_task(tick(log, "one", 2))
    other.create_task(tick(log, "other", 3))
    timeline.run(until_s=7)
    # other's timer was set first
    assert log == [(2, "one"), (3, "other"), (4, "one"), (6, "other"), (6, "one")]
    assert timeline.now_s == 7
    timeline.run(until_s=8)
    assert log[-1] == (8, "one")
    one.kill()
    other.kill()
    timeline.close()


def test_each_loop_is_the_running_one_in_its_own_callbacks():
    timeline, loops = on_one_timeline("one", "other", "third")
    seen = []

    async def look(expected):
        for _ in range(3):
            seen.append(
                asyncio.get_running_loop() is expected
                and asyncio.current_task() in asyncio.all_tasks(expected)
            )
            await asyncio.sleep(1)

    tasks = [loop.create_task(look(loop)) for loop in loops]
    timeline.run()
    assert all(task.done() for task in tasks)
    assert seen == [True] * 9


def test_an_event_outside_all_loops_runs_in_no_loop():
    timeline, (loop,) = on_one_timeline("one")
    seen = []

    def happen(what):
        seen.append((what, timeline.now_s, asyncio._get_running_loop()))

    loop.create_task(asyncio.sleep(10))
    timeline.call_at(5, happen, "five")
    timeline.call_at(6, happen, "cancelled").cancel()
    timeline.run()
    assert seen == [("five", 5, None)]
    assert timeline.now_s == 10


def test_an_event_runs_in_no_loop_even_after_one_that_entered_one():
    timeline, (loop,) = on_one_timeline("one")
    seen = []

    def look():
        seen.append(asyncio._get_running_loop())

    timeline.call_at(1, loop.arrive, contextvars.copy_context(), look)
    timeline.call_at(1, look)
    timeline.run()
    assert seen == [loop, None]


def test_a_cancelled_event_does_not_move_time():
    timeline, (loop,) = on_one_timeline("one")
    loop.call_later(50, pytest.fail, "it was cancelled").cancel()
    timeline.call_at(60, pytest.fail, "it was cancelled").cancel()
    timeline.run()
    assert timeline.now_s == 0


def test_a_paused_loop_goes_on_with_what_was_ready_then_the_network_then_the_timers():
    timeline, (loop, other) = on_one_timeline("paused", "other")
    log = []
    context = contextvars.copy_context()
    loop.call_later(2, log.append, "second timer")
    loop.call_later(1, log.append, "first timer")
    loop.call_soon(log.append, "ready")
    loop.pause()
    timeline.call_at(3, loop.arrive, context, log.append, "packet")
    other.call_later(4, log.append, "other")
    timeline.run(until_s=5)
    assert log == ["other"]
    assert loop.is_paused
    loop.resume()
    timeline.run(until_s=5)
    assert log == ["other", "ready", "packet", "first timer", "second timer"]
    loop.pause()
    loop.resume()
    timeline.run(until_s=6)
    assert len(log) == 5


def test_a_killed_loop_does_not_even_run_finally():
    timeline, (loop, other) = on_one_timeline("killed", "other")
    log = []
    ends = []

    async def main():
        try:
            await never()
        finally:
            log.append(timeline.loops)
            await asyncio.sleep(1)

    async def generate():
        try:
            yield 1
        finally:
            log.append("closed")

    async def iterate():
        async for _ in generate():
            await never()

    loop.create_task(main())
    loop.create_task(iterate())
    loop.create_task(tick(log, "killed", 1))
    loop.on_end(lambda: ends.append(timeline.now_s))
    timeline.call_at(2.5, loop.kill)
    other.create_task(tick(log, "other", 2, count=3))
    timeline.run()
    gc.collect()
    assert log == [(1, "killed"), (2, "other"), (2, "killed"), (4, "other"), (6, "other")]
    assert ends == [2.5]
    assert loop.is_closed()
    timeline.close()
    assert not timeline.unhandled


def test_a_deadlock_of_several_loops_names_each():
    timeline, (one, other) = on_one_timeline("one", "other")
    task = other.create_task(never())
    other.pause()
    with pytest.raises(
        DeadlockError, match=r"Task-1 of one in never .*Task-1 of other, which is paused, in never"
    ):
        one.run_until_complete(never())
    one.kill()
    other.kill()
    timeline.close()
    assert not task.done()


def test_hash_randomisation_changes_nothing():
    script = textwrap.dedent(
        """
        import asyncio
        from cluster_kit.testing.virtual_time.timeline import Timeline
        from cluster_kit.testing.virtual_time.loop import VirtualLoop

        timeline = Timeline()
        log = []

        async def talk(name, event, others):
            for round in range(20):
                await asyncio.wait([asyncio.create_task(event.wait()),
                                    asyncio.create_task(asyncio.sleep(0.1 * len(name)))],
                                   return_when=asyncio.FIRST_COMPLETED)
                log.append((round, name, timeline.now_s))
                for other in others:
                    other.set()
                event.clear()

        loops = [VirtualLoop(timeline) for _ in range(5)]
        events = [asyncio.Event() for _ in loops]
        for number, loop in enumerate(loops):
            loop.create_task(talk("x" * number, events[number], []))
        timeline.run(until_s=50)
        print(log)
        for loop in list(timeline.loops):
            loop.kill()
        timeline.close()
        """
    )
    traces = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(traces) == 1
