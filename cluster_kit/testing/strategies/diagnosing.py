"""Rules on ``Strategy.diagnose``."""

from __future__ import annotations

import asyncio

from cluster_kit.abc import Strategy
from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.testing.fakes import FakeDiscovery
from cluster_kit.testing.leaks import leaves_nothing
from cluster_kit.testing.rules import contract
from cluster_kit.testing.strategies.harness import (
    ANN,
    BOB,
    CAT,
    StrategyHarness,
    finds,
    needs_announcing,
)
from cluster_kit.testing.wellformed import malformed_finding


class StrategyDiagnosisRules(StrategyHarness):
    """A diagnosis ends, reports what is broken, and announces nothing."""

    @contract("An async generator that ends within a few seconds")
    async def test_diagnosis_yields_findings_and_ends(self, strategy: Strategy) -> None:
        """``diagnose`` yields one-line findings and ends.

        It raises nothing and leaves nothing behind.
        """
        async with leaves_nothing(self.deadline_s):
            findings = await self._diagnosed(strategy, self.discovery())
        faults = [fault for finding in findings if (fault := malformed_finding(finding))]
        assert not faults, "; ".join(faults)

    @contract("Report a failing source as a finding, never as an exception.")
    async def test_diagnosis_reports_a_broken_source(self, strategy: Strategy) -> None:
        """With a broken source, not every finding can be in order."""
        self.break_source()
        findings = await self._diagnosed(strategy, self.discovery())
        in_order = [finding for finding in findings if finding.outcome is Outcome.OK]
        assert not findings or in_order != findings, (
            f"the source is broken, and yet every finding is in order: {findings}"
        )

    @contract("It must not announce this node.")
    async def test_diagnosis_announces_nothing(self, strategy: Strategy) -> None:
        """No other node finds the one that is diagnosed."""
        needs_announcing(strategy)
        observer = self.discovery(ANN, announce=False)
        async with self.listen(strategy, self.discovery(BOB)) as bob:
            await self._diagnosed(strategy, observer)
            async with self.listen(strategy, self.discovery(CAT)):
                await finds(bob, CAT)
            assert not bob.vouched_for(observer.local), (
                "bob found a node that is only being diagnosed"
            )

    async def _diagnosed(self, strategy: Strategy, ctx: FakeDiscovery) -> list[Finding]:
        try:
            async with asyncio.timeout(self.deadline_s):
                return [finding async for finding in strategy.diagnose(ctx)]
        except TimeoutError:
            raise AssertionError(f"diagnose did not end within {self.deadline_s:g} s") from None
