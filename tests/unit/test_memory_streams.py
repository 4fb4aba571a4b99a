"""Faults of the network in memory that streams meet, and dials."""

import asyncio

import pytest
from memory_hosts import PORT, Reader, connected, now, play

from cluster_kit import Endpoint, NetworkError, NetworkFault
from cluster_kit.testing import (
    BlackHole,
    Cut,
    Delay,
    Drop,
    Refuse,
    SlowReader,
)
from cluster_kit.testing.memory.dialing import BACKLOG


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
