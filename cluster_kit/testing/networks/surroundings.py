"""The rules of ``NetworkConformance`` on what surrounds streams and datagrams: the event loop,
addresses, time, randomness.
"""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from random import Random

from cluster_kit.errors import NetworkFault
from cluster_kit.network import Network
from cluster_kit.testing.contract import contract
from cluster_kit.testing.networks.stage import NetworkStage

_YEAR_2020_S = 1_577_836_800.0


class SurroundingsRules(NetworkStage):
    """Everything happens in one event loop, and each machine has addresses, a clock and randomness
    of its own.
    """

    # The event loop

    @contract("Methods are called from the event loop, and call back there.")
    def test_all_calls_come_from_the_event_loop(self) -> None:
        """What comes in is handed over in the event loop from which the network was called, in no
        other thread.
        """

        async def scenario(ann: Network, bob: Network) -> None:
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

        self.play(scenario)

    # Names and addresses

    @contract("an address, which stands for itself")
    def test_an_address_stands_for_itself(self) -> None:
        """Resolved, an address is itself; and it has no address of the other version."""

        async def scenario(ann: Network, bob: Network) -> None:
            assert list(await ann.resolve(self.other_address)) == [self.other_address]
            assert list(await ann.resolve(self.other_address, version=4)) == [self.other_address]
            error = await self.refusal(
                ann.resolve(self.other_address, version=6),
                f"look-up of {self.other_address} by IPv6",
            )
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
            assert all(ip_address(address).version == 4 for address in of_four), (
                f"asked for IPv4, got {of_four}"
            )

        self.play(scenario)

    @contract("The host name has no address, or it can't be looked up.")
    def test_an_unknown_name_is_told(self) -> None:
        """A name without any address fails with ``no such name``, in one line that says
        something.
        """

        async def scenario(ann: Network, bob: Network) -> None:
            error = await self.refusal(
                ann.resolve("no-such-host.invalid"), "look-up of a name that doesn't exist"
            )
            assert error.fault is NetworkFault.NO_SUCH_NAME
            assert len(str(error).splitlines()) == 1, f"not one line of text: {str(error)!r}"

        self.play(scenario)

    @contract("Whether ``address`` is one of this machine's.")
    def test_own_addresses_are_known(self) -> None:
        """``has_address`` tells the addresses of this machine from others; those of ``interfaces``
        are, IPv4 first.
        """

        async def scenario(ann: Network, bob: Network) -> None:
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

        self.play(scenario)

    # Time and randomness

    @contract("seconds since some moment, which never go back: the time of the event loop")
    def test_the_clock_is_that_of_the_event_loop(self) -> None:
        """Monotonic time is the time of the event loop; wall time counts from 1970, and moves
        on.
        """

        async def scenario(ann: Network, bob: Network) -> None:
            loop = asyncio.get_running_loop()
            before_s, now_s, after_s = loop.time(), ann.clock.monotonic_s(), loop.time()
            assert before_s <= now_s <= after_s, (
                f"{now_s} is not the time of the event loop, {before_s}"
            )
            wall_s = ann.clock.wall_s()
            assert wall_s > _YEAR_2020_S, f"{wall_s} is long ago"
            await asyncio.sleep(0.05)
            assert ann.clock.wall_s() > wall_s

        self.play(scenario)

    @contract("a source of randomness for ``concern`` alone")
    def test_each_concern_has_randomness_of_its_own(self) -> None:
        """No other concern draws from the source of a concern."""

        async def scenario(ann: Network, bob: Network) -> None:
            one, other = ann.random("one concern"), ann.random("another concern")
            assert isinstance(one, Random)
            assert one is not other, "two concerns share a source"
            assert [one.random() for _ in range(4)] != [other.random() for _ in range(4)], (
                "two concerns draw the same"
            )

        self.play(scenario)

    @contract("How many streams one process can hold at the same time.")
    def test_some_streams_fit(self) -> None:
        """``most_streams`` is the number of streams that one process can hold."""

        async def scenario(ann: Network, bob: Network) -> None:
            assert isinstance(ann.most_streams, int)
            assert ann.most_streams > 0

        self.play(scenario)
