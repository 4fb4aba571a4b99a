"""What a plugin raises when its caller is cancelled."""

import asyncio

import pytest

from cluster_kit.errors import ConnectError
from cluster_kit.worker.plugin_calls import attempt


def cancelled_with(error):
    async def plugin():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise error from None

    async def main():
        attempting = asyncio.create_task(attempt(plugin))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        attempting.cancel()
        await asyncio.wait([attempting])

    asyncio.run(main())


def test_error_of_the_contract_is_not_logged(caplog):
    cancelled_with(ConnectError("tcp: gave up", node="b@h"))
    assert not caplog.records


def test_any_other_error_is_logged(caplog):
    cancelled_with(KeyError("oops"))
    assert "cancelled, a plugin raised KeyError" in caplog.text


def test_normal_cancellation_is_not_logged(caplog):
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(attempt(asyncio.Event().wait), 0.01))
    assert not caplog.records


def cancelled_during(plugin):
    """Run ``plugin(caller)``, which cancels its caller or waits for that, to the caller's end."""

    async def scenario():
        caller = asyncio.create_task(attempt(lambda: plugin(caller)))
        with pytest.raises(asyncio.CancelledError):
            await caller

    asyncio.run(scenario())


def test_error_in_the_moment_of_the_cancellation_is_not_taken_for_an_answer_to_it(caplog):
    async def plugin(caller):
        caller.cancel()
        raise ConnectError("tcp: no answer")

    cancelled_during(plugin)
    assert caplog.records == []


def test_error_raised_because_of_the_cancellation_is_logged(caplog):
    async def plugin(caller):
        asyncio.get_running_loop().call_soon(caller.cancel)
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("not like this")

    cancelled_during(plugin)
    assert [record.getMessage() for record in caplog.records] == [
        "cancelled, a plugin raised RuntimeError: not like this"
    ]
