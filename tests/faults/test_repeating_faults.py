"""A fault that repeats is logged with its traceback, and then counted: it must not fill a disk."""

import asyncio

import pytest
from repeating import NODES, RESTARTS
from waiting import next_of, until

from cluster_kit import AsyncSupervisor, NodeFound

pytestmark = pytest.mark.once


def of_kind(caplog, text):
    return [record.getMessage() for record in caplog.records if text in record.getMessage()]


def topology(strategy, **keys):
    return {"strategy": f"repeating:{strategy}", "connector": "none", **keys}


def test_callback_that_raises_for_each_event(bench, caplog):
    def broken(event):
        raise ValueError(f"cannot take {event!r}")

    a = bench.start("a", lan=topology("KnowsMany"))
    a.subscribe(broken)
    until(lambda: len(a.nodes(state="known")) == NODES, "all are found")
    a.stop()
    first, last = of_kind(caplog, "broken raised ValueError")
    assert "Traceback (most recent call last)" in first
    number = int(last.rpartition("(the last of ")[2].partition(" more of this kind)")[0])
    assert number >= NODES


def test_asyncio_callback_that_raises_for_each_event(bench, caplog):
    async def scenario():
        heard, all_heard = [], asyncio.Event()

        def broken(event):
            heard.append(event)
            if len(heard) == NODES:
                all_heard.set()
            raise ValueError(f"cannot take {event!r}")

        async with AsyncSupervisor(bench.config("a", lan=topology("KnowsMany"))) as a:
            a.subscribe(broken)
            await asyncio.wait_for(all_heard.wait(), 30.0)

    asyncio.run(scenario())
    [first] = [record for record in caplog.records if "raised on" in record.getMessage()]
    assert first.exc_info is not None


def test_strategy_that_raises_now_and_then(bench, caplog):
    a = bench.start(
        "a", lan=topology("RaisesNowAndThen", child_spec={"max_restarts": 100, "max_seconds": 0.05})
    )
    next_of(a.subscribe(), NodeFound, node="done@127.0.0.1")
    a.stop()
    first, last = of_kind(caplog, "RaisesNowAndThen' raised RuntimeError")
    assert "Traceback" in first
    assert last.endswith(f"(the last of {RESTARTS - 1} more of this kind)")
