"""Rules on starting, serving and stopping."""

from __future__ import annotations

from contextlib import suppress

from cluster_kit.errors import ConnectError
from cluster_kit.host import is_unspecified
from cluster_kit.node import Node, host_and_port
from cluster_kit.testing.blocking import check_never_blocked
from cluster_kit.testing.connectors.harness import ConnectorHarness, StartedNode
from cluster_kit.testing.leaks import leaves_nothing
from cluster_kit.testing.listener import attend
from cluster_kit.testing.rules import contract


class ServingRules(ConnectorHarness):
    """A connector serves from ``start`` to ``stop``, and neither blocks nor leaves anything."""

    @contract("Nothing else of ``local`` may differ.")
    async def test_start_returns_this_node(self, ann: StartedNode) -> None:
        """``start`` returns the given node, with its address if it listens."""
        local = self.make_node("ann")
        assert ann.node.name == local.name
        assert ann.node.metadata == local.metadata
        assert ann.node.boot_id == ann.links.boot_id

    @contract("return ``local`` with the address under which peers reach it")
    async def test_start_returns_an_address_to_dial(self, ann: StartedNode) -> None:
        """The address can be given to others: it has neither an unspecified host nor port 0."""
        self.needs_links()
        host, port = host_and_port(ann.address) or ("localhost", 1)
        assert not is_unspecified(host)
        assert port != 0

    @contract(
        "Close every link with a goodbye and stop accepting; each link is reported down. "
        "Idempotent."
    )
    async def test_stop_is_idempotent(self, ann: StartedNode) -> None:
        """A second ``stop`` does nothing."""
        await ann.connector.stop()
        await ann.connector.stop()

    @contract("when it returns, no task, thread, process, socket or file is left")
    async def test_stop_leaves_nothing_behind(self) -> None:
        """Neither end of a link leaves a task, thread, process, socket or file."""
        async with (
            leaves_nothing(self.deadline_s),
            self.started("ann") as ann,
            self.started("bob") as bob,
        ):
            await ann.connect(bob)

    @contract("in one event loop, which nothing may block")
    async def test_the_event_loop_is_never_blocked(self) -> None:
        """No call and no message of a connector blocks the heartbeats of other links."""
        self.needs_links()
        ghost = Node(name="ghost@127.0.0.1")

        async def live() -> None:
            async with self.started("ann") as ann, self.started("bob") as bob:
                await ann.connect(bob)
                await bob.links.expect("up", ann.name)
                await self.exchange_updates(ann, bob)
                await ann.disconnect(bob)
                with suppress(AssertionError):  # another rule covers that
                    await bob.links.expect("down", ann.name)
                    await ann.links.expect("down", bob.name)
                await ann.connect(bob)
                with suppress(ConnectError, AssertionError):
                    await self.refusal(ann, ghost.evolve(address=await self.closed_address()))
                await attend(self.silence_s / 4)  # for signs of life

        await check_never_blocked(live)
