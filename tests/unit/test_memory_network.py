"""The hosts of a network in memory, its clock, and that the same seed gives the same run."""

import asyncio
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from memory_hosts import PORT, connected, group_of, now, play

from cluster_kit import Endpoint
from cluster_kit.testing import (
    Delay,
    Drop,
    MemoryNetwork,
    Reorder,
    run_virtually,
)

# Hosts


def test_names_resolve_to_the_addresses_of_their_hosts():
    async def main():
        memory = MemoryNetwork()
        ann = memory.host("10.0.0.1", "FD00:0::1", names=["ann.example", "all.example"])
        memory.host("10.0.0.2", names=["all.example"])
        assert await ann.resolve("Ann.Example.") == ["10.0.0.1", "fd00::1"]
        assert await ann.resolve("ann.example", version=6) == ["fd00::1"]
        assert await ann.resolve("all.example", version=4) == ["10.0.0.1", "10.0.0.2"]
        assert await ann.resolve("localhost") == ["127.0.0.1", "::1"]
        assert [each.address for each in ann.interfaces()] == [
            "127.0.0.1",
            "10.0.0.1",
            "::1",
            "fd00::1",
        ]

    run_virtually(main())


def test_each_address_of_a_host_has_ports_of_its_own():
    async def main():
        ann = MemoryNetwork().host("10.0.0.1", "10.0.1.1")
        one, other = [await ann.listen(Endpoint(address, PORT)) for address in ann.addresses]
        accepted = asyncio.Queue()
        other.start(lambda stream: accepted.put_nowait(stream.here))
        stream = await ann.dial(Endpoint("10.0.1.1", PORT))
        assert await accepted.get() == stream.there == Endpoint("10.0.1.1", PORT)
        await one.close()

    run_virtually(main())


def test_a_process_that_starts_again_draws_something_new():
    ann, bob = [MemoryNetwork(seed=3).host("10.0.0.1") for _ in range(2)]
    draws = [ann.random("boot").random() for _ in range(2)]
    assert draws[0] != draws[1]
    assert [bob.random("boot").random() for _ in range(2)] == draws


def test_the_wall_clock_of_a_host_can_be_moved():
    async def scenario(memory, ann, bob):
        before_s = ann.clock.wall_s()
        ann.clock.offset_s -= 3600
        await asyncio.sleep(1)
        assert ann.clock.wall_s() == before_s - 3599
        assert bob.clock.wall_s() == before_s + 1
        assert ann.clock.monotonic_s() == bob.clock.monotonic_s() == now()

    play(scenario)


def test_traffic_is_counted_and_packets_can_be_watched():
    async def scenario(memory, ann, bob):
        packets = []
        memory.watch = packets.append
        (said, _), _ = await group_of(ann, bob)
        said.send(b"12345")
        await asyncio.sleep(1)
        assert (ann.traffic.packets_sent, ann.traffic.bytes_sent) == (1, 5)
        assert (bob.traffic.packets_received, bob.traffic.bytes_received) == (1, 5)
        assert [(each.source, each.target, each.size_bytes, each.is_lost) for each in packets] == [
            (ann, ann, 5, False),
            (ann, bob, 5, False),
        ]

    play(scenario)


def test_network_needs_virtual_time():
    memory = MemoryNetwork()
    with pytest.raises(RuntimeError, match="needs virtual time"):
        asyncio.run(memory.host("10.0.0.1").dial(Endpoint("10.0.0.1", 1)))


def test_network_serves_one_timeline_only():
    memory = MemoryNetwork()
    host = memory.host("10.0.0.1")
    run_virtually(host.listen(Endpoint("10.0.0.1", 0)))
    with pytest.raises(RuntimeError, match="make a new one for each run"):
        run_virtually(host.listen(Endpoint("10.0.0.1", 0)))


def test_its_clock_is_right_before_anything_else_is_used():
    async def main():
        memory = network
        await asyncio.sleep(5)
        assert memory.host("10.0.0.1").clock.monotonic_s() == now()

    network = MemoryNetwork()
    run_virtually(main())


@pytest.mark.parametrize("addresses", [(), ("10.0.0.1",), ("127.0.0.1",)])
def test_a_host_needs_addresses_of_its_own(addresses):
    memory = MemoryNetwork()
    memory.host("10.0.0.1")
    with pytest.raises(ValueError, match="unique addresses"):
        memory.host(*addresses)


# Determinism


def trace():
    """Play something with all that is random in it, and return a hash of what happened."""
    memory = MemoryNetwork(seed=11)
    hosts = [memory.host(f"10.0.0.{number}") for number in range(1, 21)]
    memory.add(Drop(0.2))
    memory.add(Delay(0.01, jitter_s=0.05))
    memory.partition(hosts[:7], fault=Reorder(0.3))
    log = []

    async def chatter(number, host, datagrams):
        draw = host.random("pauses").random
        for _ in range(10):
            datagrams.send(b"%d" % number)
            await asyncio.sleep(draw())

    async def main():
        members = await group_of(*hosts)
        chatters = [
            chatter(number, *each)
            for number, each in enumerate(zip(hosts, (m for m, _ in members), strict=True))
        ]
        await asyncio.gather(*chatters)
        ours, _, _, reader = await connected(*hosts[:2])
        ours.send(bytes(100_000))
        ours.close()
        await reader.end.wait()
        log.extend([*(heard for _, heard in members), reader.got, reader.ended_s])

    run_virtually(main())
    return hashlib.sha256(repr(log).encode()).hexdigest()


def test_the_same_seed_gives_the_same_run_in_every_process():
    here = str(Path(__file__).parent)
    script = (
        f"import sys; sys.path.insert(0, {here!r}); import test_memory_network as it; "
        "print(it.trace())"
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
    assert traces == {trace().encode() + b"\n"}
