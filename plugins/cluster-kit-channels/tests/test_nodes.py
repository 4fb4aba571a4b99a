"""Messages and groups between two nodes in one process."""

import asyncio
from functools import partial

import pytest
from channels.exceptions import ChannelFull
from conftest import is_empty, read, read_all, until

from cluster_kit import AsyncSupervisor
from cluster_kit_channels import ClusterChannelLayer


async def linked(*layers):
    """Wait until each receives from all others."""
    await asyncio.gather(*(each.new_channel() for each in layers))
    for each in layers:
        await until(partial(hears, each, len(layers) - 1))


async def hears(layer, others):
    return len(await layer._station.topic.nodes()) == others


@pytest.fixture
def pair(layer):
    def pair(scenario, **options):
        async def run():
            ann, bob = layer("ann", **options), layer("bob", **options)
            await linked(ann, bob)
            await scenario(ann, bob)

        asyncio.run(run())

    return pair


def test_messages_to_groups_and_channels_of_another_process_arrive_in_order(pair):
    async def scenario(ann, bob):
        channel, own = await bob.new_channel(), await ann.new_channel()
        await ann.group_add("g", own)
        await ann.group_add("g", channel)  # of another process
        for number in range(0, 60, 2):
            await ann.group_send("g", {"n": number})
            await ann.send(channel, {"n": number + 1})
        assert [(await read(bob, channel))["n"] for _ in range(60)] == list(range(60))
        assert await read_all(ann, own) == list(range(0, 60, 2))
        await ann.group_discard("g", channel)
        await ann.group_send("g", {"n": -1})
        await ann.send(channel, {"n": "last"})
        assert await read(bob, channel) == {"n": "last"}

    pair(scenario)


def test_each_message_reaches_exactly_one_reader(pair):
    async def scenario(ann, bob):
        heard = []

        async def all_heard():
            return len(heard) >= 200

        async def work(layer):
            while True:
                heard.append((await layer.receive("work"))["n"])

        workers = [asyncio.create_task(work(layer)) for layer in (ann, bob)]
        await asyncio.sleep(0)
        for number in range(100):
            await ann.send("work", {"n": number})
            await bob.send("work", {"n": -number - 1})
        await until(all_heard)
        assert sorted(heard) == list(range(-100, 100))
        for worker in workers:
            worker.cancel()

    pair(scenario)


def test_message_waits_for_a_reader_anywhere(pair):
    async def scenario(ann, bob):
        for number in range(3):
            await ann.send("work", {"n": number})
        with pytest.raises(ChannelFull):
            await ann.send("work", {"n": 3})
        assert sorted([(await read(bob, "work"))["n"] for _ in range(3)]) == [0, 1, 2]

    pair(scenario, capacity=3)


def test_readers_that_are_full_are_an_error_where_it_is_sent(pair):
    async def scenario(ann, bob):
        reader = asyncio.create_task(read(bob, "work"))
        await ann.send("work", {"n": 0})
        assert await reader == {"n": 0}
        for number in range(3):
            await ann.send("work", {"n": number + 1})
        with pytest.raises(ChannelFull):
            await ann.send("work", {"n": 4})
        assert [(await read(bob, "work"))["n"] for _ in range(3)] == [1, 2, 3]

    pair(scenario, capacity=3)


def test_channel_of_no_process_gets_a_group_message_once(pair):
    async def scenario(ann, bob):
        await ann.group_add("g", "work")
        await bob.group_add("g", "work")
        await bob.group_send("g", {"n": 1})
        assert await read(ann, "work") == {"n": 1}
        assert await is_empty(ann, "work")
        assert await is_empty(bob, "work")

    pair(scenario)


def test_node_that_joins_later_knows_such_channels(layer):
    async def scenario():
        ann, bob = layer("ann"), layer("bob")
        await ann.group_add("g", "work")
        await linked(ann, bob)

        async def knows():
            return bool(bob._groups)

        await until(knows)
        await bob.group_send("g", {"n": 1})
        assert await read(ann, "work") == {"n": 1}

    asyncio.run(scenario())


def test_flush_is_done_everywhere(pair):
    async def scenario(ann, bob):
        channel = await bob.new_channel()
        await bob.group_add("g", channel)
        await bob.send("work", {"n": 0})
        for number in range(20):
            await ann.send(channel, {"n": number})
        await ann.flush()
        await bob.group_send("g", {"n": 1})
        assert await read_all(bob, channel) == []
        assert await is_empty(bob, "work")

    pair(scenario)


def test_channel_of_a_process_that_has_ended_drops_messages(pair):
    async def scenario(ann, bob):
        channel = await bob.new_channel()
        await bob.close()
        await until(partial(hears, ann, 0))
        await ann.send(channel, {"n": 1})

    pair(scenario)


def test_supervisor_of_the_application_is_used_and_left_running(layer, cluster, monkeypatch):
    async def scenario():
        async with AsyncSupervisor(cluster("app")) as supervisor:
            monkeypatch.setattr("conftest.supervisor", supervisor, raising=False)
            monkeypatch.setattr("conftest.get_supervisor", lambda: supervisor, raising=False)
            bob = layer("bob")
            for path in ("conftest.supervisor", "conftest.get_supervisor"):
                ann = ClusterChannelLayer(supervisor=path)
                await linked(ann, bob)
                channel = await ann.new_channel()
                await bob.send(channel, {"n": 1})
                assert await read(ann, channel) == {"n": 1}
                await ann.send("work", {"n": 2})
                assert await read(ann, "work") == {"n": 2}
                await ann.close()
                # else what bob sends next may go to the layer that was closed
                await until(partial(hears, bob, 0))
            assert [node.name for node in await supervisor.nodes()] == ["bob@127.0.0.1"]

    asyncio.run(scenario())


def test_supervisor_of_the_wrong_type_is_an_error():
    with pytest.raises(TypeError, match="expected an AsyncSupervisor"):
        asyncio.run(ClusterChannelLayer(supervisor="conftest.WITHIN_S").send("a", {}))


@pytest.mark.parametrize(
    "said",
    [None, ["add", [1]], ["add", [[{}, "a", 0]]], ["send", 1, {}], ["send", "x!y", {}], {"a": 1}],
)
def test_malformed_messages_on_the_topic_are_skipped(layer, cluster, said, caplog):
    async def scenario():
        async with AsyncSupervisor(cluster("stranger")) as stranger:
            ann = layer("ann")
            channel = await ann.new_channel()
            await ann.group_add("g", channel)
            topic = stranger.topic("channels")

            async def listens():
                return bool(await topic.nodes())

            await until(listens)
            await topic.publish(said)
            await topic.publish(["group", "g", {"n": 1}])
            assert await read(ann, channel) == {"n": 1}

    asyncio.run(scenario())
