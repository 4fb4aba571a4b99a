"""Faults of the network in memory that datagrams meet."""

import asyncio

from memory_hosts import PORT, group_of, now, play, texts

from cluster_kit import Endpoint, Group
from cluster_kit.testing import (
    Cut,
    Delay,
    Drop,
    Duplicate,
    Reorder,
)
from cluster_kit.testing.memory.network import LOOPBACK_LATENCY_S


def test_datagrams_reach_all_members_in_order_without_faults():
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


def test_datagrams_without_multicast_hops_stay_on_the_host():
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
