"""``NetworkConformance``: the contract of ``cluster_kit.network``, one test for each rule."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from random import Random

from cluster_kit.errors import NetworkFault
from cluster_kit.network import Endpoint, Network
from cluster_kit.testing.contract import contract
from cluster_kit.testing.network_stage import Hearer
from cluster_kit.testing.network_streams import NOT_OURS, StreamRules

MAX_BYTES = 100
_YEAR_2020_S = 1_577_836_800.0

OWN = "It has an address of its own, from which it sends and at which others answer"
PAUSE = "Let what comes in wait, as long as there is room for it."


class NetworkConformance(StreamRules):
    """Subclass it as ``Test...`` and override ``make_network``; every other override is optional.

    No rule is about speed: a network may be slow, and run in virtual time.
    """

    # Datagrams

    @contract("Call ``hear`` with each datagram to the group or to the own address, and where it came from")
    def test_a_group_is_heard_by_all_who_joined(self) -> None:
        """What is sent to the group is heard by everyone in it, on any machine, and comes from the own address."""

        async def scenario(ann: Network, bob: Network) -> None:
            port = await self.free_port(ann, self.address)
            async with (
                self.joined(ann, port, self.address) as (said, _),
                self.joined(ann, port, self.address) as (_, beside),
                self.joined(bob, port, self.other_address) as (_, across),
            ):
                for hearer in (beside, across):
                    assert set(await self.say(said, b"all", hearer)) == {said.here}

        self.play(scenario)

    @contract("What is sent to the group is heard by its sender as well.")
    def test_a_sender_hears_itself(self) -> None:
        """What is sent to the group is heard by its sender as well."""

        async def scenario(ann: Network, bob: Network) -> None:
            port = await self.free_port(ann, self.address)
            async with self.joined(ann, port, self.address) as (said, hearer):
                assert set(await self.say(said, b"me", hearer)) == {said.here}

        self.play(scenario)

    @contract("Sends and hears datagrams of one group")
    def test_another_group_is_not_heard(self) -> None:
        """What is sent to the group of another port is not heard."""

        async def scenario(ann: Network, bob: Network) -> None:
            port, other_port = [await self.free_port(ann, self.address) for _ in range(2)]
            async with (
                self.joined(ann, port, self.address) as (said, _),
                self.joined(ann, other_port, self.address) as (said_elsewhere, hearer),
            ):
                said.send(b"foreign")
                await self.say(said_elsewhere, b"own", hearer)
                assert not hearer.sources_of(b"foreign")

        self.play(scenario)

    @contract(OWN)
    def test_the_own_address_leads_to_one_only(self) -> None:
        """What is sent to an own address is heard there and nowhere else, also among the processes of one machine."""

        async def scenario(ann: Network, bob: Network) -> None:
            port = await self.free_port(ann, self.address)
            async with (
                self.joined(ann, port, self.address) as (_, beside),
                self.joined(ann, port, self.address) as (asked, hearer),
                self.joined(bob, port, self.other_address) as (asking, _),
            ):
                assert set(await self.say(asking, b"for you", hearer, asked.here)) == {asking.here}
                await self.say(asking, b"for all", beside)
                assert not beside.sources_of(b"for you"), "what was sent to one was heard by another"

        self.play(scenario)

    @contract(OWN)
    def test_an_answer_reaches_who_sent_to_the_group(self) -> None:
        """Where a datagram of the group came from is where its sender answers."""

        async def scenario(ann: Network, bob: Network) -> None:
            port = await self.free_port(ann, self.address)
            async with (
                self.joined(ann, port, self.address) as (asking, answers),
                self.joined(bob, port, self.other_address) as (answering, hearer),
            ):
                (source, *_) = await self.say(asking, b"who is there?", hearer)
                assert set(await self.say(answering, b"bob", answers, source)) == {answering.here}

        self.play(scenario)

    @contract("Of one that is longer than the ``max_bytes`` asked for, only one byte more than these is given.")
    def test_of_what_is_too_long_one_byte_more_is_given(self) -> None:
        """A datagram as long as asked for is given whole; of a longer one, one byte more than that."""

        async def scenario(ann: Network, bob: Network) -> None:
            port = await self.free_port(ann, self.address)
            async with self.joined(ann, port, self.address, max_bytes=MAX_BYTES) as (said, hearer):
                await self.say(said, bytes(MAX_BYTES), hearer)
                said.send(b"x" * 2 * MAX_BYTES)
                await hearer.until(lambda: hearer.heard[-1][0][:1] == b"x", "a datagram that is too long")
                assert hearer.heard[-1][0] == b"x" * (MAX_BYTES + 1), f"{len(hearer.heard[-1][0])} bytes were given"

        self.play(scenario)

    @contract(PAUSE)
    def test_nothing_is_heard_before_listen_and_while_paused(self) -> None:
        """What comes in waits until ``listen``, also after ``pause``."""

        async def scenario(ann: Network, bob: Network) -> None:
            port = await self.free_port(ann, self.address)
            async with (
                self.joined(ann, port, self.address) as (said, _),
                self.joined(bob, port, self.other_address) as (_, witness),
            ):
                late = await bob.join(self.make_group(port, self.other_address), max_bytes=MAX_BYTES)
                hearer = Hearer(self.deadline_s)
                await self.say(said, b"before", witness)
                late.listen(hearer.hear)
                await self.say(said, b"first", hearer)
                late.pause()
                late.pause()
                count = len(hearer.heard)
                await self.say(said, b"meanwhile", witness)
                await self.say(said, b"meanwhile too", witness)
                assert len(hearer.heard) == count, f"was heard while paused: {hearer}"
                late.listen(hearer.hear)
                await hearer.until(lambda: bool(hearer.sources_of(b"meanwhile")), "what waited during the pause")
                assert hearer.sources_of(b"before"), "what was sent before listen is lost, though there was room"
                late.close()

        self.play(scenario)

    @contract("Of several calls the last one counts.")
    def test_of_several_listeners_the_last_one_hears(self) -> None:
        """``listen`` again gives what comes in to the new ear, and to that one only."""

        async def scenario(ann: Network, bob: Network) -> None:
            port = await self.free_port(ann, self.address)
            async with self.joined(ann, port, self.address) as (said, former):
                latter = Hearer(self.deadline_s)
                said.listen(latter.hear)
                await self.say(said, b"heard", latter)
                assert not former.heard, f"the former ear still hears: {former}"

        self.play(scenario)

    @contract(PAUSE)
    def test_pausing_while_hearing_ends_the_hearing(self) -> None:
        """Whoever pauses within ``hear`` hears nothing more, whatever has come in already."""

        async def scenario(ann: Network, bob: Network) -> None:
            port = await self.free_port(ann, self.address)
            async with (
                self.joined(ann, port, self.address) as (said, _),
                self.joined(bob, port, self.other_address) as (_, witness),
            ):
                pausing = await bob.join(self.make_group(port, self.other_address), max_bytes=MAX_BYTES)
                hearer = Hearer(self.deadline_s)

                def hear(data: bytes, source: Endpoint) -> None:
                    hearer.hear(data, source)
                    pausing.pause()

                for _ in range(10):
                    said.send(b"one of many")
                await self.say(said, b"last", witness)
                pausing.listen(hear)
                await hearer.until(lambda: bool(hearer.heard), "one datagram")
                await self.say(said, b"more", witness)
                await self.say(said, b"and more", witness)
                assert len(hearer.heard) == 1, f"was heard after pause: {hearer}"
                pausing.close()

        self.play(scenario)

    @contract("Leave the group, and release everything. Idempotent.")
    def test_nothing_is_heard_after_close(self) -> None:
        """Closed datagrams, which may be closed again, hear nothing any more."""

        async def scenario(ann: Network, bob: Network) -> None:
            port = await self.free_port(ann, self.address)
            async with (
                self.joined(ann, port, self.address) as (said, _),
                self.joined(bob, port, self.other_address) as (_, witness),
            ):
                async with self.joined(bob, port, self.other_address) as (closing, hearer):
                    await self.say(said, b"before", hearer)
                    closing.close()
                    count = len(hearer.heard)
                await self.say(said, b"after", witness)
                await self.say(said, b"after that", witness)
                assert len(hearer.heard) == count, f"was heard after close: {hearer}"

        self.play(scenario)

    @contract("Send to one address, as far as that works")
    def test_a_datagram_that_nobody_takes_is_lost_silently(self) -> None:
        """Sending to one address works as far as it works: it raises nothing, and the group goes on."""

        async def scenario(ann: Network, bob: Network) -> None:
            port = await self.free_port(ann, self.address)
            async with self.joined(ann, port, self.address) as (said, hearer):
                said.send(b"lost", Endpoint(self.other_address, await self.free_port(bob, self.other_address)))
                said.send(b"lost", Endpoint(self.foreign_address, 9))
                await self.say(said, b"heard", hearer)

        self.play(scenario)

    @contract(NOT_OURS)
    def test_joining_at_a_foreign_address_is_told(self) -> None:
        """A group can't be joined on an interface of another machine: ``not ours``."""

        async def scenario(ann: Network, bob: Network) -> None:
            group = self.make_group(await self.free_port(ann, self.address), self.foreign_address)
            error = await self.refusal(ann.join(group, max_bytes=MAX_BYTES), "join at a foreign address")
            assert error.fault is NetworkFault.NOT_OURS

        self.play(scenario)

    # Callbacks

    @contract("Methods are called from the event loop and call back there.")
    def test_all_calls_come_from_the_event_loop(self) -> None:
        """What comes in is handed over in the event loop from which the network was called, in no other thread."""

        async def scenario(ann: Network, bob: Network) -> None:
            port = await self.free_port(ann, self.address)
            async with self.pair(ann, bob) as (ours, theirs), self.joined(ann, port, self.address) as (said, hearer):
                reader = self.reader(theirs)
                ours.send(b"data")
                await reader.got(4)
                ours.close()
                await reader.ended()
                await self.say(said, b"data", hearer)
                assert not reader.strays + hearer.strays, f"called from elsewhere: {reader.strays + hearer.strays}"

        self.play(scenario)

    # Names and addresses

    @contract("an address stands for itself")
    def test_an_address_stands_for_itself(self) -> None:
        """Resolved, an address is itself; and it has no address of the other version."""

        async def scenario(ann: Network, bob: Network) -> None:
            assert list(await ann.resolve(self.other_address)) == [self.other_address]
            assert list(await ann.resolve(self.other_address, version=4)) == [self.other_address]
            error = await self.refusal(ann.resolve(self.other_address, version=6), f"look-up of {self.other_address} by IPv6")
            assert error.fault is NetworkFault.NO_SUCH_NAME

        self.play(scenario)

    @contract("Return the addresses of ``host``, the best first, each once")
    def test_a_name_has_each_address_once(self) -> None:
        """Resolved, a name has addresses, each once; of one version where that is asked for."""

        async def scenario(ann: Network, bob: Network) -> None:
            found = list(await ann.resolve(self.name))
            assert found, f"{self.name} has no address"
            assert len(found) == len(set(found)), f"twice in the answer: {found}"
            of_four = list(await ann.resolve(self.name, version=4))
            assert all(ip_address(address).version == 4 for address in of_four), f"asked for IPv4, got {of_four}"

        self.play(scenario)

    @contract("The host name has no address, or nobody can say which.")
    def test_an_unknown_name_is_told(self) -> None:
        """A name without any address fails with ``no such name``, in one line that says something."""

        async def scenario(ann: Network, bob: Network) -> None:
            error = await self.refusal(ann.resolve("no-such-host.invalid"), "look-up of a name that doesn't exist")
            assert error.fault is NetworkFault.NO_SUCH_NAME
            assert len(str(error).splitlines()) == 1, f"not one line of text: {str(error)!r}"

        self.play(scenario)

    @contract("Whether ``address`` is one of this machine's.")
    def test_own_addresses_are_known(self) -> None:
        """``has_address`` tells the addresses of this machine from others; those of ``interfaces`` are, IPv4 first."""

        async def scenario(ann: Network, bob: Network) -> None:
            assert ann.has_address(self.address)
            assert bob.has_address(self.other_address)
            assert not ann.has_address(self.foreign_address)
            told = [interface.address for interface in ann.interfaces()]
            assert not [address for address in told if "%" in address], f"with a scope: {told}"
            versions = [ip_address(address).version for address in told]
            assert versions == sorted(versions), f"not IPv4 first: {told}"
            assert not told or self.address in told, f"{self.address} is not among the interfaces: {told}"

        self.play(scenario)

    # Time and randomness

    @contract("The time of the event loop is this one.")
    def test_the_clock_is_that_of_the_event_loop(self) -> None:
        """Monotonic time is the time of the event loop; wall time counts from 1970, and moves on."""

        async def scenario(ann: Network, bob: Network) -> None:
            loop = asyncio.get_running_loop()
            before_s, now_s, after_s = loop.time(), ann.clock.monotonic_s(), loop.time()
            assert before_s <= now_s <= after_s, f"{now_s} is not the time of the event loop, {before_s}"
            wall_s = ann.clock.wall_s()
            assert wall_s > _YEAR_2020_S, f"{wall_s} is long ago"
            await asyncio.sleep(0.05)
            assert ann.clock.wall_s() > wall_s

        self.play(scenario)

    @contract("a source of randomness for ``concern``, which no other concern draws from")
    def test_each_concern_has_randomness_of_its_own(self) -> None:
        """No other concern draws from the source of a concern."""

        async def scenario(ann: Network, bob: Network) -> None:
            one, other = ann.random("one concern"), ann.random("another concern")
            assert isinstance(one, Random)
            assert one is not other, "two concerns share a source"
            assert [one.random() for _ in range(4)] != [other.random() for _ in range(4)], "two concerns draw the same"

        self.play(scenario)

    @contract("How many streams one process can hold at the same time.")
    def test_some_streams_fit(self) -> None:
        """``most_streams`` is the number of streams that one process can hold."""

        async def scenario(ann: Network, bob: Network) -> None:
            assert isinstance(ann.most_streams, int)
            assert ann.most_streams > 0

        self.play(scenario)
