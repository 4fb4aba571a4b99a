"""``StrategyConformance``: the contract of ``cluster_kit.abc.Strategy``, one test for each rule."""

from __future__ import annotations

import asyncio
import pickle
from contextlib import aclosing
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from cluster_kit.abc import Failed, Found, Gone, Observation, Seen, Strategy
from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.node import Node
from cluster_kit.testing.form import fault_of_finding, fault_of_observation
from cluster_kit.testing.leaks import leaves_nothing
from cluster_kit.testing.listener import Listener, run_of, vouches
from cluster_kit.testing.stand_ins import DEADLINE_S, FakeDiscovery

GOODBYE_S = 1.0  # what the contract grants

ANN = Node(name="ann@127.0.0.1", address="127.0.0.1:45001")
BOB = Node(name="bob@127.0.0.1", address="127.0.0.1:45002")
CAT = Node(name="cat@127.0.0.1", address="127.0.0.1:45003")


class StrategyConformance:
    """Subclass it as ``Test...`` and override the fixture ``strategy``; every other override is optional.

    The fixture returns a fresh instance that is configured to reach its source, with short intervals. Rules that a strategy
    has no part in are skipped: those on announcing by ``Strategy.announces``, those on a broken source unless
    ``break_source`` is overridden.
    """

    listen_s: float = 0.5
    """How long to listen to a strategy that may well have nothing to say."""
    deadline_s: float = DEADLINE_S
    """How long to wait for what must come."""

    @pytest.fixture
    def strategy(self) -> Strategy:
        """Return a fresh, configured instance."""
        raise NotImplementedError("override the fixture 'strategy'")

    def discovery(self, local: Node = ANN, *, announce: bool = True) -> FakeDiscovery:
        """Return the surroundings to discover in; override to be another node, such as one on another host."""
        return FakeDiscovery(local, announce=announce)

    def break_source(self) -> None:
        """Make the source of ``strategy`` fail; called in the event loop while the strategy runs."""
        pytest.skip("break_source is not overridden: this source can't fail")

    def mend_source(self) -> None:
        """Undo ``break_source``."""

    # Construction

    def test_options_survive_the_way_to_the_worker(self, strategy: Strategy) -> None:
        """It is built in another process, as ``cls(**options)`` with options that were pickled."""
        options = _options(strategy)
        again = type(strategy)(**pickle.loads(pickle.dumps(options)))  # noqa: S301 - what was pickled here
        assert _options(again) == options

    # Observing

    def test_discover_returns_an_async_generator(self, strategy: Strategy) -> None:
        """What ``discover`` returns can be iterated and closed."""

        async def scenario() -> None:
            observations = run_of(strategy, self.discovery())
            assert hasattr(observations, "__anext__"), f"discover returned {observations!r}: write it as an async generator"
            assert hasattr(observations, "aclose"), f"discover returned {observations!r}: it can't be closed"
            await observations.aclose()

        asyncio.run(scenario())

    def test_yields_only_well_formed_observations(self, strategy: Strategy) -> None:
        """An observation holds nodes, a reason of the closed list, an error of ours, a time to live that passes."""

        async def scenario() -> None:
            async with self.listen(strategy, self.discovery()) as heard:
                await heard.hear(_never, within_s=self.listen_s)
            faults = [fault for observation in heard.observations if (fault := fault_of_observation(observation))]
            assert not faults, "; ".join(faults)

        asyncio.run(scenario())

    def test_raises_nothing_while_the_source_works(self, strategy: Strategy) -> None:
        """With its source in order a strategy neither raises nor says that it failed."""

        async def scenario() -> None:
            async with self.listen(strategy, self.discovery()) as heard:
                await heard.hear(_never, within_s=self.listen_s)
            if heard.error is not None:
                raise heard.error
            assert not [observation for observation in heard.observations if isinstance(observation, Failed)]

        asyncio.run(scenario())

    # Ending

    def test_closing_ends_within_its_second(self, strategy: Strategy) -> None:
        """Closing is the order to say goodbye; who takes longer is cut off and never said it."""

        async def scenario() -> None:
            async with self.listen(strategy, self.discovery()) as heard:
                await heard.hear(_never, within_s=self.listen_s)
                async with asyncio.timeout(GOODBYE_S + self.deadline_s / 10):
                    await heard.close()

        asyncio.run(scenario())

    def test_closing_leaves_nothing_behind(self, strategy: Strategy) -> None:
        """Closed between two observations, it leaves no task, thread, process or socket."""

        async def scenario() -> None:
            async with leaves_nothing(self.deadline_s), aclosing(run_of(strategy, self.discovery())) as observations:
                try:
                    async with asyncio.timeout(self.listen_s):
                        await anext(observations, None)
                except TimeoutError:
                    pass

        asyncio.run(scenario())

    def test_cancelled_while_waiting_leaves_nothing_behind(self, strategy: Strategy) -> None:
        """Cancelled while it waits for its source, it leaves no task, thread, process or socket."""

        async def scenario() -> None:
            async with leaves_nothing(self.deadline_s), self.listen(strategy, self.discovery()) as heard:
                await heard.hear(_never, within_s=self.listen_s)

        asyncio.run(scenario())

    def test_closing_an_unstarted_run_leaves_nothing_behind(self, strategy: Strategy) -> None:
        """A worker that is told to stop at once may close a run that never began."""

        async def scenario() -> None:
            async with leaves_nothing(self.deadline_s):
                await run_of(strategy, self.discovery()).aclose()

        asyncio.run(scenario())

    # Running again

    def test_can_run_again_after_closing(self, strategy: Strategy) -> None:
        """A strategy that raised is started again on the same instance; a second run says what the first one said."""

        async def scenario() -> None:
            first, second = await self._first(strategy), await self._first(strategy)
            assert _gist(second) == _gist(first)

        asyncio.run(scenario())

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
                assert kept.ended == ends, f"a run {'ends' if ends else 'goes on'} when it is alone, and not beside another"
                assert kept.observations or not alone.observations, "a run has something to say only when it is alone"
                if strategy.announces:
                    async with self.listen(strategy, self.discovery(ANN)):
                        await kept.until(lambda observation: vouches(observation, ANN), "bob to find ann")

        asyncio.run(scenario())

    # Announcing

    def test_two_nodes_find_each_other(self, strategy: Strategy) -> None:
        """Of two nodes that announce themselves each hears of the other."""

        async def scenario() -> None:
            _needs_announcing(strategy)
            async with self.listen(strategy, self.discovery(ANN)) as ann, self.listen(strategy, self.discovery(BOB)) as bob:
                await ann.until(lambda observation: vouches(observation, BOB), "ann to find bob")
                await bob.until(lambda observation: vouches(observation, ANN), "bob to find ann")

        asyncio.run(scenario())

    def test_tells_that_it_has_announced(self, strategy: Strategy) -> None:
        """``ctx.announced()`` is called, or the topology would never be ready."""

        async def scenario() -> None:
            _needs_announcing(strategy)
            ctx = self.discovery()
            async with self.listen(strategy, ctx) as heard:
                try:
                    async with asyncio.timeout(self.deadline_s):
                        await ctx.has_announced.wait()
                except TimeoutError:
                    raise heard.error or AssertionError("ctx.announced() was not called") from None

        asyncio.run(scenario())

    def test_looking_makes_nothing_known(self, strategy: Strategy) -> None:
        """With ``ctx.announce`` false a node sees the others, and they don't see it."""

        async def scenario() -> None:
            _needs_announcing(strategy)
            looking = self.discovery(ANN, announce=False)
            async with self.listen(strategy, looking) as ann, self.listen(strategy, self.discovery(BOB)) as bob:
                await ann.until(lambda observation: vouches(observation, BOB), "ann to find bob")
                async with self.listen(strategy, self.discovery(CAT)):
                    await bob.until(lambda observation: vouches(observation, CAT), "bob to find cat")
                    await ann.until(lambda observation: vouches(observation, CAT), "ann to find cat")
                assert not bob.vouched_for(looking.local), "bob found a node that only looks"

        asyncio.run(scenario())

    def test_goodbye_is_heard(self, strategy: Strategy) -> None:
        """The others hear that a closed node has gone; they need not wait until it expires."""

        async def scenario() -> None:
            _needs_announcing(strategy)
            async with self.listen(strategy, self.discovery(ANN)) as ann:
                async with self.listen(strategy, self.discovery(BOB)):
                    await ann.until(lambda observation: vouches(observation, BOB), "ann to find bob")
                    since = len(ann.observations)
                await ann.until(lambda observation: _withdraws(observation, BOB), "ann to hear bob's goodbye", since=since)

        asyncio.run(scenario())

    # A source in trouble

    def test_broken_source_is_reported_not_raised(self, strategy: Strategy) -> None:
        """An error of the source is an observation, ``Failed``; an exception would spend the restart budget."""

        async def scenario() -> None:
            async with self.listen(strategy, self.discovery()) as heard:
                await heard.hear(within_s=self.listen_s)
                self.break_source()
                await heard.until(_is_failed, "Failed after the source broke")

        asyncio.run(scenario())

    def test_broken_source_removes_nobody(self, strategy: Strategy) -> None:
        """Unknown is not empty: while the source fails, no node is taken back."""

        async def scenario() -> None:
            async with self.listen(strategy, self.discovery()) as heard:
                await heard.hear(within_s=self.listen_s)
                vouched = _vouched(heard.observations)
                since = len(heard.observations)
                self.break_source()
                await heard.hear(_is_failed)
                lost = [observation for observation in heard.observations[since:] if _removes(observation, vouched)]
                assert not lost, f"a broken source removed nodes: {lost}"

        asyncio.run(scenario())

    def test_works_again_when_the_source_is_mended(self, strategy: Strategy) -> None:
        """After a failure it goes on asking, and an answer is heard."""

        async def scenario() -> None:
            async with self.listen(strategy, self.discovery()) as heard:
                await heard.hear(within_s=self.listen_s)
                self.break_source()
                await heard.hear(_is_failed)
                self.mend_source()
                since = len(heard.observations)
                await heard.until(
                    lambda observation: not _is_failed(observation), "an answer of the mended source", since=since
                )

        asyncio.run(scenario())

    # Diagnosis

    def test_diagnosis_is_findings_and_an_end(self, strategy: Strategy) -> None:
        """``diagnose`` comes to its end, raises nothing, yields findings of one line each, and leaves nothing behind."""

        async def scenario() -> None:
            async with leaves_nothing(self.deadline_s):
                findings = await self._diagnosed(strategy, self.discovery())
            faults = [fault for finding in findings if (fault := fault_of_finding(finding))]
            assert not faults, "; ".join(faults)

        asyncio.run(scenario())

    def test_diagnosis_of_a_broken_source_says_so(self, strategy: Strategy) -> None:
        """What a source does is a finding, never an exception; of a broken one not everything can be in order."""

        async def scenario() -> None:
            self.break_source()
            findings = await self._diagnosed(strategy, self.discovery())
            in_order = [finding for finding in findings if finding.outcome is Outcome.OK]
            assert not findings or in_order != findings, f"the source is broken, and all is in order: {findings}"

        asyncio.run(scenario())

    def test_diagnosis_makes_nothing_known(self, strategy: Strategy) -> None:
        """No node hears of one that is diagnosed."""

        async def scenario() -> None:
            _needs_announcing(strategy)
            looking = self.discovery(ANN, announce=False)
            async with self.listen(strategy, self.discovery(BOB)) as bob:
                await self._diagnosed(strategy, looking)
                async with self.listen(strategy, self.discovery(CAT)):
                    await bob.until(lambda observation: vouches(observation, CAT), "bob to find cat")
                assert not bob.vouched_for(looking.local), "bob found a node that is only diagnosed"

        asyncio.run(scenario())

    async def _diagnosed(self, strategy: Strategy, ctx: FakeDiscovery) -> list[Finding]:
        try:
            async with asyncio.timeout(self.deadline_s):
                return [finding async for finding in strategy.diagnose(ctx)]
        except TimeoutError:
            raise AssertionError(f"diagnose was not at its end after {self.deadline_s:g} s") from None

    def listen(self, strategy: Strategy, ctx: FakeDiscovery) -> Listener:
        """Return a listener that waits as long as this suite does."""
        return Listener(strategy, ctx, deadline_s=self.deadline_s)

    async def _first(self, strategy: Strategy) -> Observation | None:
        async with self.listen(strategy, self.discovery()) as heard:
            await heard.hear(within_s=self.listen_s)
        return heard.observations[0] if heard.observations else None


def _needs_announcing(strategy: Strategy) -> None:
    if not strategy.announces:
        pytest.skip("Strategy.announces is false: it makes nothing known")


def _options(strategy: object) -> dict[str, Any]:
    if not is_dataclass(strategy):
        return {}
    return {field.name: getattr(strategy, field.name) for field in fields(strategy) if field.init}


def _never(observation: Observation) -> bool:
    return False


def _is_failed(observation: Observation) -> bool:
    return isinstance(observation, Failed)


def _gist(observation: Observation | None) -> object:
    """What two runs against an unchanged source have in common."""
    match observation:
        case Found(nodes=nodes):
            return sorted({node.key for node in nodes})
        case Seen(node=node):
            return node.key
        case _:
            return type(observation)


def _vouched(observations: list[Observation]) -> frozenset[str]:
    nodes: set[str] = set()
    for observation in observations:
        if isinstance(observation, Found):
            nodes = {node.key for node in observation.nodes}
        elif isinstance(observation, Seen):
            nodes.add(observation.node.key)
    return frozenset(nodes)


def _removes(observation: Observation, vouched: frozenset[str]) -> bool:
    if isinstance(observation, Found):
        return not vouched <= {node.key for node in observation.nodes}
    return isinstance(observation, Gone) and observation.name in vouched


def _withdraws(observation: Observation, node: Node) -> bool:
    if isinstance(observation, Found):
        return not vouches(observation, node)
    return isinstance(observation, Gone) and observation.name == node.name
