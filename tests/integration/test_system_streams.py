"""Streams of the system's network: buffers, resets, and how they close."""

import asyncio
import fcntl
import select
import socket
import sys
from array import array

import pytest
from system_network import Collector, ended, few_descriptors, pair, run, serving

from cluster_kit import Endpoint, NetworkError, NetworkFault
from cluster_kit.network import streams

SIOCOUTQNSD = 0x894B  # <linux/sockios.h>


def test_socket_that_connects_to_itself_is_refused(monkeypatch):
    """The kernel does that if the dialled port is the ephemeral one it picks; here it is bound."""
    ports = []

    class Bound(socket.socket):
        def __init__(self, *args):
            super().__init__(*args)
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.bind(("127.0.0.1", ports[0]))

    async def scenario(network):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            ports.append(sock.getsockname()[1])
        monkeypatch.setattr(streams.socket, "socket", Bound)
        with pytest.raises(NetworkError, match="refused") as caught:
            await network.dial(Endpoint("127.0.0.1", ports[0]))
        monkeypatch.undo()
        assert caught.value.fault is NetworkFault.REFUSED

    run(scenario)


def test_dial_without_descriptors_says_so():
    async def scenario(network):
        async with serving(network) as (listener, _):
            with few_descriptors(), pytest.raises(NetworkError) as caught:
                await network.dial(listener.here)
            assert caught.value.fault is NetworkFault.EXHAUSTED

    run(scenario)


def test_reader_that_raises_loses_its_stream(caplog):
    async def scenario(network):
        here, there = await pair(network)

        class Broken(Collector):
            def received(self, data):
                raise ValueError("a fault of ours")

        told = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: told.append(context["exception"])
        )
        broken, whole = Broken(there), Collector(here)
        here.send(b"x")
        await ended(broken)
        await ended(whole)
        assert [str(error) for error in told] == ["a fault of ours"]

    run(scenario)


def test_data_that_the_system_does_not_take_is_kept_and_sent_later():
    async def scenario(network):
        here, there = await pair(network)
        block = bytes(1 << 20)
        sent = 0
        while not here.unsent_bytes:
            here.send(block)
            sent += len(block)
        here.send(b"the end")
        here.close()
        assert here.unsent_bytes
        here.send(b"too late")
        sender, taker = Collector(here), Collector(there)
        await ended(sender)
        await ended(taker)
        assert len(taker.data) == sent + len(b"the end")
        assert taker.data.endswith(b"the end")
        assert (sender.losses, taker.losses, here.unsent_bytes) == (1, 1, 0)

    run(scenario)


@pytest.mark.skipif(
    sys.platform != "linux", reason="asks the Linux kernel what it has not sent yet"
)
def test_kernel_keeps_little_that_it_does_not_send():
    async def scenario(network):
        here, there = await pair(network)
        Collector(here)
        while here.unsent_bytes < 4 * streams.NOT_SENT_BYTES:
            here.send(bytes(65536))
            await asyncio.sleep(0)
        count = array("i", [0])
        fcntl.ioctl(here._sock, SIOCOUTQNSD, count)
        assert count[0] < 2 * streams.NOT_SENT_BYTES
        here.abort()
        there.abort()

    run(scenario)


def test_abort_with_unsent_bytes_ends_at_once_and_once():
    async def scenario(network):
        here, there = await pair(network)
        sender = Collector(here)
        while not here.unsent_bytes:
            here.send(bytes(1 << 20))
        here.close()
        here.abort()
        here.abort()
        assert sender.losses == 0
        await ended(sender)
        await asyncio.sleep(0)
        assert (sender.losses, here.unsent_bytes) == (1, 0)
        there.abort()

    run(scenario)


def test_data_from_before_a_reset_is_received_even_after_a_failed_send():
    """A peer that says goodbye and closes with unread data makes its system reset."""

    async def scenario(network):
        here, there = await pair(network)
        here.send(b"never read")
        select.select([there._sock], [], [])
        there.send(b"goodbye")
        there.abort()
        for _ in range(100):
            here.send(b"x")
        late = Collector(here)
        assert late.losses == 0
        await ended(late)
        assert (bytes(late.data), late.losses, here.unsent_bytes) == (b"goodbye", 1, 0)

    run(scenario)


def test_stream_that_closes_swallows_what_the_other_end_says_until_that_closes():
    async def scenario(network):
        here, there = await pair(network)
        closing = Collector(here)
        here.send(b"goodbye")
        here.close()
        for _ in range(100):  # a reset would make one of them fail
            assert there._sock.send(b"x") == 1
            await asyncio.sleep(0)
        assert not closing.losses
        other = Collector(there)
        await ended(other)
        await ended(closing)
        assert (bytes(other.data), bytes(closing.data), closing.losses) == (b"goodbye", b"", 1)

    run(scenario)


def test_stream_that_closes_does_not_wait_for_ever_for_the_other_end():
    async def scenario(network):
        here, there = await pair(network)
        closing = Collector(here)
        here.close()
        await ended(closing)
        assert here._sock.fileno() == -1
        there.abort()

    run(scenario)


def test_stream_that_is_reset_while_it_closes_ends():
    async def scenario(network):
        here, there = await pair(network)
        sender = Collector(here)
        while not here.unsent_bytes:
            here.send(bytes(1 << 20))
        here.close()
        there.abort()
        await ended(sender)
        assert (sender.losses, here.unsent_bytes) == (1, 0)

    run(scenario)


def test_streams_are_sent_without_delay():
    async def scenario(network):
        for stream in await pair(network):
            assert stream._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            stream.abort()

    run(scenario)
