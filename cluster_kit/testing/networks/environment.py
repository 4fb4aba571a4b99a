"""Rules on the environment of streams and datagrams: event loop, addresses, time, randomness."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from random import Random

from cluster_kit.errors import NetworkFault
from cluster_kit.network import Network
from cluster_kit.testing.networks.harness import NetworkHarness
from cluster_kit.testing.rules import contract

_YEAR_2020_S = 1_577_836_800.0


class EnvironmentRules(NetworkHarness):
    """All runs in one event loop; each machine has its own addresses, clock and randomness."""

    # The event loop

    @contract("Methods are called from the event loop, and call back there.")
    async def test_all_calls_come_from_the_event_loop(self, ann: Network, bob: Network) -> None:
        """Callbacks run in the event loop from which the network was called, in no other thread."""
        async with self.pair(ann, bob) as (ours, theirs), self.group(ann) as (member,):
            reader = self.reader(theirs)
            ours.send(b"data")
            await reader.got(4)
            ours.close()
            await reader.ended()
            await self.deliver(member, b"data", member)
            strays = reader.strays + member.strays
            assert not strays, f"called from outside the event loop: {strays}"

    # Names and addresses

    @contract("an address, which is returned as it is")
    async def test_an_address_resolves_to_itself(self, ann: Network) -> None:
        """An address resolves to itself, and to nothing in the other version of IP."""
        assert list(await ann.resolve(self.other_address)) == [self.other_address]
        assert list(await ann.resolve(self.other_address, version=4)) == [self.other_address]
        error = await self.refusal(
            ann.resolve(self.other_address, version=6), f"look-up of {self.other_address} by IPv6"
        )
        assert error.fault is NetworkFault.NO_SUCH_NAME

    @contract("Return the addresses of ``host``, the best first, each once")
    async def test_a_name_has_each_address_once(self, ann: Network) -> None:
        """A name resolves to its addresses, each once, optionally of one version of IP."""
        found = list(await ann.resolve(self.name))
        assert found, f"{self.name} resolves to nothing"
        assert len(found) == len(set(found)), f"an address occurs twice: {found}"
        of_four = list(await ann.resolve(self.name, version=4))
        assert all(ip_address(address).version == 4 for address in of_four), (
            f"a look-up of IPv4 addresses returned {of_four}"
        )

    @contract("The host name has no address, or it can't be looked up.")
    async def test_an_unknown_name_fails(self, ann: Network) -> None:
        """A name without an address fails as ``no such name``, with a message of one line."""
        error = await self.refusal(
            ann.resolve("no-such-host.invalid"), "look-up of a name that doesn't exist"
        )
        assert error.fault is NetworkFault.NO_SUCH_NAME
        assert len(str(error).splitlines()) == 1, f"not one line of text: {str(error)!r}"

    @contract("Whether ``address`` is one of this machine's.")
    async def test_own_addresses_are_known(self, ann: Network, bob: Network) -> None:
        """``has_address`` is true for the addresses of this machine only.

        ``interfaces`` lists those, IPv4 first.
        """
        assert ann.has_address(self.address)
        assert bob.has_address(self.other_address)
        assert not ann.has_address(self.foreign_address)
        listed = [interface.address for interface in ann.interfaces()]
        assert not [address for address in listed if "%" in address], f"with a scope: {listed}"
        versions = [ip_address(address).version for address in listed]
        assert versions == sorted(versions), f"not IPv4 first: {listed}"
        assert not listed or self.address in listed, f"{self.address} is missing: {listed}"

    # Time and randomness

    @contract("the time of the event loop in seconds, which never goes back")
    async def test_the_clock_is_that_of_the_event_loop(self, ann: Network) -> None:
        """Monotonic time is the time of the event loop.

        Wall time counts from 1970.
        """
        loop = asyncio.get_running_loop()
        before_s, now_s, after_s = loop.time(), ann.clock.monotonic_s(), loop.time()
        assert before_s <= now_s <= after_s, (
            f"{now_s} is not the time of the event loop, {before_s}"
        )
        wall_s = ann.clock.wall_s()
        assert wall_s > _YEAR_2020_S, f"{wall_s} is long ago"
        await asyncio.sleep(0.05)
        assert ann.clock.wall_s() > wall_s

    @contract("a source of randomness for ``concern`` alone")
    async def test_each_concern_has_separate_randomness(self, ann: Network) -> None:
        """Each concern has its own source of randomness."""
        one, other = ann.random("one concern"), ann.random("another concern")
        assert isinstance(one, Random)
        assert one is not other, "two concerns share a source"
        assert [one.random() for _ in range(4)] != [other.random() for _ in range(4)], (
            "two concerns draw the same"
        )

    @contract("How many streams one process can have open at the same time.")
    async def test_some_streams_fit(self, ann: Network) -> None:
        """``most_streams`` is a positive number."""
        assert isinstance(ann.most_streams, int)
        assert ann.most_streams > 0
