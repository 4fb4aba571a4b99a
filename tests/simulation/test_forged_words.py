"""Forged gossip breaks no link: a link itself reports when its peer leaves."""

import pytest
from forging import Forging

from cluster_kit.testing.simulation import Law, Partition, Script, Setting
from cluster_kit.wire.gossip import Kind

SECONDS = 20
LATER = {"later_by_ms": 10_000}
LATER_LEAVES = {"kinds": (int(Kind.HEARTBEAT), int(Kind.GOODBYE)), **LATER}


def forged(packets, script=Script(nodes=4), seconds=SECONDS):  # noqa: B008 - it doesn't change
    """Simulate a forger; return the outcome, and the trace of links that went down."""
    trace = []
    setting = Setting(topology={"strategy": {"name": Forging, **packets}}, seed=7, seconds=seconds)
    outcome = setting.run(script, show=trace.append)
    assert [line for line in trace if "  up " in line]
    return outcome, [line for line in trace if "  down " in line]


@pytest.mark.parametrize("packets", [{"kinds": (int(Kind.GOODBYE),)}, {"leaving": True}])
def test_forged_packets_break_no_link(packets):
    outcome, broken = forged(packets)
    assert outcome.links == (3, 3, 3, 3)
    assert not broken
    assert not outcome.false_alarms
    # that a node is leaving is believed, which does no harm
    assert all("was reported as leaving" in finding.what for finding in outcome.findings)
    assert {finding.law for finding in outcome.findings} <= {Law.RUNS}


@pytest.mark.parametrize("packets", [LATER, {"leaving": True, **LATER}, LATER_LEAVES])
def test_forged_packets_of_later_runs_break_no_link(packets):
    outcome, broken = forged(packets)
    assert outcome.links == (3, 3, 3, 3)
    assert not broken
    # that a node was replaced is believed once, and so that it comes back when the forger is silent
    assert len({(finding.who, finding.what) for finding in outcome.findings}) == 12
    assert len(outcome.findings) == 12
    assert all("was reported as replaced" in finding.what for finding in outcome.findings)
    assert {finding.law for finding in outcome.findings} <= {Law.RUNS}


@pytest.mark.parametrize("address", ["10.9.9.9:4000", "10.0.0.1:1", None])
def test_forged_packets_of_runs_elsewhere_do_not_prevent_healing(address):
    """The forger goes on to the end, so the true runs are never taken for the latest ones."""
    packets = {**LATER, "address": address, "for_s": 60.0}
    script = Script(nodes=4, steps=(Partition(at_s=5, groups=((1, 2),), for_s=15),))
    outcome, broken = forged(packets, script, seconds=40)
    assert broken
    assert outcome.links == (3, 3, 3, 3)
