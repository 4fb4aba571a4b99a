"""Rules on ``Strategy.diagnose``."""

from __future__ import annotations

import asyncio

from cluster_kit.abc import Strategy
from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.testing.contract import contract
from cluster_kit.testing.form import fault_of_finding
from cluster_kit.testing.leaks import leaves_nothing
from cluster_kit.testing.listener import vouches
from cluster_kit.testing.stand_ins import FakeDiscovery
from cluster_kit.testing.strategies.overrides import (
    ANN,
    BOB,
    CAT,
    StrategyOverrides,
    needs_announcing,
)


class DiagnosingRules(StrategyOverrides):
    """Rules on ``Strategy.diagnose``."""

    @contract("An async generator that ends within some seconds")
    def test_diagnosis_is_findings_and_an_end(self, strategy: Strategy) -> None:
        """``diagnose`` comes to its end, raises nothing, yields findings of one line each, and
        leaves nothing behind.
        """

        async def scenario() -> None:
            async with leaves_nothing(self.deadline_s):
                findings = await self._diagnosed(strategy, self.discovery())
            faults = [fault for finding in findings if (fault := fault_of_finding(finding))]
            assert not faults, "; ".join(faults)

        self.run(scenario())

    @contract("What a source answers, or that it doesn't, is a finding and never an exception.")
    def test_diagnosis_of_a_broken_source_says_so(self, strategy: Strategy) -> None:
        """What a source does is a finding, never an exception; of a broken one not everything can
        be in order.
        """

        async def scenario() -> None:
            self.break_source()
            findings = await self._diagnosed(strategy, self.discovery())
            in_order = [finding for finding in findings if finding.outcome is Outcome.OK]
            assert not findings or in_order != findings, (
                f"the source is broken, and all is in order: {findings}"
            )

        self.run(scenario())

    @contract("It announces nothing.")
    def test_diagnosis_makes_nothing_known(self, strategy: Strategy) -> None:
        """No node hears of one that is diagnosed."""

        async def scenario() -> None:
            needs_announcing(strategy)
            looking = self.discovery(ANN, announce=False)
            async with self.listen(strategy, self.discovery(BOB)) as bob:
                await self._diagnosed(strategy, looking)
                async with self.listen(strategy, self.discovery(CAT)):
                    await bob.until(
                        lambda observation: vouches(observation, CAT), "bob to find cat"
                    )
                assert not bob.vouched_for(looking.local), "bob found a node that is only diagnosed"

        self.run(scenario())

    async def _diagnosed(self, strategy: Strategy, ctx: FakeDiscovery) -> list[Finding]:
        try:
            async with asyncio.timeout(self.deadline_s):
                return [finding async for finding in strategy.diagnose(ctx)]
        except TimeoutError:
            raise AssertionError(
                f"diagnose was not at its end after {self.deadline_s:g} s"
            ) from None
