"""Multicast groups and datagrams of the system's network."""

import asyncio
import socket

import pytest
from system_network import run

from cluster_kit import Group, NetworkError, NetworkFault
from cluster_kit.network.datagrams import BATCH


@pytest.mark.parametrize(
    ("group", "fault"),
    [
        (Group("230.1.1.251", 45000, via="192.0.2.1", heard_on="127.0.0.1"), NetworkFault.NOT_OURS),
        (Group("230.1.1.251", 45000, via="127.0.0.1", heard_on="192.0.2.1"), NetworkFault.NOT_OURS),
        (Group("ff12::1", 45000, via="::1%nosuch0", heard_on="::1%nosuch0"), NetworkFault.NOT_OURS),
    ],
)
def test_joining_where_that_is_not_possible(group, fault):
    async def scenario(network):
        with pytest.raises(NetworkError) as caught:
            await network.join(group, max_bytes=100)
        assert caught.value.fault is fault

    run(scenario)


def test_group_port_of_a_program_that_does_not_share_it():
    async def scenario(network):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("230.1.1.251", 0))
            group = Group(
                "230.1.1.251", sock.getsockname()[1], via="127.0.0.1", heard_on="127.0.0.1"
            )
            with pytest.raises(NetworkError) as caught:
                await network.join(group, max_bytes=100)
            assert caught.value.fault is NetworkFault.IN_USE

    run(scenario)


def test_datagrams_arrive_in_order_and_no_more_after_a_pause():
    async def scenario(network):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        here = await network.join(
            Group("230.1.1.251", port, via="127.0.0.1", heard_on="127.0.0.1"), max_bytes=2
        )
        calls = []
        news = asyncio.Event()

        def hear(datagrams):
            calls.append(list(datagrams))
            here.pause()
            news.set()

        sent = [b"%d" % number for number in range(2 * BATCH)] + [b"1234"]
        for data in sent:
            here.send(data)
        while sum(map(len, calls)) < len(sent):
            count = len(calls)
            here.listen(hear)
            await news.wait()
            news.clear()
            await asyncio.sleep(0)
            assert len(calls) == count + 1
            assert len(calls[-1]) <= BATCH
        assert [datagram for call in calls for datagram in call] == [
            (data[:3], here.here) for data in sent
        ]
        here.send(b"5" * 65000, here.here._replace(host="127.0.0.2"))
        with pytest.raises(NetworkError) as caught:
            here.send(b"6" * 70000)
        assert caught.value.fault is NetworkFault.FAILED
        here.close()
        here.close()

    run(scenario)


def test_datagrams_that_are_closed_may_be_paused():
    async def scenario(network):
        datagrams = await network.join(
            Group("239.192.7.9", 45999, via="127.0.0.1", heard_on="127.0.0.1"), max_bytes=10
        )
        datagrams.listen(lambda *_: None)
        datagrams.close()
        datagrams.pause()
        datagrams.close()

    run(scenario)
