"""The rules of starting, serving and stopping, part of ``ConnectorConformance``."""

from __future__ import annotations

from contextlib import suppress

from cluster_kit.errors import ConnectError
from cluster_kit.host import is_unspecified
from cluster_kit.node import Node, host_and_port
from cluster_kit.testing.connectors.stage import Party, Stage
from cluster_kit.testing.contract import contract
from cluster_kit.testing.lag import check_never_blocked
from cluster_kit.testing.leaks import leaves_nothing
from cluster_kit.testing.listener import attend


class ServingRules(Stage):
    """A connector serves from ``start`` to ``stop``, blocks nothing meanwhile, and leaves nothing
    behind.
    """

    @contract("Nothing else of ``local`` may differ.")
    def test_start_returns_this_node(self) -> None:
        """``start`` returns the node that it was given, with its address if it listens."""

        async def scenario(ann: Party) -> None:
            local = self.make_node("ann")
            assert ann.node.name == local.name
            assert ann.node.metadata == local.metadata
            assert ann.node.boot_id == ann.links.boot_id

        self.play(scenario, "ann")

    @contract("return ``local`` with the address under which peers reach it")
    def test_start_returns_an_address_to_dial(self) -> None:
        """The address can be handed to others: it leads here, and means neither every interface nor
        any port.
        """

        async def scenario(ann: Party) -> None:
            assert ann.node.address is not None, "start returned no address"
            host, port = host_and_port(ann.node.address) or ("localhost", 1)
            assert not is_unspecified(host)
            assert port != 0

        self.play(scenario, "ann", holding=True)

    @contract(
        "Close every link with a goodbye and stop accepting; each link is reported down. "
        "Idempotent."
    )
    def test_stop_is_idempotent(self) -> None:
        """A second ``stop`` does nothing."""

        async def scenario(ann: Party) -> None:
            await ann.connector.stop()
            await ann.connector.stop()

        self.play(scenario, "ann")

    @contract("no task, thread, process, socket or file is left at its end")
    def test_stop_leaves_nothing_behind(self) -> None:
        """After ``stop`` no task, thread, process, socket or file is left, on either side of a
        link.
        """

        async def scenario() -> None:
            async with (
                leaves_nothing(self.deadline_s),
                self.party("ann") as ann,
                self.party("bob") as bob,
            ):
                await ann.connect(bob)

        self.play(scenario)

    @contract("in one event loop, which nothing may block")
    def test_the_event_loop_is_never_blocked(self) -> None:
        """The event loop carries the heartbeats of all links: no call and no message of a connector
        blocks it.
        """
        nobody = Node(name="ghost@127.0.0.1")

        async def live() -> None:
            async with self.party("ann") as ann, self.party("bob") as bob:
                await ann.connect(bob)
                await bob.links.expect("up", ann.name)
                await self.tell_each_other(ann, bob)
                await ann.disconnect(bob)
                with suppress(AssertionError):  # another rule tells whether it comes
                    await bob.links.expect("down", ann.name)
                    await ann.links.expect("down", bob.name)
                await ann.connect(bob)
                with suppress(ConnectError, AssertionError):
                    await self.refusal(ann, nobody.evolve(address=await self.closed_address()))
                await attend(self.silence_s / 4)  # for signs of life

        self.play(lambda: check_never_blocked(live), holding=True)
