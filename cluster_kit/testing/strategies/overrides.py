"""What the author of a strategy tells the suite: how to make one, how to break its source, and
where all of it runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import pytest

from cluster_kit.abc import Strategy
from cluster_kit.node import Node
from cluster_kit.security.keys import Keyring
from cluster_kit.testing.listener import Listener, vouches
from cluster_kit.testing.scenarios import run_to_end
from cluster_kit.testing.stand_ins import DEADLINE_S, FakeDiscovery
from cluster_kit.testing.strategies.bystander import Bystander, Freezable

ANN = Node(name="ann@127.0.0.1", address="127.0.0.1:45001")
BOB = Node(name="bob@127.0.0.1", address="127.0.0.1:45002")
CAT = Node(name="cat@127.0.0.1", address="127.0.0.1:45003")


class StrategyOverrides:
    """What ``StrategyConformance`` lets be overridden."""

    listen_s: float = 0.5
    """How long to listen to a strategy that may well have nothing to say: some of its intervals."""
    deadline_s: float = DEADLINE_S
    """How long to wait for what must come."""
    tells_changes: bool = True
    """False for a strategy that announces, to a source with no room for more than a name and an
    address.
    """
    keyring: Keyring | None = None
    """What the cluster's secrets came to; nodes of one cluster have the same."""

    @pytest.fixture
    def strategy(self) -> Strategy:
        """Return a fresh, configured instance; several nodes run it side by side, and find each
        other by its source.

        The source is there and works, and nobody else uses it. Where ``break_source`` is overridden
        and the strategy doesn't announce, the source lists a node. Intervals are short, some
        hundredths of a second. A time to live is much longer: at least two seconds, or a goodbye
        can't be told from silence, and at most a third of ``deadline_s``.
        """
        raise NotImplementedError("override the fixture 'strategy'")

    def break_source(self) -> None:
        """Make the source of ``strategy`` fail for all who ask, so that the next question to it has
        no answer.

        Called in the event loop while the strategy runs, or before it does; returns when the source
        has failed. It may block.
        """
        pytest.skip("break_source is not overridden: this source can't fail")

    def mend_source(self) -> None:
        """Undo ``break_source``: from then on the source answers, takes announcements, and lets new
        nodes be found.

        A source that is a server comes back as such a server does: without its data where it keeps
        them in memory only. If the strategy says only what is new, and announces nothing, a new
        node must appear in the source: the rule waits for an observation. Called in the event loop,
        several times in a test, each time after ``break_source``; it may block.
        """

    def litter_source(self) -> None:
        """Put into the source, beside what is there, what is no node: what others might write who
        use it as well.

        Several things of different kinds say most: no text, no JSON, JSON of another form, a name
        that is none; and where there is an order, some before the nodes and some after them. Called
        in the event loop while the strategy runs. It may block.
        """
        pytest.skip("litter_source is not overridden: nobody else writes to this source")

    def discovery(self, local: Node = ANN, *, announce: bool = True) -> FakeDiscovery:
        """Return the surroundings to discover in, new for each call; all contexts of the suite are
        made here.

        Override it to change what a strategy is told of ``local``, such as its address, or what it
        runs on. The name stays, by which the rules know a node, and all have the same fence.
        """
        return FakeDiscovery(local, announce=announce, keyring=self.keyring)

    def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        """Run one scenario to its end, in an event loop of its own; every rule comes through here.

        Override it to run on a clock or a network of your own. An override raises what the scenario
        raises, and leaves no task behind.
        """
        run_to_end(scenario, self.deadline_s)

    def bystander(
        self, strategy: Strategy, ctx: FakeDiscovery
    ) -> AbstractContextManager[Freezable]:
        """Return a node that discovers until its ``freeze()`` stops it dead, without a goodbye, as
        SIGSTOP does with a process.

        It runs in a thread with an event loop of its own. Override it where ``run`` isn't on the
        system's clock and network.
        """
        return Bystander(strategy, ctx)

    # What rules are made of; there is no need to override these.

    def listen(self, strategy: Strategy, ctx: FakeDiscovery) -> Listener:
        """Return a listener that waits as long as this suite does."""
        return Listener(strategy, ctx, deadline_s=self.deadline_s)

    @asynccontextmanager
    async def in_company(self, strategy: Strategy) -> AsyncIterator[Listener]:
        """Listen as ann, who has heard of somebody: of bob where nodes announce themselves, else of
        whom the source lists.
        """
        async with self.listen(strategy, self.discovery(ANN)) as ann:
            if not strategy.announces:
                await ann.hear(names_somebody, within_s=max(self.listen_s, self.deadline_s / 4))
                yield ann
                return
            bob = self.discovery(BOB)
            async with self.listen(strategy, bob):
                await ann.until(
                    lambda observation: vouches(observation, bob.local), "ann to find bob"
                )
                yield ann


def needs_announcing(strategy: Strategy) -> None:
    """Skip the rule if the strategy makes nothing known."""
    if not strategy.announces:
        pytest.skip("Strategy.announces is false: it makes nothing known")


def names_somebody(observation: object) -> bool:
    """Whether an observation vouches for any node."""
    return bool(getattr(observation, "nodes", None) or getattr(observation, "ttl_s", None))
