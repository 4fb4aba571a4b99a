"""Rules on ``Connector.diagnose``; skipped for a connector that returns ``None``."""

from __future__ import annotations

import pytest

from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.node import Node
from cluster_kit.testing.connectors.harness import ConnectorHarness, StartedNode, stop
from cluster_kit.testing.fakes import FakeDiscovery
from cluster_kit.testing.rules import contract
from cluster_kit.testing.wellformed import malformed_finding


class ConnectorDiagnosisRules(ConnectorHarness):
    """The connector that diagnoses was not started."""

    @contract("Check whether a link to ``node`` could be opened, without its cluster noticing")
    async def test_diagnosis_of_a_serving_node_leaves_no_trace(self, bob: StartedNode) -> None:
        """A node that serves is in order, and neither it nor its application notices."""
        self.needs_links()
        finding = await self.diagnosed(bob.node)
        assert finding.outcome is Outcome.OK, f"bob is serving: {finding}"
        await stop(bob)
        assert bob.links.reports == [], f"bob reported {bob.links.reports}"

    @contract("Check whether a link to ``node`` could be opened")
    async def test_diagnosis_of_a_missing_node_has_a_cause(self) -> None:
        """If no node answers, the finding is a failure with its cause."""
        self.needs_links()
        finding = await self.diagnosed(
            Node(name="ghost@127.0.0.1", address=await self.closed_address())
        )
        assert finding.outcome is Outcome.FAILED, f"nothing listens there: {finding}"
        assert finding.cause, f"the finding has no cause: {finding}"

    @contract("Return an ``EMPTY`` finding if this node itself answers")
    async def test_diagnosis_knows_its_own_node(self, ann: StartedNode) -> None:
        """The node that asks may be running; its own answer says nothing about others."""
        self.needs_links()
        finding = await self.diagnosed(ann.node)
        assert finding.outcome is Outcome.EMPTY, f"ann only reached itself: {finding}"

    async def diagnosed(self, node: Node) -> Finding:
        """Return what ann's connector finds out about ``node``; skip the rule if nothing."""
        finding = await self.make_connector().diagnose(
            node,
            FakeDiscovery(
                self.make_node("ann"), network=self.make_links().network, keyring=self.keyring
            ),
        )
        if finding is None:
            pytest.skip("Connector.diagnose returned None: the connector can't check nodes")
        assert not (fault := malformed_finding(finding)), fault
        return finding
