"""The network in memory: its faults one by one, and processes that freeze and die."""

import asyncio
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from cluster_kit import Endpoint, Group, NetworkError, NetworkFault, StreamReader
from cluster_kit.testing import (
    BlackHole,
    Cut,
    Delay,
    Drop,
    Duplicate,
    MemoryNetwork,
    Refuse,
    Reorder,
    SlowReader,
    Timeline,
    VirtualLoop,
    run_virtually,
)
from cluster_kit.testing.memory.dialing import BACKLOG
from cluster_kit.testing.memory.network import LOOPBACK_LATENCY_S

PORT = 4370


class Reader(StreamReader):
    def __init__(self, stream):
        self.stream = stream
        self.got = []
        self.ended_s = None
        self.end = asyncio.Event()
        stream.start(self)

    @property
    def data(self):
        return b"".join(data for _, data in self.got)

    def received(self, data):
        self.got.append((now(), bytes(data)))

    def lost(self):
        assert self.ended_s is None
        self.ended_s = now()
        self.end.set()


def now():
    return asyncio.get_running_loop().time()


async def connected(ann, bob):
    """Return both ends of a stream, and their readers."""
    listener = await bob.listen(Endpoint(bob.addresses[0], PORT))
    accepted = asyncio.Queue()
    listener.start(accepted.put_nowait)
    ours = await ann.dial(listener.here)
    theirs = await accepted.get()
    return ours, theirs, Reader(ours), Reader(theirs)


async def group_of(*hosts):
    """Join the hosts to a group; return the datagrams of each, and what each hears."""
    members = []
    for host in hosts:
        datagrams = await host.join(
            Group("239.1.1.1", PORT, host.addresses[0], host.addresses[0]), max_bytes=100
        )
        heard = []
        datagrams.listen(
            lambda datagrams, heard=heard: heard.extend((now(), data) for data, _ in datagrams)
        )
        members.append((datagrams, heard))
    return members


def play(scenario, *, hosts=2, seed=7):
    memory = MemoryNetwork(seed=seed)
    machines = [
        memory.host(f"10.0.0.{number}", names=[f"host{number}"]) for number in range(1, hosts + 1)
    ]
    return run_virtually(scenario(memory, *machines))


def texts(heard):
    return [data for _, data in heard]


# Faults on datagrams


def test_without_faults_every_datagram_is_heard_by_all_at_once_and_in_order():
    async def scenario(memory, ann, bob, cat):
        (said, own), (_, bobs), (_, cats) = await group_of(ann, bob, cat)
        for number in range(10):
            said.send(b"%d" % number)
        await asyncio.sleep(1)
        assert bobs == cats
        assert texts(own) == texts(bobs)
        assert texts(bobs) == [b"%d" % number for number in range(10)]

    play(scenario, hosts=3)


def test_drop_loses_its_fraction():
    async def scenario(memory, ann, bob):
        (said, own), (_, bobs) = await group_of(ann, bob)
        memory.add(Drop(0.25))
        for number in range(4000):
            said.send(b"%d" % number)
            said.send(b"%d" % number, Endpoint("10.0.0.2", 9))
        await asyncio.sleep(1)
        assert len(own) == 4000  # nothing goes wrong within a machine
        assert 0.70 < len(bobs) / 4000 < 0.80

    play(scenario)


def test_delay_adds_to_the_latency_and_keeps_the_order():
    async def scenario(memory, ann, bob):
        (said, _), (_, bobs) = await group_of(ann, bob)
        memory.add(Delay(2.0, jitter_s=1.0), ann, bob)
        for number in range(100):
            said.send(b"%d" % number)
            await asyncio.sleep(0.01)
        await asyncio.sleep(5)
        assert texts(bobs) == [b"%d" % number for number in range(100)]
        assert all(2.0 < at_s - 0.01 * number < 3.1 for number, (at_s, _) in enumerate(bobs))
        assert len({round(at_s - 0.01 * number, 3) for number, (at_s, _) in enumerate(bobs)}) > 5

    play(scenario)


def test_duplicate_and_reorder_do_what_they_say():
    async def scenario(memory, ann, bob):
        (said, _), (_, bobs) = await group_of(ann, bob)
        twice = memory.add(Duplicate(1.0))
        said.send(b"twice")
        await asyncio.sleep(1)
        memory.remove(twice)
        memory.add(Reorder(0.5, by_s=0.1))
        sent = [b"%d" % number for number in range(20)]
        for text in sent:
            said.send(text)
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)
        assert texts(bobs)[:2] == [b"twice", b"twice"]
        assert sorted(texts(bobs)[2:]) == sorted(sent)
        assert texts(bobs)[2:] != sent

    play(scenario)


def test_a_cut_works_one_way_or_both_until_it_is_removed():
    async def scenario(memory, ann, bob):
        (ours, anns), (theirs, bobs) = await group_of(ann, bob)

        async def heard_by_the_other():
            anns.clear(), bobs.clear()
            ours.send(b"a")
            theirs.send(b"b")
            await asyncio.sleep(1)
            return b"b" in texts(anns), b"a" in texts(bobs)

        one_way = memory.add(Cut(), ann, bob)
        assert await heard_by_the_other() == (True, False)
        memory.remove(one_way)
        assert await heard_by_the_other() == (True, True)
        both = memory.add(Cut(), ann, bob, both_ways=True)
        assert await heard_by_the_other() == (False, False)
        memory.remove(both)
        memory.remove(both)
        assert await heard_by_the_other() == (True, True)

    play(scenario)


def test_a_partition_lets_pass_what_stays_within_a_group():
    async def scenario(memory, *hosts):
        members = await group_of(*hosts)
        memory.partition(hosts[:2], hosts[2:4], fault=Cut())
        for number, (datagrams, _) in enumerate(members):
            datagrams.send(b"%d" % number)
        await asyncio.sleep(1)
        assert [sorted(texts(heard)) for _, heard in members] == [[b"0", b"1"]] * 2 + [
            [b"2", b"3"]
        ] * 2 + [[b"4"]]

    play(scenario, hosts=5)


def test_faults_on_one_path_add_up():
    async def scenario(memory, ann, bob):
        (said, _), (_, bobs) = await group_of(ann, bob)
        memory.add(Delay(1.0))
        memory.add(Delay(0.5), ann)
        memory.add(Delay(10.0), bob)
        said.send(b"late")
        await asyncio.sleep(5)
        assert bobs == [(1.5005, b"late")]

    play(scenario)


def test_a_host_without_multicast_hops_is_heard_on_itself_only():
    async def scenario(memory, ann, bob):
        group = Group("239.1.1.1", PORT, "10.0.0.1", "10.0.0.1", hops=0)
        said = await ann.join(group, max_bytes=100)
        own = []
        said.listen(lambda datagrams: own.extend(data for data, _ in datagrams))
        ((_, bobs),) = await group_of(bob)
        said.send(b"here")
        await asyncio.sleep(1)
        assert own == [b"here"]
        assert bobs == []

    play(scenario)


def test_a_member_that_joins_later_receives_what_is_sent_later():
    async def scenario(memory, ann, bob):
        ((said, _),) = await group_of(ann)
        said.send(b"early")
        await asyncio.sleep(1)
        ((_, bobs),) = await group_of(bob)
        said.send(b"late")
        await asyncio.sleep(1)
        assert texts(bobs) == [b"late"]

    play(scenario)


def test_waiting_datagrams_are_received_before_new_ones():
    async def scenario(memory, ann, bob):
        ((said, heard),) = await group_of(ann)
        said.pause()
        said.send(b"1")
        await asyncio.sleep(1)

        def hear(datagrams):
            heard.extend((now(), data) for data, _ in datagrams)

        asyncio.get_running_loop().call_at(now() + LOOPBACK_LATENCY_S, said.listen, hear)
        said.send(b"2")
        await asyncio.sleep(1)
        assert texts(heard) == [b"1", b"2"]

    play(scenario)


# Faults on streams


def test_streams_survive_loss_and_jitter():
    async def scenario(memory, ann, bob):
        memory.add(Drop(0.3))
        memory.add(Delay(0.01, jitter_s=0.1))
        ours, _theirs, _, reader = await connected(ann, bob)
        data = bytes(range(256)) * 2000
        for at in range(0, len(data), 1000):
            ours.send(data[at : at + 1000])
        ours.close()
        await reader.end.wait()
        assert reader.data == data
        assert reader.ended_s > 1  # it took some packets sent again

    play(scenario)


def test_lost_packets_are_sent_again_with_growing_pauses():
    async def scenario(memory, ann, bob):
        ours, _, _, _ = await connected(ann, bob)
        memory.add(Cut(), ann)
        before = ann.traffic.packets_sent
        ours.send(b"lost")
        await asyncio.sleep(60)
        assert 7 <= ann.traffic.packets_sent - before <= 10  # after 0.2, 0.6, 1.4 s and so on

    play(scenario)


def test_a_received_view_is_overwritten():
    async def scenario(memory, ann, bob):
        ours, theirs, _, reader = await connected(ann, bob)
        lent = []
        reader.received = lent.append
        ours.send(b"lent")
        await asyncio.sleep(1)
        assert len(lent[0]) == 4
        assert bytes(lent[0]) != b"lent"
        theirs.close()

    play(scenario)


def test_a_mended_cut_delivers_what_waited():
    async def scenario(memory, ann, bob):
        ours, theirs, _, reader = await connected(ann, bob)
        cut = memory.add(Cut(), ann, bob, both_ways=True)
        ours.send(b"one")
        await asyncio.sleep(10)
        ours.send(b"two")
        assert reader.got == []
        memory.remove(cut)
        await asyncio.sleep(60)
        assert reader.data == b"onetwo"
        assert reader.ended_s is None
        theirs.close()

    play(scenario)


def test_a_stream_that_is_cut_for_too_long_breaks():
    async def scenario(memory, ann, bob):
        ours, theirs, reader, other = await connected(ann, bob)
        memory.add(Cut(), ann, bob, both_ways=True)
        ours.send(b"lost")
        await reader.end.wait()
        assert 900 < reader.ended_s < 1100
        assert other.ended_s is None  # the other end was not notified
        theirs.abort()

    play(scenario)


def test_sending_to_an_end_that_is_gone_is_answered_by_a_reset():
    async def scenario(memory, ann, bob):
        ours, theirs, reader, _ = await connected(ann, bob)
        cut = memory.add(Cut())
        theirs.abort()  # the reset is lost
        await asyncio.sleep(1)
        memory.remove(cut)
        await asyncio.sleep(1)
        assert reader.ended_s is None
        ours.send(b"are you there?")
        await reader.end.wait()

    play(scenario)


def test_refuse_and_black_hole_concern_new_streams_only():
    async def scenario(memory, ann, bob):
        ours, _, _, reader = await connected(ann, bob)
        refuse = memory.add(Refuse(), ann, bob)
        with pytest.raises(NetworkError) as refused:
            await ann.dial(Endpoint("10.0.0.2", PORT))
        memory.remove(refuse)
        began_s = now()
        memory.add(BlackHole(), ann, bob)
        with pytest.raises(NetworkError) as timed_out:
            await ann.dial(Endpoint("10.0.0.2", PORT))
        assert refused.value.fault is NetworkFault.REFUSED
        assert timed_out.value.fault is NetworkFault.TIMEOUT
        assert now() - began_s == pytest.approx(127)
        ours.send(b"still works")
        await asyncio.sleep(1)
        assert reader.data == b"still works"
        ours.close()

    play(scenario)


def test_a_dial_into_a_cut_gets_through_when_it_is_mended():
    async def scenario(memory, ann, bob):
        listener = await bob.listen(Endpoint("0.0.0.0", PORT))
        cut = memory.add(Cut())
        dialling = asyncio.create_task(ann.dial(Endpoint("10.0.0.2", PORT)))
        await asyncio.sleep(2)
        memory.remove(cut)
        stream = await dialling
        assert 2 < now() < 4
        stream.close()
        await listener.close()

    play(scenario)


def test_a_dial_that_is_cancelled_as_it_succeeds_leaves_no_stream():
    async def scenario(memory, ann, bob):
        listener = await bob.listen(Endpoint("10.0.0.2", PORT))
        accepted = asyncio.Queue()
        listener.start(accepted.put_nowait)
        loop, there_s = asyncio.get_running_loop(), now() + 0.0005
        dialling = asyncio.create_task(ann.dial(Endpoint("10.0.0.2", PORT)))
        loop.call_at(there_s + 0.0001, loop.call_at, there_s + 0.0005, dialling.cancel)
        with pytest.raises(asyncio.CancelledError):
            await dialling
        reader = Reader(await accepted.get())
        await reader.end.wait()

    play(scenario)


def test_a_full_backlog_lets_dials_wait():
    async def scenario(memory, ann, bob):
        listener = await bob.listen(Endpoint("10.0.0.2", PORT))
        dials = [asyncio.create_task(ann.dial(Endpoint("10.0.0.2", PORT))) for _ in range(BACKLOG)]
        await asyncio.wait(dials)
        late = asyncio.create_task(ann.dial(Endpoint("10.0.0.2", PORT)))
        await asyncio.sleep(10)
        assert not late.done()
        listener.start(lambda stream: None)
        await late
        await listener.close()

    play(scenario)


@pytest.mark.parametrize(
    ("to", "fault", "after_s"),
    [
        ("10.0.0.9", NetworkFault.UNREACHABLE, 3),
        ("fd00::1", NetworkFault.UNREACHABLE, 0),
        ("no-such-host", NetworkFault.NO_SUCH_NAME, 0),
    ],
)
def test_an_address_without_host_is_unreachable(to, fault, after_s):
    async def scenario(memory, ann, bob):
        with pytest.raises(NetworkError) as caught:
            await ann.dial(Endpoint(to, PORT))
        assert caught.value.fault is fault
        assert now() == after_s

    play(scenario)


def test_data_for_a_slow_reader_piles_up_at_the_sender():
    async def scenario(memory, ann, bob):
        ours, theirs, _, reader = await connected(ann, bob)
        slow = memory.add(SlowReader(10_000), ann, bob)
        ours.send(bytes(500_000))
        await asyncio.sleep(10)
        assert 90_000 < len(reader.data) < 110_000
        assert ours.unsent_bytes > 100_000
        memory.remove(slow)
        await asyncio.sleep(1)
        assert len(reader.data) == 500_000
        assert ours.unsent_bytes == 0
        theirs.close()

    play(scenario)


@pytest.mark.parametrize(
    "make", [lambda: Drop(1.1), lambda: Delay(-1), lambda: Delay(1, -1), lambda: SlowReader(0)]
)
def test_an_invalid_fault_is_refused(make):
    with pytest.raises(ValueError, match="write"):
        make()


# Processes of their own


class Machine:
    """A host with a process on it."""

    def __init__(self, memory, number):
        self.host = memory.host(f"10.0.0.{number}")
        self.loop = VirtualLoop(memory.timeline, name=f"process {number}")

    def run(self, coroutine):
        return self.loop.create_task(coroutine)


@pytest.fixture
def machines():
    """Return two machines, of which the first has dialled the second."""
    timeline = Timeline()
    memory = MemoryNetwork(timeline=timeline)
    ann, bob = Machine(memory, 1), Machine(memory, 2)
    ann.memory = memory

    async def serve():
        listener = await bob.host.listen(Endpoint("10.0.0.2", PORT))
        bob.readers = []
        listener.start(lambda stream: bob.readers.append(Reader(stream)))

    async def dial():
        ann.stream = await ann.host.dial(Endpoint("10.0.0.2", PORT))
        ann.reader = Reader(ann.stream)

    bob.run(serve())
    timeline.run(1)
    ann.run(dial())
    timeline.run(2)
    yield timeline, ann, bob
    assert not timeline.unhandled
    timeline.close()


def test_each_end_is_called_in_the_loop_of_its_process(machines):
    timeline, ann, bob = machines
    loops = []
    bob.readers[0].received = lambda data: loops.append(asyncio.get_running_loop())
    ann.stream.send(b"hello")
    timeline.run(3)
    assert loops == [bob.loop]


def test_the_kernel_of_a_frozen_process_accepts_and_receives_but_nothing_is_read(machines):
    timeline, ann, bob = machines
    bob.loop.pause()

    async def dial_again():
        stream = await ann.host.dial(Endpoint("10.0.0.2", PORT))
        stream.send(b"to the second")

    ann.run(dial_again())
    ann.stream.send(b"to the first")
    ann.stream.send(bytes(1_000_000))
    timeline.run(10)
    assert bob.readers[0].got == []
    assert len(bob.readers) == 1
    assert ann.stream.unsent_bytes > 500_000
    bob.loop.resume()
    timeline.run(11)
    assert bob.readers[0].data == b"to the first" + bytes(1_000_000)
    assert bob.readers[1].data == b"to the second"


def test_a_frozen_process_gets_the_datagrams_that_fit_in_its_kernel(machines):
    timeline, ann, bob = machines
    ann_joins, bob_joins = ann.run(group_of(ann.host)), bob.run(group_of(bob.host))
    timeline.run(3)
    ((said, _),), ((_, heard),) = ann_joins.result(), bob_joins.result()
    bob.loop.pause()
    for number in range(1000):
        said.send(b"%d" % number)
    timeline.run(4)
    assert heard == []
    bob.loop.resume()
    timeline.run(5)
    assert texts(heard) == [b"%d" % number for number in range(len(heard))]
    assert 400 < len(heard) < 600


def test_the_streams_of_a_killed_process_are_reset_and_its_port_is_free(machines):
    timeline, ann, bob = machines
    refused = []

    async def dial_again():
        try:
            await ann.host.dial(Endpoint("10.0.0.2", PORT))
        except NetworkError as error:
            refused.append(error.fault)

    bob.loop.kill()
    ann.run(dial_again())
    timeline.run(3)
    assert ann.reader.ended_s is not None
    assert refused == [NetworkFault.REFUSED]
    assert bob.readers[0].ended_s is None  # nothing of it runs any more
    again = VirtualLoop(timeline, name="again")
    listening = again.create_task(bob.host.listen(Endpoint("10.0.0.2", PORT)))
    timeline.run(4)
    assert listening.result().here == Endpoint("10.0.0.2", PORT)


def test_a_process_that_is_killed_while_it_dials_opens_nothing(machines):
    timeline, ann, bob = machines
    ann.run(ann.host.dial(Endpoint("10.0.0.2", PORT)))
    timeline.call_at(2.0007, ann.loop.kill)  # on the way back
    timeline.run(3)
    assert len(bob.readers) == 1


def test_a_process_killed_while_cut_off_is_noticed_when_its_peer_sends(machines):
    timeline, ann, bob = machines
    cut = ann.memory.add(Cut())
    bob.loop.kill()
    timeline.run(10)
    assert ann.reader.ended_s is None
    ann.memory.remove(cut)
    timeline.run(11)
    assert ann.reader.ended_s is None
    ann.loop.call_soon(ann.stream.send, b"are you there?")
    timeline.run(12)
    assert ann.reader.ended_s is not None


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


def test_it_needs_virtual_time():
    memory = MemoryNetwork()
    with pytest.raises(RuntimeError, match="needs virtual time"):
        asyncio.run(memory.host("10.0.0.1").dial(Endpoint("10.0.0.1", 1)))


def test_it_serves_one_timeline_only():
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
