"""The rules of ``Connector.diagnose``, part of ``ConnectorConformance``; a connector that finds
nothing out skips them.
"""

from __future__ import annotations

import pytest

from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.node import Node
from cluster_kit.testing.connectors.stage import Party, Stage, stop
from cluster_kit.testing.contract import contract
from cluster_kit.testing.form import fault_of_finding
from cluster_kit.testing.stand_ins import FakeDiscovery


class DiagnosingRules(Stage):
    """Every diagnosis is made by a connector that was not started."""

    @contract("Find out whether ``node`` could be linked to, without a trace in its cluster")
    def test_diagnosis_of_a_serving_node_leaves_no_trace(self) -> None:
        """A node that could be linked to is in order, and neither it nor its application hears of
        the question.
        """

        async def scenario(bob: Party) -> None:
            finding = await self.diagnosed(bob.node)
            assert finding.outcome is Outcome.OK, f"bob can be linked to: {finding}"
            await stop(bob)
            assert bob.links.reports == [], "bob heard of it"

        self.play(scenario, "bob", holding=True)

    @contract("Find out whether ``node`` could be linked to")
    def test_diagnosis_of_nobody_says_why(self) -> None:
        """Where nobody answers, that is a failure with its cause."""

        async def scenario() -> None:
            finding = await self.diagnosed(
                Node(name="ghost@127.0.0.1", address=await self.closed_address())
            )
            assert finding.outcome is Outcome.FAILED, f"nobody is there: {finding}"
            assert finding.cause, f"no cause is told: {finding}"

        self.play(scenario, holding=True)

    @contract("A finding that is ``EMPTY`` where it is this very node that answers")
    def test_diagnosis_knows_its_own_node(self) -> None:
        """The node that asks may be running: that it answers itself says nothing about others."""

        async def scenario(ann: Party) -> None:
            finding = await self.diagnosed(ann.node)
            assert finding.outcome is Outcome.EMPTY, f"ann found herself: {finding}"

        self.play(scenario, "ann", holding=True)

    async def diagnosed(self, node: Node) -> Finding:
        """Return what ann's connector finds out about ``node``; skip the rule if that is
        nothing.
        """
        finding = await self.make_connector().diagnose(
            node,
            FakeDiscovery(
                self.make_node("ann"), network=self.make_links().network, keyring=self.keyring
            ),
        )
        if finding is None:
            pytest.skip("Connector.diagnose finds nothing out")
        assert not (fault := fault_of_finding(finding)), fault
        return finding
