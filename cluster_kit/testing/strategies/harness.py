"""The base of the suite for strategies: what an author overrides, and what rules have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import pytest

from cluster_kit.abc import Observation, Strategy
from cluster_kit.node import Node
from cluster_kit.security.keys import Keyring
from cluster_kit.testing.fakes import DEADLINE_S, FakeDiscovery
from cluster_kit.testing.listener import Listener, vouches
from cluster_kit.testing.rules import run_to_end
from cluster_kit.testing.strategies.bystander import Bystander, Freezable

ANN = Node(name="ann@127.0.0.1", address="127.0.0.1:45001")
BOB = Node(name="bob@127.0.0.1", address="127.0.0.1:45002")
CAT = Node(name="cat@127.0.0.1", address="127.0.0.1:45003")


class StrategyHarness:
    """What ``StrategyConformance`` lets an author override."""

    listen_s: float = 0.5
    """How long to watch a strategy that may have nothing to report: several of its intervals."""
    deadline_s: float = DEADLINE_S
    """How long to wait for an observation that must come."""
    tells_changes: bool = True
    """False for a strategy whose source has room for names and addresses only."""
    keyring: Keyring | None = None
    """The keys derived from the cluster's secrets; all nodes of a cluster have the same."""

    @pytest.fixture
    def strategy(self) -> Strategy:
        """Return a fresh, configured instance; nodes that run it find each other by its source.

        The source works, and nothing else uses it. If ``break_source`` is overridden and the
        strategy doesn't announce, the source lists a node. Intervals are short, some hundredths of
        a second. A time to live is much longer: at least two seconds, so that a goodbye differs
        from silence, and at most a third of ``deadline_s``.
        """
        raise NotImplementedError("override the fixture 'strategy'")

    def break_source(self) -> None:
        """Make the source of ``strategy`` fail for all nodes, so that its next query fails.

        Called in the event loop, before the strategy runs or meanwhile. An override returns when
        the source has failed, and may block.
        """
        pytest.skip("break_source is not overridden: the suite can't make this source fail")

    def mend_source(self) -> None:
        """Undo ``break_source``: the source answers, accepts announcements and lists new nodes.

        A server comes back as such a server does: without its data if it keeps them in memory only.
        If the strategy announces nothing and yields only what is new, add a node to the source: the
        rule waits for an observation. Called in the event loop, several times in a test, each time
        after ``break_source``; it may block.
        """

    def litter_source(self) -> None:
        """Add entries to the source that are not nodes, as other users of the source might.

        Several different entries test most: bytes that aren't text, text that isn't JSON, JSON of
        another shape, an invalid name; if the source has an order, some before the nodes and some
        after them. Called in the event loop while the strategy runs; it may block.
        """
        pytest.skip("litter_source is not overridden: only the strategy writes to this source")

    def discovery(self, local: Node = ANN, *, announce: bool = True) -> FakeDiscovery:
        """Return a new context for ``discover``; the suite makes all its contexts here.

        Override it to change ``local``, such as its address, or the network to run on. Names must
        stay, since the rules identify nodes by them, and all contexts have the same fence.
        """
        return FakeDiscovery(local, announce=announce, keyring=self.keyring)

    def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        """Run one scenario to its end in a separate event loop; every rule runs through here.

        Override it to run on a clock or a network of your own. An override raises what the scenario
        raises, and leaves no task behind.
        """
        run_to_end(scenario, self.deadline_s)

    def play(self, rule: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a rule."""
        self.run(rule())

    def bystander(
        self, strategy: Strategy, ctx: FakeDiscovery
    ) -> AbstractContextManager[Freezable]:
        """Return a node that discovers until ``freeze()`` stops it dead, without a goodbye.

        It runs in a thread with a separate event loop. Override it if ``run`` doesn't use the
        system's clock and network.
        """
        return Bystander(strategy, ctx)

    # What rules have in common; there is no need to override these

    def listen(self, strategy: Strategy, ctx: FakeDiscovery) -> Listener:
        """Return a listener with the deadline of this suite."""
        return Listener(strategy, ctx, deadline_s=self.deadline_s)

    @asynccontextmanager
    async def in_company(
        self, strategy: Strategy, bob: FakeDiscovery | None = None
    ) -> AsyncIterator[Listener]:
        """Listen as ann, who has found a node: bob if nodes announce themselves, else any node.

        Args:
            strategy: What all nodes run.
            bob: The context of bob; by default a new one.
        """
        async with self.listen(strategy, self.discovery(ANN)) as ann:
            if not strategy.announces:
                await ann.hear(names_a_node, within_s=max(self.listen_s, self.deadline_s / 4))
                yield ann
                return
            bob = bob or self.discovery(BOB)
            async with self.listen(strategy, bob):
                await finds(ann, bob.local)
                yield ann

    async def watch(self, listener: Listener) -> None:
        """Run a strategy for ``listen_s`` seconds, or until it ends."""
        await listener.hear(lambda _: False, within_s=self.listen_s)


async def finds(listener: Listener, node: Node, *, since: int = 0) -> Observation:
    """Wait until the listener's strategy has found ``node``, and return the observation."""
    return await listener.until(
        lambda observed: vouches(observed, node), f"{listener} to find {node.key}", since=since
    )


def needs_announcing(strategy: Strategy) -> None:
    """Skip the rule unless the strategy announces its node."""
    if not strategy.announces:
        pytest.skip("Strategy.announces is false: nodes don't announce themselves")


def needs_short_ttl(ttl_s: float, deadline_s: float) -> None:
    """Skip the rule if it would outlast its deadline."""
    if deadline_s < 3 * ttl_s:
        pytest.skip(
            f"ttl_s is {ttl_s:g} and deadline_s {deadline_s:g}: this rule needs a ttl_s of at most "
            "a third of deadline_s"
        )


def names_a_node(observation: object) -> bool:
    """Return whether an observation vouches for any node."""
    return bool(getattr(observation, "nodes", None) or getattr(observation, "ttl_s", None))
