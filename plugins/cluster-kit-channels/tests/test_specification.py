"""Each sentence of the channel layer specification, in one process."""

import asyncio
import threading

import pytest
from asgiref.sync import async_to_sync
from channels.exceptions import ChannelFull, MessageTooLarge
from conftest import is_empty, read, read_all
from django.core.exceptions import ImproperlyConfigured
from django.utils.safestring import mark_safe

from cluster_kit_channels import ClusterChannelLayer


def test_attributes(layer):
    ours = layer(group_expiry=7)
    assert set(ours.extensions) == {"groups", "flush"}
    assert ours.group_expiry == 7
    assert (ours.ChannelFull, ours.MessageTooLarge) == (ChannelFull, MessageTooLarge)


def test_messages_come_in_order_each_once(layer):
    async def scenario(ours):
        for channel in ("a-b.c_1", await ours.new_channel()):
            for number in range(50):
                await ours.send(channel, {"n": number})
            assert [(await read(ours, channel))["n"] for _ in range(50)] == list(range(50))
            assert await is_empty(ours, channel)

    asyncio.run(scenario(layer()))


def test_reader_that_waits_is_woken(layer):
    async def scenario(ours):
        channel = await ours.new_channel("prefix")
        assert channel.startswith("prefix.")
        readers = [asyncio.create_task(read(ours, channel)) for _ in range(2)]
        await asyncio.sleep(0)
        await ours.send(channel, {"n": 1})
        await ours.send(channel, {"n": 2})
        assert sorted([(await reader)["n"] for reader in readers]) == [1, 2]

    asyncio.run(scenario(layer()))


def test_every_type_of_the_specification_arrives(layer):
    message = {
        "a": [b"\x00\xff", "\u2028", -(2**63), 2**63 - 1, 0.1, True, None, {"b": []}],
        "t": (1, (2,)),
    }

    async def scenario(ours):
        await ours.send("a", message)
        message["a"].append("later")
        assert await read(ours, "a") == {**message, "a": message["a"][:-1], "t": [1, [2]]}
        await ours.send("a", {"html": mark_safe("<b>")})
        assert type((await read(ours, "a"))["html"]) is str

    asyncio.run(scenario(layer()))


def test_group_shares_no_message(layer):
    async def scenario(ours):
        channels = [await ours.new_channel() for _ in range(2)]
        for channel in channels:
            await ours.group_add("g", channel)
        await ours.group_send("g", {"list": []})
        (await read(ours, channels[0]))["list"].append(1)
        assert await read(ours, channels[1]) == {"list": []}

    asyncio.run(scenario(layer()))


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("text", "expected a dict"),
        ({"a": {"b": [1, {2}]}}, r"message\['a'\]\['b'\]\[1\] is of type set"),
        ({"a": {1: 2}}, r"message\['a'\] has a key of type int"),
    ],
)
def test_invalid_message_is_an_error_that_names_the_place(layer, message, error):
    ours = layer()
    for send in (ours.send, ours.group_send):
        with pytest.raises(TypeError, match=error):
            asyncio.run(send("a", message))


def test_message_that_holds_itself_is_an_error(layer):
    message = {}
    message["a"] = [message]
    with pytest.raises(ValueError, match="one in itself"):
        asyncio.run(layer().send("a", message))


@pytest.mark.parametrize("name", ["=+135!", "a b", "a" * 100, "", 1])
def test_invalid_name_is_an_error(layer, name):
    ours = layer()
    for call in (
        ours.send(name, {}),
        ours.receive(name),
        ours.group_add(name, "a"),
        ours.group_add("g", name),
        ours.group_send(name, {}),
    ):
        with pytest.raises(TypeError):
            asyncio.run(call)


def test_megabyte_passes_and_what_is_longer_than_messages_is_an_error(layer):
    async def scenario(ours):
        await ours.group_add("g", "a")
        await ours.group_send("g", {"text": "x" * 1_000_000})
        assert len((await read(ours, "a"))["text"]) == 1_000_000
        with pytest.raises(MessageTooLarge):
            await ours.group_send("g", {"text": "x" * 2_000_000})

    asyncio.run(scenario(layer()))


# -- capacity and expiry ---------------------------------------------------------------------------


def test_channel_that_is_full_is_an_error(layer):
    async def scenario(ours):
        for channel, capacity in (("a", 3), ("tiny.x", 1)):
            for number in range(capacity):
                await ours.send(channel, {"n": number})
            with pytest.raises(ChannelFull):
                await ours.send(channel, {"n": -1})
            assert await read(ours, channel) == {"n": 0}
            await ours.send(channel, {"n": capacity})
            with pytest.raises(ChannelFull):
                await ours.send(channel, {"n": -1})

    asyncio.run(scenario(layer(capacity=3, channel_capacity={"tiny.*": 1})))


def test_channels_of_one_process_share_a_capacity(layer):
    async def scenario(ours):
        channels = [await ours.new_channel() for _ in range(4)]
        for channel in channels[:3]:
            await ours.send(channel, {"n": 1})
        with pytest.raises(ChannelFull):
            await ours.send(channels[3], {"n": 1})
        await read(ours, channels[0])
        await ours.send(channels[3], {"n": 2})
        assert await read(ours, channels[3]) == {"n": 2}

    asyncio.run(scenario(layer(capacity=3)))


def test_message_to_a_group_counts_once_and_a_slow_reader_is_no_trouble_for_others(layer):
    async def scenario(ours):
        slow, *channels = [await ours.new_channel() for _ in range(101)]
        for channel in (slow, *channels):
            await ours.group_add("g", channel)
        for number in range(10):
            readers = [asyncio.create_task(read(ours, channel)) for channel in channels]
            await asyncio.sleep(0)
            await ours.group_send("g", {"n": number})
            assert [await reader for reader in readers] == [{"n": number}] * 100
        assert [(await read(ours, slow))["n"] for _ in range(3)] == [7, 8, 9]

    asyncio.run(scenario(layer(capacity=3)))


def test_group_never_raises_for_a_full_channel(layer):
    async def scenario(ours):
        channel = await ours.new_channel()
        for member in (channel, "normal"):
            await ours.group_add("g", member)
        for number in range(5):
            await ours.group_send("g", {"n": number})
        for member in (channel, "normal"):
            assert [(await read(ours, member))["n"] for _ in range(3)] == [0, 1, 2]
            assert await is_empty(ours, member)

    asyncio.run(scenario(layer(capacity=3)))


def test_name_up_to_the_mark_reads_all_channels_that_begin_so(layer):
    async def scenario(ours):
        channels = [await ours.new_channel("http") for _ in range(2)]
        for number in range(6):
            await ours.send(channels[number % 2], {"n": number})
        name = channels[0].partition("!")[0] + "!"
        assert [(await read(ours, name))["n"] for _ in range(6)] == list(range(6))

    asyncio.run(scenario(layer()))


def test_channel_of_another_process_cannot_be_read(layer):
    with pytest.raises(AssertionError, match="another process"):
        asyncio.run(layer().receive("specific.0123456789abcdef.01234567!x"))


class Clock:
    now_s = 1000.0

    def turned_by_hand(self, layer):
        """Return ``layer``, which goes by this clock from now on."""
        layer._monotonic_s = lambda: self.now_s
        return layer


def test_unread_message_expires(layer):
    async def scenario(ours):
        channel = await ours.new_channel()
        for each in ("a", channel):
            await ours.send(each, {"n": 1})
        clock.now_s += 60
        for each in ("a", channel):
            assert await is_empty(ours, each)
            for _ in range(3):
                await ours.send(each, {"n": 2})
            assert await read(ours, each) == {"n": 2}

    clock = Clock()
    asyncio.run(scenario(clock.turned_by_hand(layer(expiry=60, capacity=3))))


# -- groups and flush ------------------------------------------------------------------------------


def test_group_message_reaches_members_only(layer):
    async def scenario(ours):
        a, b, c = [await ours.new_channel() for _ in range(3)]
        for channel in (a, b, c, a):
            await ours.group_add("g", channel)
        await ours.group_discard("g", b)
        await ours.group_discard("g", b)
        await ours.group_discard("nothing", b)
        await ours.group_send("g", {"n": 1})
        await ours.group_send("nothing", {"n": 2})
        assert [await read_all(ours, channel) for channel in (a, b, c)] == [[1], [], [1]]

    asyncio.run(scenario(layer()))


def test_membership_ends_unless_it_is_renewed(layer):
    async def scenario(ours):
        a, b = [await ours.new_channel() for _ in range(2)]
        for channel in (a, b):
            await ours.group_add("g", channel)
        clock.now_s += 36
        await ours.group_add("g", a)
        clock.now_s += 36
        await ours.group_send("g", {"n": 1})
        assert [await read_all(ours, channel) for channel in (a, b)] == [[1], []]

    clock = Clock()
    asyncio.run(scenario(clock.turned_by_hand(layer(group_expiry=60))))


def test_flush_leaves_nothing(layer):
    async def scenario(ours):
        channel = await ours.new_channel()
        await ours.group_add("g", channel)
        await ours.group_send("g", {"n": 1})
        await ours.send("a", {"n": 1})
        await ours.flush()
        await ours.group_send("g", {"n": 2})
        assert await is_empty(ours, "a")
        assert await read_all(ours, channel) == []

    asyncio.run(scenario(layer()))


# -- life ------------------------------------------------------------------------------------------


def test_reader_that_is_cancelled_loses_nothing(layer):
    async def scenario(ours):
        channel = await ours.new_channel()
        for number in range(200):
            reader = asyncio.create_task(ours.receive(channel))
            for _ in range(number % 4):
                await asyncio.sleep(0)
            await ours.send(channel, {"n": number})
            for _ in range(number % 3):
                await asyncio.sleep(0)
            if reader.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await reader
                assert await read(ours, channel) == {"n": number}
            else:
                assert await reader == {"n": number}

    asyncio.run(scenario(layer()))


def test_any_loop_in_any_thread_may_use_it(layer):
    ours = layer()
    channel = async_to_sync(ours.new_channel)()
    async_to_sync(ours.group_add)("g", channel)
    heard = []
    thread = threading.Thread(target=lambda: heard.append(asyncio.run(read(ours, channel))))
    thread.start()
    async_to_sync(ours.group_send)("g", {"n": 1})
    thread.join(10)
    async_to_sync(ours.send)(channel, {"n": 2})
    assert [*heard, asyncio.run(read(ours, channel))] == [{"n": 1}, {"n": 2}]


def test_layer_can_be_used_again_after_close(layer):
    ours = layer()
    for _ in range(2):
        asyncio.run(ours.send("a", {"n": 1}))
        asyncio.run(ours.close())
    assert [asyncio.run(read(ours, "a")) for _ in range(2)] == [{"n": 1}] * 2


@pytest.mark.parametrize("options", [{}, {"cluster": {}, "supervisor": "a.b"}])
def test_where_the_cluster_comes_from_must_be_given(options):
    with pytest.raises(ImproperlyConfigured, match="either 'cluster' or 'supervisor'"):
        ClusterChannelLayer(**options)


def test_fault_of_the_configuration_is_raised_at_each_use():
    ours = ClusterChannelLayer(cluster={"topologies": {"lan": {"strategy": "gosip"}}})
    for _ in range(2):
        with pytest.raises(ValueError, match="gosip"):
            asyncio.run(ours.send("a", {}))
