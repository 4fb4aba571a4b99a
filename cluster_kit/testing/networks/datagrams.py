"""Rules on datagrams."""

from __future__ import annotations

from collections.abc import Sequence

from cluster_kit.errors import NetworkFault
from cluster_kit.network import Datagram, Endpoint, Network
from cluster_kit.testing.networks.harness import MAX_BYTES, DatagramRecorder, NetworkHarness
from cluster_kit.testing.networks.streams import IMPOSSIBLE_PORTS, NO_PORT, NOT_OURS
from cluster_kit.testing.rules import contract

OWN = "it has its own address, from which it sends and at which others answer"
PAUSE = "Stop calling ``hear``; datagrams wait, as far as there is room."


class DatagramRules(NetworkHarness):
    """Datagrams reach a group or one address, and may be lost."""

    @contract("Call ``hear`` with the datagrams to the group or to ``here``")
    async def test_all_members_receive_datagrams_to_the_group(
        self, ann: Network, bob: Network
    ) -> None:
        """All members receive what is sent to the group, on any machine, from the own address."""
        async with self.group(ann, ann, bob) as (sender, beside, across):
            for receiver in (beside, across):
                assert set(await self.deliver(sender, b"all", receiver)) == {sender.here}

    @contract("Call ``hear`` with the datagrams to the group or to ``here``")
    async def test_datagrams_are_neither_joined_nor_split(self, ann: Network, bob: Network) -> None:
        """Datagrams that are sent right after each other are neither joined nor split."""
        async with self.group(ann, bob) as (sender, receiver):
            sent = [bytes([number]) * number for number in (MAX_BYTES, 1, 2, 50)]
            for data in sent:
                sender.send(data)
            await self.deliver(sender, sent[-1], receiver)
            odd = [data for data, _ in receiver.heard if data not in sent]
            assert not odd, f"datagrams were received that were not sent: {odd}"

    @contract("A sender receives its own datagrams to the group.")
    async def test_a_sender_receives_its_own_datagrams(self, ann: Network) -> None:
        """A sender is a member of its group."""
        async with self.group(ann) as (member,):
            assert set(await self.deliver(member, b"me", member)) == {member.here}

    @contract("Sends and receives datagrams of one group")
    async def test_another_group_is_separate(self, ann: Network) -> None:
        """Groups at different ports are separate."""
        async with self.group(ann) as (foreigner,), self.group(ann) as (member,):
            foreigner.send(b"foreign")
            await self.deliver(member, b"own", member)
            assert not member.sources_of(b"foreign"), "a datagram of another group was received"

    @contract(OWN)
    async def test_the_own_address_leads_to_one_only(self, ann: Network, bob: Network) -> None:
        """Datagrams to an own address are received there only, even by processes of one host."""
        async with self.group(ann, ann, bob) as (beside, receiver, sender):
            sources = await self.deliver(sender, b"for you", receiver, receiver.here)
            assert set(sources) == {sender.here}
            await self.deliver(sender, b"for all", beside)
            assert not beside.sources_of(b"for you"), (
                "a datagram to one address was received at another"
            )

    @contract(OWN)
    async def test_an_answer_reaches_the_sender(self, ann: Network, bob: Network) -> None:
        """The sender of a datagram receives answers at the address from which it came."""
        async with self.group(ann, bob) as (asking, answering):
            (source, *_) = await self.deliver(asking, b"who is there?", answering)
            sources = await self.deliver(answering, b"bob", asking, source)
            assert set(sources) == {answering.here}

    @contract("One that is longer than ``max_bytes`` is cut to one byte more.")
    async def test_a_datagram_that_is_too_long_is_cut(self, ann: Network) -> None:
        """A datagram of ``max_bytes`` arrives whole."""
        async with self.group(ann) as (member,):
            await self.deliver(member, bytes(MAX_BYTES), member)
            member.send(b"x" * 2 * MAX_BYTES)
            await member.until(lambda: member.heard[-1].data[:1] == b"x", "a datagram too long")
            size_bytes = len(member.heard[-1].data)
            assert size_bytes == MAX_BYTES + 1, f"it was cut to {size_bytes} bytes"

    @contract(PAUSE)
    async def test_nothing_is_received_before_listen_and_while_paused(
        self, ann: Network, bob: Network
    ) -> None:
        """Datagrams wait until ``listen``, at first and after ``pause``."""
        async with self.group(ann, bob) as (sender, witness):
            late = await bob.join(witness.group, max_bytes=MAX_BYTES)
            recorder = DatagramRecorder(self.deadline_s)
            await self.deliver(sender, b"before", witness)
            late.listen(recorder.hear)
            await self.deliver(sender, b"first", recorder)
            late.pause()
            late.pause()
            count = len(recorder.heard)
            await self.deliver(sender, b"meanwhile", witness)
            await self.deliver(sender, b"meanwhile too", witness)
            assert len(recorder.heard) == count, f"received while paused: {recorder}"
            late.listen(recorder.hear)
            await recorder.until(
                lambda: bool(recorder.sources_of(b"meanwhile")), "what waited during the pause"
            )
            assert recorder.sources_of(b"before"), (
                "a datagram sent before listen was lost, though there was room for it"
            )
            late.close()

    @contract("A later call replaces ``hear``.")
    async def test_the_last_of_several_listeners_receives(self, ann: Network) -> None:
        """A second ``listen`` replaces the first one."""
        async with self.group(ann) as (member,):
            latter = DatagramRecorder(self.deadline_s)
            member.datagrams.listen(latter.hear)
            await self.deliver(member, b"heard", latter)
            assert not member.heard, f"the former callback is still called: {member}"

    @contract(PAUSE)
    async def test_pausing_while_receiving_stops_receiving(
        self, ann: Network, bob: Network
    ) -> None:
        """After ``pause`` within ``hear``, datagrams wait until ``listen``."""
        async with self.group(ann, bob) as (sender, witness):
            pausing = await bob.join(witness.group, max_bytes=MAX_BYTES)
            recorder = DatagramRecorder(self.deadline_s)
            calls: list[Sequence[Datagram]] = []

            def hear(datagrams: Sequence[Datagram]) -> None:
                calls.append(datagrams)
                recorder.hear(datagrams)
                pausing.pause()

            for _ in range(10):
                sender.send(b"one of many")
            await self.deliver(sender, b"last", witness)
            pausing.listen(hear)
            await recorder.until(lambda: bool(recorder.heard), "a datagram")
            await self.deliver(sender, b"more", witness)
            await self.deliver(sender, b"and more", witness)
            assert len(calls) == 1, f"hear was called after pause: {recorder}"
            assert not recorder.sources_of(b"more"), f"received after pause: {recorder}"
            pausing.listen(recorder.hear)
            await recorder.until(
                lambda: bool(recorder.sources_of(b"more")), "what came in after pause"
            )
            pausing.close()

    @contract("Leave the group, and release everything. Idempotent.")
    async def test_no_datagram_is_received_after_close(self, ann: Network, bob: Network) -> None:
        """A member that closed, even twice, receives nothing."""
        async with self.group(ann, bob, bob) as (sender, witness, closed):
            await self.deliver(sender, b"before", closed)
            closed.datagrams.close()
            count = len(closed.heard)
            await self.deliver(sender, b"after", witness)
            await self.deliver(sender, b"after that", witness)
            assert len(closed.heard) == count, f"received after close: {closed}"

    @contract("Send to one address, without notice of failure")
    async def test_a_datagram_without_a_receiver_is_lost_silently(
        self, ann: Network, bob: Network
    ) -> None:
        """Sending to a dead or impossible address raises nothing, and the group still works."""
        async with self.group(ann) as (member,):
            closed_port = await self.free_port(bob, self.other_address)
            member.send(b"lost", Endpoint(self.other_address, closed_port))
            member.send(b"lost", Endpoint(self.foreign_address, 9))
            for impossible in IMPOSSIBLE_PORTS:
                member.send(b"lost", Endpoint(self.other_address, impossible))
            await self.deliver(member, b"heard", member)

    @contract(NO_PORT)
    async def test_joining_at_a_port_out_of_range_fails(self, ann: Network) -> None:
        """Joining a group at a port out of range fails as ``failed``."""
        for port in IMPOSSIBLE_PORTS:
            group = self.make_group(port, self.address)
            error = await self.refusal(ann.join(group, max_bytes=MAX_BYTES), f"join at port {port}")
            assert error.fault is NetworkFault.FAILED, f"join at port {port}: {error.fault!r}"

    @contract(NOT_OURS)
    async def test_joining_at_a_foreign_address_fails(self, ann: Network) -> None:
        """Joining a group at an address of another machine fails as ``not ours``."""
        group = self.make_group(await self.free_port(ann, self.address), self.foreign_address)
        joining = ann.join(group, max_bytes=MAX_BYTES)
        error = await self.refusal(joining, "join at a foreign address")
        assert error.fault is NetworkFault.NOT_OURS
