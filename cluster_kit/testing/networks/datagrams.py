"""The rules of ``NetworkConformance`` on datagrams."""

from __future__ import annotations

from collections.abc import Sequence

from cluster_kit.errors import NetworkFault
from cluster_kit.network import Datagram, Endpoint, Network
from cluster_kit.testing.networks.harness import DatagramRecorder, NetworkHarness
from cluster_kit.testing.networks.streams import IMPOSSIBLE_PORTS, NO_PORT, NOT_OURS
from cluster_kit.testing.rules import contract

MAX_BYTES = 100

OWN = "it has one of its own, from which it sends and at which others answer"
PAUSE = "Call ``hear`` no more; what comes in waits, as far as there is room."


class DatagramRules(NetworkHarness):
    """Datagrams reach a group or one address, and may be lost."""

    @contract("Call ``hear`` with the datagrams to the group or to ``here``")
    async def test_a_group_is_heard_by_all_who_joined(self, ann: Network, bob: Network) -> None:
        """What is sent to the group is heard by everyone in it, on any machine, and comes from the
        own address.
        """
        port = await self.free_port(ann, self.address)
        async with (
            self.joined(ann, port, self.address) as (said, _),
            self.joined(ann, port, self.address) as (_, beside),
            self.joined(bob, port, self.other_address) as (_, across),
        ):
            for hearer in (beside, across):
                assert set(await self.say(said, b"all", hearer)) == {said.here}

    @contract("Call ``hear`` with the datagrams to the group or to ``here``")
    async def test_each_datagram_is_heard_by_itself(self, ann: Network, bob: Network) -> None:
        """Datagrams that are sent right after each other are not joined to one, nor cut."""
        port = await self.free_port(ann, self.address)
        async with (
            self.joined(ann, port, self.address) as (said, _),
            self.joined(bob, port, self.other_address) as (_, hearer),
        ):
            sent = [bytes([number]) * number for number in (MAX_BYTES, 1, 2, 50)]
            for data in sent:
                said.send(data)
            await self.say(said, sent[-1], hearer)
            odd = [data for data, _ in hearer.heard if data not in sent]
            assert not odd, f"was heard, though nobody had sent it: {odd}"

    @contract("What is sent to the group is received by its sender as well.")
    async def test_a_sender_hears_itself(self, ann: Network, bob: Network) -> None:
        """What is sent to the group is received by its sender as well."""
        port = await self.free_port(ann, self.address)
        async with self.joined(ann, port, self.address) as (said, hearer):
            assert set(await self.say(said, b"me", hearer)) == {said.here}

    @contract("Sends and receives datagrams of one group")
    async def test_another_group_is_not_heard(self, ann: Network, bob: Network) -> None:
        """What is sent to the group of another port is not heard."""
        port, other_port = [await self.free_port(ann, self.address) for _ in range(2)]
        async with (
            self.joined(ann, port, self.address) as (said, _),
            self.joined(ann, other_port, self.address) as (said_elsewhere, hearer),
        ):
            said.send(b"foreign")
            await self.say(said_elsewhere, b"own", hearer)
            assert not hearer.sources_of(b"foreign")

    @contract(OWN)
    async def test_the_own_address_leads_to_one_only(self, ann: Network, bob: Network) -> None:
        """What is sent to an own address is heard there and nowhere else, also among the processes
        of one machine.
        """
        port = await self.free_port(ann, self.address)
        async with (
            self.joined(ann, port, self.address) as (_, beside),
            self.joined(ann, port, self.address) as (asked, hearer),
            self.joined(bob, port, self.other_address) as (asking, _),
        ):
            assert set(await self.say(asking, b"for you", hearer, asked.here)) == {asking.here}
            await self.say(asking, b"for all", beside)
            assert not beside.sources_of(b"for you"), "what was sent to one was heard by another"

    @contract(OWN)
    async def test_an_answer_reaches_who_sent_to_the_group(
        self, ann: Network, bob: Network
    ) -> None:
        """Where a datagram of the group came from is where its sender answers."""
        port = await self.free_port(ann, self.address)
        async with (
            self.joined(ann, port, self.address) as (asking, answers),
            self.joined(bob, port, self.other_address) as (answering, hearer),
        ):
            (source, *_) = await self.say(asking, b"who is there?", hearer)
            assert set(await self.say(answering, b"bob", answers, source)) == {answering.here}

    @contract("One that is longer than ``max_bytes`` is cut to one byte more.")
    async def test_of_what_is_too_long_one_byte_more_is_given(
        self, ann: Network, bob: Network
    ) -> None:
        """A datagram as long as asked for is given whole; of a longer one, one byte more than
        that.
        """
        port = await self.free_port(ann, self.address)
        async with self.joined(ann, port, self.address, max_bytes=MAX_BYTES) as (said, hearer):
            await self.say(said, bytes(MAX_BYTES), hearer)
            said.send(b"x" * 2 * MAX_BYTES)
            await hearer.until(
                lambda: hearer.heard[-1][0][:1] == b"x", "a datagram that is too long"
            )
            assert hearer.heard[-1][0] == b"x" * (MAX_BYTES + 1), (
                f"{len(hearer.heard[-1][0])} bytes were given"
            )

    @contract(PAUSE)
    async def test_nothing_is_heard_before_listen_and_while_paused(
        self, ann: Network, bob: Network
    ) -> None:
        """What comes in waits until ``listen``, also after ``pause``."""
        port = await self.free_port(ann, self.address)
        async with (
            self.joined(ann, port, self.address) as (said, _),
            self.joined(bob, port, self.other_address) as (_, witness),
        ):
            late = await bob.join(self.make_group(port, self.other_address), max_bytes=MAX_BYTES)
            hearer = DatagramRecorder(self.deadline_s)
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
            await hearer.until(
                lambda: bool(hearer.sources_of(b"meanwhile")), "what waited during the pause"
            )
            assert hearer.sources_of(b"before"), (
                "what was sent before listen is lost, though there was room"
            )
            late.close()

    @contract("Of several calls the last one counts.")
    async def test_of_several_listeners_the_last_one_hears(
        self, ann: Network, bob: Network
    ) -> None:
        """``listen`` again gives what comes in to the new ear, and to that one only."""
        port = await self.free_port(ann, self.address)
        async with self.joined(ann, port, self.address) as (said, former):
            latter = DatagramRecorder(self.deadline_s)
            said.listen(latter.hear)
            await self.say(said, b"heard", latter)
            assert not former.heard, f"the former ear still hears: {former}"

    @contract(PAUSE)
    async def test_pausing_while_hearing_ends_the_hearing(self, ann: Network, bob: Network) -> None:
        """Whoever pauses within ``hear`` is called no more, whatever comes in; it waits until
        ``listen``.
        """
        port = await self.free_port(ann, self.address)
        async with (
            self.joined(ann, port, self.address) as (said, _),
            self.joined(bob, port, self.other_address) as (_, witness),
        ):
            pausing = await bob.join(self.make_group(port, self.other_address), max_bytes=MAX_BYTES)
            hearer = DatagramRecorder(self.deadline_s)

            calls: list[Sequence[Datagram]] = []

            def hear(datagrams: Sequence[Datagram]) -> None:
                calls.append(datagrams)
                hearer.hear(datagrams)
                pausing.pause()

            for _ in range(10):
                said.send(b"one of many")
            await self.say(said, b"last", witness)
            pausing.listen(hear)
            await hearer.until(lambda: bool(hearer.heard), "a datagram")
            await self.say(said, b"more", witness)
            await self.say(said, b"and more", witness)
            assert len(calls) == 1, f"was heard after pause: {hearer}"
            assert not hearer.sources_of(b"more"), f"what came in after pause was heard: {hearer}"
            pausing.listen(hearer.hear)
            await hearer.until(lambda: bool(hearer.sources_of(b"more")), "what came in after pause")
            pausing.close()

    @contract("Leave the group, and release everything. Idempotent.")
    async def test_nothing_is_heard_after_close(self, ann: Network, bob: Network) -> None:
        """Closed datagrams, which may be closed again, hear nothing any more."""
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

    @contract("Send to one address, without notice of failure")
    async def test_a_datagram_that_nobody_takes_is_lost_silently(
        self, ann: Network, bob: Network
    ) -> None:
        """Sending to one address works as far as it works: it raises nothing, and the group goes
        on.
        """
        port = await self.free_port(ann, self.address)
        async with self.joined(ann, port, self.address) as (said, hearer):
            said.send(
                b"lost", Endpoint(self.other_address, await self.free_port(bob, self.other_address))
            )
            said.send(b"lost", Endpoint(self.foreign_address, 9))
            for impossible in IMPOSSIBLE_PORTS:
                said.send(b"lost", Endpoint(self.other_address, impossible))
            await self.say(said, b"heard", hearer)

    @contract(NO_PORT)
    async def test_joining_at_a_port_that_cannot_be_is_told(
        self, ann: Network, bob: Network
    ) -> None:
        """A group can't have a port out of range."""
        for port in IMPOSSIBLE_PORTS:
            group = self.make_group(port, self.address)
            error = await self.refusal(ann.join(group, max_bytes=MAX_BYTES), f"join at port {port}")
            assert error.fault is NetworkFault.FAILED, (
                f"join at port {port} fails as {error.fault!r}"
            )

    @contract(NOT_OURS)
    async def test_joining_at_a_foreign_address_is_told(self, ann: Network, bob: Network) -> None:
        """A group can't be joined on an interface of another machine: ``not ours``."""
        group = self.make_group(await self.free_port(ann, self.address), self.foreign_address)
        error = await self.refusal(
            ann.join(group, max_bytes=MAX_BYTES), "join at a foreign address"
        )
        assert error.fault is NetworkFault.NOT_OURS
