"""Each rule of a suite has an offender; ``test_offending_*`` show that it fails there only."""

import pytest
from offenders import offenders_in

from cluster_kit.testing import (
    ConnectorConformance,
    NetworkConformance,
    StrategyConformance,
    TopologyConformance,
)

MODULES = {
    ConnectorConformance: [
        "offending_connectors",
        "offending_messages",
        "offending_unix_connectors",
    ],
    NetworkConformance: ["offending_datagrams", "offending_networks", "offending_streams"],
    StrategyConformance: ["offending_announcers", "offending_strategies"],
    TopologyConformance: ["offending_topologies"],
}


@pytest.mark.parametrize("suite", MODULES)
def test_every_rule_has_its_offender(suite):
    rules = {name for name in dir(suite) if name.startswith("test_")}
    offenders = [offender for module in MODULES[suite] for offender in offenders_in(module)]
    assert rules == {rule.partition("[")[0] for offender in offenders for rule in offender.breaks}
