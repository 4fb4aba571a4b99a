"""Rules on how a strategy is built, and on what it yields while its source works."""

from __future__ import annotations

import asyncio
import pickle
import time

import pytest

from cluster_kit.abc import Failed, Found, Observation, Seen, Strategy
from cluster_kit.testing.auditing import side_effects_of
from cluster_kit.testing.blocking import TRIES, all_starved_s, check_never_blocked
from cluster_kit.testing.listener import attend, run_of, vouches
from cluster_kit.testing.processes.selections import options_of
from cluster_kit.testing.rules import contract
from cluster_kit.testing.strategies.harness import (
    ANN,
    BOB,
    CAT,
    StrategyHarness,
    finds,
    needs_short_ttl,
)
from cluster_kit.testing.wellformed import malformed_observation

# Share of one processor: far above what a strategy needs that rests between two queries
BUSY = 0.6


class ObservingRules(StrategyHarness):
    """A strategy is built without side effects, and observes without blocking."""

    @contract(
        "Plugin classes are built as ``cls(**options)`` in the worker process of their topology"
    )
    def test_options_survive_the_way_to_the_worker(self, strategy: Strategy) -> None:
        """The worker process builds it as ``cls(**options)``, from options that were pickled."""
        options = options_of(strategy)
        again = options_of(type(strategy)(**pickle.loads(pickle.dumps(options))))  # noqa: S301 - what was pickled here
        assert again == options

    @contract("do no I/O and start nothing before ``discover``")
    def test_being_built_does_nothing(self, strategy: Strategy) -> None:
        """The application builds it, too, to check its options."""
        kind = type(strategy)
        effects = side_effects_of(lambda: kind(**options_of(strategy)))
        assert not effects, f"building {kind.__name__} has side effects: {'; '.join(effects)}"

    @contract("An async generator.")
    async def test_discover_returns_an_async_generator(self, strategy: Strategy) -> None:
        """What ``discover`` returns can be iterated and closed."""
        observations = run_of(strategy, self.discovery())
        assert hasattr(observations, "__anext__"), (
            f"discover returned {observations!r}, which is not an async generator"
        )
        assert hasattr(observations, "aclose"), (
            f"discover returned {observations!r}, which can't be closed"
        )
        await observations.aclose()

    @contract("Yield observations until the source has no more, or the generator is closed.")
    async def test_yields_only_well_formed_observations(self, strategy: Strategy) -> None:
        """An observation holds nodes, a name, a reason or an error as its class declares them.

        A time to live is positive and finite.
        """
        async with self.listen(strategy, self.discovery()) as listener:
            await self.watch(listener)
        faults = [
            fault
            for observation in listener.observations
            if (fault := malformed_observation(observation))
        ]
        assert not faults, "; ".join(faults)

    @contract("An exception is a bug")
    async def test_raises_nothing_while_the_source_works(self, strategy: Strategy) -> None:
        """While its source works, a strategy neither raises nor yields ``Failed``."""
        async with self.listen(strategy, self.discovery()) as listener:
            await self.watch(listener)
        if listener.error is not None:
            raise listener.error
        failures = [
            observation for observation in listener.observations if isinstance(observation, Failed)
        ]
        assert not failures, f"the source works, and the strategy yielded {failures}"

    @contract("Never block the event loop: it carries the heartbeats of all links.")
    async def test_never_blocks_the_event_loop(self, strategy: Strategy) -> None:
        """From its start to its goodbye, a strategy awaits whatever takes time."""
        await check_never_blocked(lambda: self._live(strategy))

    async def _live(self, strategy: Strategy) -> None:
        """Run one node; if nodes announce themselves, let another one come, change and leave."""
        async with self.listen(strategy, self.discovery(ANN)) as ann:
            if strategy.announces:
                bob = self.discovery(BOB)
                async with self.listen(strategy, bob):
                    await ann.hear(lambda observed: vouches(observed, BOB))
                    metadata = {"zone": "a"} if self.tells_changes else {}
                    bob.change(local=bob.local.evolve(metadata=metadata), leaving=True)
                    await attend(self.listen_s / 2)
            await self.watch(ann)

    @contract("It pauses between two queries")
    async def test_pauses_between_two_queries(self, strategy: Strategy) -> None:
        """A strategy that queries without a pause uses up the processor, however it awaits."""
        shares: list[float] = []
        while len(shares) < TRIES and min(shares, default=1.0) >= BUSY:
            shares.append(await self._share_of_processor(strategy))
        assert min(shares) < BUSY, (
            f"the strategy keeps the processor busy for {min(shares):.0%} of the time"
        )

    async def _share_of_processor(self, strategy: Strategy) -> float:
        """Return the share of time for which this process is busy while nothing happens."""
        loop = asyncio.get_running_loop()
        async with self.listen(strategy, self.discovery()) as listener:
            await listener.hear(within_s=self.listen_s)  # starting may take more
            began_s, busy_s, waited_s = loop.time(), time.process_time(), all_starved_s()
            passed_s = had_s = 0.0
            # a busy machine gives this process less time, so measure for longer
            while not listener.ended and had_s < self.listen_s / 2 and passed_s < self.deadline_s:
                await self.watch(listener)
                passed_s = loop.time() - began_s
                had_s = passed_s - (all_starved_s() - waited_s)
            if listener.ended:
                return 0.0
            return (time.process_time() - busy_s) / max(had_s, passed_s / 10)

    # Running again

    @contract("it is restarted with back-off, while links and roster stay")
    async def test_can_run_again_after_closing(self, strategy: Strategy) -> None:
        """After a failure ``discover`` is called again, on the same instance.

        The second run yields what the first one did.
        """
        first, second = await self._first(strategy), await self._first(strategy)
        assert _gist(second) == _gist(first), (
            f"the first run yielded {first}, and the second one {second}"
        )

    async def _first(self, strategy: Strategy) -> Observation | None:
        async with self.listen(strategy, self.discovery()) as listener:
            await listener.hear(within_s=self.listen_s)
        return listener.observations[0] if listener.observations else None

    @contract("State of one run is held by the generator, never by the instance")
    async def test_runs_of_one_instance_are_independent(self, strategy: Strategy) -> None:
        """A run goes on when another run of the same instance ends."""
        async with self.listen(strategy, self.discovery(BOB)) as alone:
            await self.watch(alone)
            ends = alone.ended
        async with self.listen(strategy, self.discovery(BOB)) as lasting:
            async with self.listen(strategy, self.discovery(CAT)) as closed:
                await closed.hear(within_s=self.listen_s)
            await self.watch(lasting)
            assert lasting.ended == ends, (
                f"a run by itself {'ends' if ends else 'goes on'}, and one beside another run "
                f"{'ended' if lasting.ended else 'went on'}"
            )
            assert lasting.observations or not alone.observations, (
                "a run by itself yields observations, and one beside another run yielded none"
            )
            if strategy.announces:
                async with self.listen(strategy, self.discovery(ANN)):
                    await finds(lasting, ANN)

    # Seen

    @contract("``ttl_s`` is at least twice the time between two ``Seen`` of a node")
    async def test_seen_node_is_seen_again_in_time(self, strategy: Strategy) -> None:
        """A live node is seen again before its ``ttl_s`` has passed, or it would be forgotten."""
        async with self.in_company(strategy) as ann:
            seen = await ann.hear(
                lambda observed: isinstance(observed, Seen), within_s=self.listen_s
            )
            if not isinstance(seen, Seen):
                pytest.skip("the strategy yields no Seen, so nothing has a time to live")
            needs_short_ttl(seen.ttl_s, self.deadline_s)
            # longer than one renewal covers, in the strategy or in its source
            await attend(1.5 * seen.ttl_s)
            since = len(ann.observations)
            again = await ann.hear(
                lambda observed: _same(observed, seen), since=since, within_s=seen.ttl_s
            )
            assert again is not None, (
                f"{seen.node} is still there, and yet it was not seen again within {seen.ttl_s:g} s"
            )


def _same(one: Observation, other: Seen) -> bool:
    return isinstance(one, Seen) and one.node.key == other.node.key


def _gist(observation: Observation | None) -> object:
    """Return what two runs against an unchanged source have in common."""
    match observation:
        case Found(nodes=nodes):
            return sorted({node.key for node in nodes})
        case Seen(node=node):
            return node.key
        case _:
            return type(observation)
