"""The rules of ``NetworkConformance`` on what surrounds streams and datagrams: the event loop,
addresses, time, randomness.
"""

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
    """Everything happens in one event loop, and each machine has addresses, a clock and randomness
    of its own.
    """

    # The event loop

    @contract("Methods are called from the event loop, and call back there.")
    async def test_all_calls_come_from_the_event_loop(self, ann: Network, bob: Network) -> None:
        """What comes in is handed over in the event loop from which the network was called, in no
        other thread.
        """
        port = await self.free_port(ann, self.address)
        async with (
            self.pair(ann, bob) as (ours, theirs),
            self.joined(ann, port, self.address) as (said, hearer),
        ):
            reader = self.reader(theirs)
            ours.send(b"data")
            await reader.got(4)
            ours.close()
            await reader.ended()
            await self.say(said, b"data", hearer)
            assert not reader.strays + hearer.strays, (
                f"called from elsewhere: {reader.strays + hearer.strays}"
            )

    # Names and addresses

    @contract("an address, which stands for itself")
    async def test_an_address_stands_for_itself(self, ann: Network, bob: Network) -> None:
        """Resolved, an address is itself; and it has no address of the other version."""
        assert list(await ann.resolve(self.other_address)) == [self.other_address]
        assert list(await ann.resolve(self.other_address, version=4)) == [self.other_address]
        error = await self.refusal(
            ann.resolve(self.other_address, version=6), f"look-up of {self.other_address} by IPv6"
        )
        assert error.fault is NetworkFault.NO_SUCH_NAME

    @contract("Return the addresses of ``host``, the best first, each once")
    async def test_a_name_has_each_address_once(self, ann: Network, bob: Network) -> None:
        """Resolved, a name has addresses, each once; of one version where that is asked for."""
        found = list(await ann.resolve(self.name))
        assert found, f"{self.name} has no address"
        assert len(found) == len(set(found)), f"twice in the answer: {found}"
        of_four = list(await ann.resolve(self.name, version=4))
        assert all(ip_address(address).version == 4 for address in of_four), (
            f"asked for IPv4, got {of_four}"
        )

    @contract("The host name has no address, or it can't be looked up.")
    async def test_an_unknown_name_is_told(self, ann: Network, bob: Network) -> None:
        """A name without any address fails with ``no such name``, in one line that says
        something.
        """
        error = await self.refusal(
            ann.resolve("no-such-host.invalid"), "look-up of a name that doesn't exist"
        )
        assert error.fault is NetworkFault.NO_SUCH_NAME
        assert len(str(error).splitlines()) == 1, f"not one line of text: {str(error)!r}"

    @contract("Whether ``address`` is one of this machine's.")
    async def test_own_addresses_are_known(self, ann: Network, bob: Network) -> None:
        """``has_address`` tells the addresses of this machine from others; those of ``interfaces``
        are, IPv4 first.
        """
        assert ann.has_address(self.address)
        assert bob.has_address(self.other_address)
        assert not ann.has_address(self.foreign_address)
        told = [interface.address for interface in ann.interfaces()]
        assert not [address for address in told if "%" in address], f"with a scope: {told}"
        versions = [ip_address(address).version for address in told]
        assert versions == sorted(versions), f"not IPv4 first: {told}"
        assert not told or self.address in told, (
            f"{self.address} is not among the interfaces: {told}"
        )

    # Time and randomness

    @contract("seconds since some moment, which never go back: the time of the event loop")
    async def test_the_clock_is_that_of_the_event_loop(self, ann: Network, bob: Network) -> None:
        """Monotonic time is the time of the event loop; wall time counts from 1970, and moves
        on.
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
    async def test_each_concern_has_randomness_of_its_own(self, ann: Network, bob: Network) -> None:
        """No other concern draws from the source of a concern."""
        one, other = ann.random("one concern"), ann.random("another concern")
        assert isinstance(one, Random)
        assert one is not other, "two concerns share a source"
        assert [one.random() for _ in range(4)] != [other.random() for _ in range(4)], (
            "two concerns draw the same"
        )

    @contract("How many streams one process can hold at the same time.")
    async def test_some_streams_fit(self, ann: Network, bob: Network) -> None:
        """``most_streams`` is the number of streams that one process can hold."""
        assert isinstance(ann.most_streams, int)
        assert ann.most_streams > 0
