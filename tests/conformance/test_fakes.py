"""The fakes behave like the real parts, and a failed expectation names what came instead."""

import asyncio

import pytest

from cluster_kit import Found, Node, Reason, Strategy
from cluster_kit.network.system import SystemNetwork
from cluster_kit.testing import FakeDiscovery, Listener, RecordingLinks

ANN = Node(name="ann@127.0.0.1")
BOB = Node(name="bob@127.0.0.1")


class Counting(Strategy):
    async def discover(self, ctx):
        yield Found([])
        yield Found([ANN])
        await ctx.changed()
        yield Found([ctx.local])


class Raising(Strategy):
    async def discover(self, ctx):
        yield Found([])
        raise RuntimeError("boom")


def test_change_wakes_a_waiting_strategy():
    async def scenario():
        ctx = FakeDiscovery(ANN)
        async with Listener(Counting(), ctx) as heard:
            await heard.until(lambda observation: ANN in observation.nodes, "ann")
            ctx.change(local=BOB)
            await heard.until(lambda observation: BOB in observation.nodes, "bob")

    asyncio.run(scenario())


def test_listener_reports_what_came_instead():
    async def scenario():
        async with Listener(Counting(), FakeDiscovery(ANN), deadline_s=0.1) as heard:
            with pytest.raises(
                AssertionError, match=r"expected bob; the strategy went on for 0.1 s.*ann"
            ):
                await heard.until(lambda observation: BOB in observation.nodes, "bob")

    asyncio.run(scenario())


def test_listener_raises_what_the_strategy_raised():
    async def scenario():
        async with Listener(Raising(), FakeDiscovery(ANN)) as heard:
            with pytest.raises(RuntimeError, match="boom"):
                await heard.until(lambda observation: BOB in observation.nodes, "bob")

    asyncio.run(scenario())


def test_reports_are_kept_in_order_by_kind_and_node():
    async def scenario():
        links = RecordingLinks()
        links.up(ANN)
        links.up(BOB)
        links.down(ANN, Reason.LEFT)
        links.event("kind", 1)
        assert [report.node for report in links.of("up")] == [ANN, BOB]
        assert links.ups_and_downs(ANN.key) == ["up", "down"]
        assert (await links.expect("down", ANN.key)).reason is Reason.LEFT
        assert links.of("event")[0].data == ("kind", 1)

    asyncio.run(scenario())


def test_expect_waits_for_a_report_to_come():
    async def scenario():
        links = RecordingLinks()
        asyncio.get_running_loop().call_soon(links.up, ANN)
        assert (await links.expect("up", ANN.key)).node == ANN

    asyncio.run(scenario())


def test_expect_reports_what_came_instead():
    async def scenario():
        links = RecordingLinks(deadline_s=0.1)
        links.up(BOB)
        with pytest.raises(
            AssertionError, match=r"expected up number 1 of ann@127.0.0.1 within 0.1 s; .*bob"
        ):
            await links.expect("up", ANN.key)

    asyncio.run(scenario())


@pytest.mark.parametrize("make", [lambda **given: FakeDiscovery(ANN, **given), RecordingLinks])
def test_network_is_the_one_that_was_given_else_the_system_s(make):
    async def scenario():
        given, default = object(), make()
        assert make(network=given).network is given
        assert isinstance(default.network, SystemNetwork)
        assert default.network is default.network

    asyncio.run(scenario())
