"""Rules on how a strategy is built and what it says while its source works."""

from __future__ import annotations

import asyncio
import pickle
import time
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from cluster_kit.abc import Failed, Found, Observation, Seen, Strategy
from cluster_kit.testing.contract import contract
from cluster_kit.testing.deeds import done_by
from cluster_kit.testing.form import fault_of_observation
from cluster_kit.testing.lag import TRIES, all_starved_s, check_never_blocked
from cluster_kit.testing.listener import attend, run_of, vouches
from cluster_kit.testing.strategies.overrides import ANN, BOB, CAT, StrategyOverrides

# of one processor; what rests is far below, and what does not is above, also where the machine is
# busy
BUSY = 0.6


class ObservingRules(StrategyOverrides):
    """Rules on how a strategy is built and what it says while its source works."""

    @contract(
        "Plugin classes are built as ``cls(**options)`` in the worker process of their topology"
    )
    def test_options_survive_the_way_to_the_worker(self, strategy: Strategy) -> None:
        """It is built in another process, as ``cls(**options)`` with options that were pickled."""
        options = _options(strategy)
        again = _options(type(strategy)(**pickle.loads(pickle.dumps(options))))  # noqa: S301 - what was pickled here
        assert again == options

    @contract("do no I/O and start nothing before ``discover``")
    def test_being_built_does_nothing(self, strategy: Strategy) -> None:
        """It is built in the application's process, too, where its options are checked."""
        done = done_by(lambda: type(strategy)(**_options(strategy)))
        assert not done, f"to build {type(strategy).__name__} does {'; '.join(done)}"

    @contract("An async generator.")
    def test_discover_returns_an_async_generator(self, strategy: Strategy) -> None:
        """What ``discover`` returns can be iterated and closed."""

        async def scenario() -> None:
            observations = run_of(strategy, self.discovery())
            assert hasattr(observations, "__anext__"), (
                f"discover returned {observations!r}: write it as an async generator"
            )
            assert hasattr(observations, "aclose"), (
                f"discover returned {observations!r}: it can't be closed"
            )
            await observations.aclose()

        self.run(scenario())

    @contract("Yield observations for as long as there is something to observe.")
    def test_yields_only_well_formed_observations(self, strategy: Strategy) -> None:
        """An observation holds nodes, a reason of the closed list, an error of ours, a time to live
        that passes.
        """

        async def scenario() -> None:
            async with self.listen(strategy, self.discovery()) as heard:
                await heard.hear(_never, within_s=self.listen_s)
            faults = [
                fault
                for observation in heard.observations
                if (fault := fault_of_observation(observation))
            ]
            assert not faults, "; ".join(faults)

        self.run(scenario())

    @contract("An exception is a bug")
    def test_raises_nothing_while_the_source_works(self, strategy: Strategy) -> None:
        """With its source in order a strategy neither raises nor says that it failed."""

        async def scenario() -> None:
            async with self.listen(strategy, self.discovery()) as heard:
                await heard.hear(_never, within_s=self.listen_s)
            if heard.error is not None:
                raise heard.error
            failures = [
                observation for observation in heard.observations if isinstance(observation, Failed)
            ]
            assert not failures, f"the source works, and it said {failures}"

        self.run(scenario())

    @contract("Never block the event loop: it carries the heartbeats of all links.")
    def test_never_blocks_the_event_loop(self, strategy: Strategy) -> None:
        """Whatever takes time is awaited: from its start to its goodbye it lets everything else
        run.
        """

        async def scenario() -> None:
            await check_never_blocked(lambda: self._live(strategy))

        self.run(scenario())

    async def _live(self, strategy: Strategy) -> None:
        """Have one or two nodes come, be there for a while, change, and leave."""
        async with self.listen(strategy, self.discovery(ANN)) as ann:
            if strategy.announces:
                bob = self.discovery(BOB)
                async with self.listen(strategy, bob):
                    await ann.hear(lambda observation: vouches(observation, BOB))
                    bob.change(
                        local=bob.local.evolve(
                            metadata={"zone": "a"} if self.tells_changes else {}
                        ),
                        leaving=True,
                    )
                    await attend(self.listen_s / 2)
            await ann.hear(_never, within_s=self.listen_s)

    @contract("Between two looks it rests")
    def test_rests_between_two_looks(self, strategy: Strategy) -> None:
        """One that asks again and again without a pause takes the processor from everybody, however
        it awaits.
        """

        async def scenario() -> None:
            shares: list[float] = []
            while len(shares) < TRIES and min(shares, default=1.0) >= BUSY:
                shares.append(await self._share_of_processor(strategy))
            assert min(shares) < BUSY, (
                f"it keeps the processor busy for {min(shares):.0%} of the time"
            )

        self.run(scenario())

    async def _share_of_processor(self, strategy: Strategy) -> float:
        """Return which part of the time this process is busy while a node is there and nothing
        happens.
        """
        loop = asyncio.get_running_loop()
        async with self.listen(strategy, self.discovery()) as heard:
            await heard.hear(within_s=self.listen_s)  # to start may take more
            began_s, busy_s, waited_s = loop.time(), time.process_time(), all_starved_s()
            passed_s = had_s = 0.0
            # longer on a busy machine
            while not heard.ended and had_s < self.listen_s / 2 and passed_s < self.deadline_s:
                await heard.hear(_never, within_s=self.listen_s)
                passed_s = loop.time() - began_s
                had_s = passed_s - (all_starved_s() - waited_s)
            if heard.ended:  # whoever has ended takes nothing
                return 0.0
            return (time.process_time() - busy_s) / max(had_s, passed_s / 10)

    # Running again

    @contract("the strategy is restarted with back-off while links and roster stay")
    def test_can_run_again_after_closing(self, strategy: Strategy) -> None:
        """A strategy that raised is started again on the same instance; a second run says what the
        first one said.
        """

        async def scenario() -> None:
            first, second = await self._first(strategy), await self._first(strategy)
            assert _gist(second) == _gist(first), f"a first run said {first}, a second one {second}"

        self.run(scenario())

    async def _first(self, strategy: Strategy) -> Observation | None:
        async with self.listen(strategy, self.discovery()) as heard:
            await heard.hear(within_s=self.listen_s)
        return heard.observations[0] if heard.observations else None

    @contract("What belongs to one run is held by the generator, never by the instance")
    def test_runs_of_one_instance_are_independent(self, strategy: Strategy) -> None:
        """A run goes on when another run of the same instance ends."""

        async def scenario() -> None:
            async with self.listen(strategy, self.discovery(BOB)) as alone:
                await alone.hear(_never, within_s=self.listen_s)
                ends = alone.ended
            async with self.listen(strategy, self.discovery(BOB)) as kept:
                async with self.listen(strategy, self.discovery(CAT)) as closed:
                    await closed.hear(within_s=self.listen_s)
                await kept.hear(_never, within_s=self.listen_s)
                assert kept.ended == ends, (
                    f"a run {'ends' if ends else 'goes on'} when it is alone, and not beside "
                    "another"
                )
                assert kept.observations or not alone.observations, (
                    "a run has something to say only when it is alone"
                )
                if strategy.announces:
                    async with self.listen(strategy, self.discovery(ANN)):
                        await kept.until(
                            lambda observation: vouches(observation, ANN), "bob to find ann"
                        )

        self.run(scenario())

    # Seen

    @contract("``ttl_s`` is at least twice the time between two ``Seen`` of a node")
    def test_who_was_seen_is_seen_again_in_time(self, strategy: Strategy) -> None:
        """A node that is there is vouched for again before ``ttl_s`` has passed, or it would be
        forgotten.
        """

        async def scenario() -> None:
            async with self.in_company(strategy) as ann:
                seen = await ann.hear(
                    lambda observation: isinstance(observation, Seen), within_s=self.listen_s
                )
                if not isinstance(seen, Seen):
                    pytest.skip("it says no Seen, which alone has a time to live")
                if self.deadline_s < 3 * seen.ttl_s:
                    pytest.skip(
                        f"ttl_s is {seen.ttl_s:g}, and deadline_s {self.deadline_s:g}: configure "
                        "one of a third of that"
                    )
                # beyond what a single renewal covers, that of the source included
                await attend(1.5 * seen.ttl_s)
                since = len(ann.observations)
                again = await ann.hear(
                    lambda said: _same(said, seen), since=since, within_s=seen.ttl_s
                )
                assert again is not None, (
                    f"{seen.node} is still there, and was not seen for {seen.ttl_s:g} s"
                )

        self.run(scenario())


def _same(one: Observation, other: Seen) -> bool:
    return isinstance(one, Seen) and one.node.key == other.node.key


def _options(strategy: object) -> dict[str, Any]:
    if not is_dataclass(strategy):
        return {}
    return {field.name: getattr(strategy, field.name) for field in fields(strategy) if field.init}


def _never(observation: Observation) -> bool:
    return False


def _gist(observation: Observation | None) -> object:
    """What two runs against an unchanged source have in common."""
    match observation:
        case Found(nodes=nodes):
            return sorted({node.key for node in nodes})
        case Seen(node=node):
            return node.key
        case _:
            return type(observation)
