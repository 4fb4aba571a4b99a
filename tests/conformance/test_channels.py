"""The channel between a worker and its supervisor: sockets and memory keep the same contract."""

import asyncio
import socket
from contextlib import ExitStack, closing

import pytest
from memory_channel import MemoryChannel

from cluster_kit.abc import MAX_PAYLOAD_BYTES
from cluster_kit.pipe.channel import Channel, Parcel
from cluster_kit.pipe.socket_channel import SocketChannel

DEADLINE_S = 30.0
LARGE = b"x" * (1 << 20)


def sockets() -> tuple[Channel, Channel]:
    return tuple(map(SocketChannel, socket.socketpair()))


def memory() -> tuple[Channel, Channel]:
    return MemoryChannel.pair()


def pickled_memory() -> tuple[Channel, Channel]:
    return MemoryChannel.pair(pickled=True)


class Listener:
    """Attached to one end; records every callback."""

    def __init__(self, channel: Channel) -> None:
        self.heard = []
        self.ends = []
        self.reliefs = 0
        self._news = asyncio.Event()
        loop = asyncio.get_running_loop()
        channel.attach(loop, hear=self._hear, ended=self._ended, relieved=self._relieved)

    def _hear(self, message):
        self.heard.append(message)
        self._news.set()

    def _ended(self, fault):
        self.ends.append(fault)
        self._news.set()

    def _relieved(self):
        self.reliefs += 1
        self._news.set()

    async def until(self, met):
        async with asyncio.timeout(DEADLINE_S):
            while not met():
                self._news.clear()
                await self._news.wait()


class Explodes:
    """Can be pickled, but not unpickled."""

    def __reduce__(self):
        return _explode, ()


def _explode():
    raise BaseException("boom")  # noqa: TRY002 - as odd as it gets


class Unpicklable:
    def __reduce__(self):
        raise KeyError("no")


class ChannelConformance:
    """The contract that a worker relies on."""

    @pytest.fixture
    def ends(self, make):
        with ExitStack() as stack:
            yield tuple(stack.enter_context(closing(end)) for end in make())

    def run(self, scenario):
        asyncio.run(scenario)

    def test_messages_arrive_in_order_including_those_sent_before_attaching(self, ends):
        async def scenario():
            one, other = ends
            for number in range(5):
                one.send(number)
            listener = Listener(other)
            assert listener.heard == []  # never within the call
            for number in range(5, 10):
                one.send(number)
            await listener.until(lambda: len(listener.heard) == 10)
            assert listener.heard == list(range(10))

        self.run(scenario())

    def test_both_ends_can_send(self, ends):
        async def scenario():
            listeners = [Listener(end) for end in ends]
            for number, end in enumerate(ends):
                end.send({"from": number})
            for listener, number in zip(listeners, (1, 0), strict=True):
                await listener.until(lambda heard=listener.heard: heard)
                assert listener.heard == [{"from": number}]

        self.run(scenario())

    def test_parcels_arrive_intact_and_in_order_with_messages(self, ends):
        async def scenario():
            one, other = ends
            Listener(one)
            listener = Listener(other)
            said = []
            for number, size in enumerate((0, 1, 100, 5_000, MAX_PAYLOAD_BYTES) * 5):
                payload = bytes([number]) * size
                one.send({"number": number})
                one.send_parcel(2**40 + number, payload, number)
                said += [{"number": number}, Parcel(2**40 + number, payload, forwarded=number)]
            await listener.until(lambda: len(listener.heard) == len(said))
            assert listener.heard == said
            assert all(type(each.payload) is bytes for each in listener.heard[1::2])

        self.run(scenario())

    def test_unread_parcels_stay_pending_until_the_receiver_attaches(self, ends):
        async def scenario():
            one, other = ends
            sender = Listener(one)
            count = 0
            while one.pending_bytes < 20 * MAX_PAYLOAD_BYTES and count < 100_000:
                one.send_parcel(count, LARGE[:MAX_PAYLOAD_BYTES])
                one.send_parcel(count, b"")
                count += 1
            assert one.pending_bytes >= 20 * MAX_PAYLOAD_BYTES
            taker = Listener(other)
            await sender.until(lambda: sender.reliefs)
            assert one.pending_bytes == 0
            await taker.until(lambda: len(taker.heard) == 2 * count)
            assert [parcel.link for parcel in taker.heard[::2]] == list(range(count))
            assert {len(parcel.payload) for parcel in taker.heard[::2]} == {MAX_PAYLOAD_BYTES}

        self.run(scenario())

    def test_send_never_delivers_synchronously(self, ends):
        async def scenario():
            one, other = ends
            listener = Listener(other)
            one.send("later")
            assert listener.heard == []
            await listener.until(lambda: listener.heard)

        self.run(scenario())

    def test_unread_messages_stay_pending_and_the_sender_is_relieved_once(self, ends):
        async def scenario():
            one, other = ends
            sender = Listener(one)
            count = 0
            while one.pending_bytes < 2 * len(LARGE) and count < 100_000:
                one.send(LARGE)
                count += 1
            assert one.pending_bytes >= 2 * len(LARGE)
            await asyncio.sleep(0)
            assert sender.reliefs == 0
            taker = Listener(other)
            await sender.until(lambda: sender.reliefs)
            assert one.pending_bytes == 0
            await taker.until(lambda: len(taker.heard) == count)
            assert sender.reliefs == 1

        self.run(scenario())

    def test_drain_leaves_nothing_pending_and_messages_arrive_after_close(self, ends):
        async def scenario():
            one, other = ends
            for number in range(10):
                one.send(number)
            one.drain(DEADLINE_S)
            assert one.pending_bytes == 0
            one.close()
            listener = Listener(other)
            await listener.until(lambda: listener.ends)
            assert listener.heard == list(range(10))

        self.run(scenario())

    def test_end_is_reported_once_after_the_last_message(self, ends):
        async def scenario():
            one, other = ends
            listener = Listener(other)
            one.send("last")
            one.close()
            await listener.until(lambda: listener.ends)
            assert listener.heard == ["last"]
            assert listener.ends == [None]
            await asyncio.sleep(0)
            assert listener.ends == [None]

        self.run(scenario())

    def test_closed_end_receives_nothing_more(self, ends):
        async def scenario():
            one, other = ends
            listener, sender = Listener(other), Listener(one)
            one.send("too late")
            other.close()
            await sender.until(lambda: sender.ends)
            assert listener.heard == []
            assert listener.ends == []

        self.run(scenario())

    def test_sending_to_a_closed_end_raises_os_error(self, ends):
        one, other = ends
        other.close()
        with pytest.raises(OSError):
            one.send("anybody there?")
        with pytest.raises(OSError):
            one.send_parcel(1, b"anybody there?")


class Pickles(ChannelConformance):
    """What a channel that pickles guarantees in addition."""

    def test_unpicklable_message_raises_and_leaves_the_channel_usable(self, ends):
        async def scenario():
            one, other = ends
            with pytest.raises(KeyError):
                one.send(Unpicklable())
            listener = Listener(other)
            one.send("next")
            await listener.until(lambda: listener.heard)
            assert listener.heard == ["next"]

        self.run(scenario())

    def test_unreadable_message_ends_the_channel(self, ends):
        async def scenario():
            one, other = ends
            for message in ("before", Explodes(), "after"):
                one.send(message)
            listener = Listener(other)
            await listener.until(lambda: listener.ends)
            assert listener.heard == ["before"]
            assert listener.ends == ["BaseException: boom"]

        self.run(scenario())


class TestSockets(Pickles):
    @pytest.fixture
    def make(self):
        return sockets


class TestPickledMemory(Pickles):
    @pytest.fixture
    def make(self):
        return pickled_memory


class TestMemory(ChannelConformance):
    @pytest.fixture
    def make(self):
        return memory
