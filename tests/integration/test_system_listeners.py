"""Listeners of the system's network: ports, descriptors, and how they close."""

import asyncio
import logging
import socket
from contextlib import contextmanager

import pytest
from system_network import ANY, Collector, ended, few_descriptors, run, serving

from cluster_kit import Endpoint, NetworkError, NetworkFault


@pytest.mark.parametrize(
    ("at", "fault"),
    [
        (Endpoint("192.0.2.1", 0), NetworkFault.NOT_OURS),
        (Endpoint("no-such-host.invalid", 0), NetworkFault.NO_SUCH_NAME),
        (Endpoint("fe80::1%nosuch0", 0), NetworkFault.NOT_OURS),
        (Endpoint("a\0b", 0), NetworkFault.NO_SUCH_NAME),
    ],
)
def test_listening_where_that_is_not_possible(at, fault):
    async def scenario(network):
        with pytest.raises(NetworkError) as caught:
            await network.listen(at)
        assert caught.value.fault is fault

    run(scenario)


def test_port_in_use():
    async def scenario(network):
        async with serving(network) as (listener, _):
            with pytest.raises(NetworkError, match="address already in use") as caught:
                await network.listen(listener.here)
            assert caught.value.fault is NetworkFault.IN_USE

    run(scenario)


@contextmanager
def warnings_of_the_network():
    """Yield an event that is set by the first warning, and what was logged."""
    first, records = asyncio.Event(), []

    class Handler(logging.Handler):
        def emit(self, record):
            records.append(record.getMessage())
            first.set()

    handler = Handler(logging.WARNING)
    log = logging.getLogger("cluster_kit.network")
    log.addHandler(handler)
    try:
        yield first, records
    finally:
        log.removeHandler(handler)


def test_newcomers_wait_while_there_is_no_descriptor_and_come_in_once_there_is():
    async def scenario(network):
        async with serving(network) as (listener, accepted):
            with socket.socket() as sock, warnings_of_the_network() as (warned, records):
                sock.setblocking(False)
                with few_descriptors():
                    await asyncio.get_running_loop().sock_connect(sock, listener.here)
                    await warned.wait()
                    assert accepted.empty()
                (await accepted.get()).abort()
        assert len(records) == 1
        assert "this process has no file descriptor left; raise its limit: ulimit -n" in records[0]

    run(scenario)


def test_listener_that_is_closed_while_it_rests_never_opens_again():
    async def scenario(network):
        async with serving(network) as (listener, accepted):
            with socket.socket() as sock, warnings_of_the_network() as (warned, _):
                sock.setblocking(False)
                with few_descriptors():
                    await asyncio.get_running_loop().sock_connect(sock, listener.here)
                    await warned.wait()
                    await listener.close()
                    await listener.close()
                assert listener._retry.cancelled()
                assert accepted.empty()

    run(scenario)


def test_listener_that_is_closed_by_its_callback_hands_on_no_more():
    async def scenario(network):
        listener = await network.listen(ANY)
        accepted = asyncio.Queue()

        def accept(stream):
            accepted.put_nowait(stream)
            with pytest.raises(StopIteration):
                listener.close().send(None)  # to its end: it has nothing to wait for

        dialled = [await network.dial(listener.here) for _ in range(3)]
        listener.start(accept)
        taken = await accepted.get()
        for stream in dialled[1:]:
            await ended(Collector(stream))
        assert accepted.empty()
        dialled[0].abort()
        taken.abort()

    run(scenario)
