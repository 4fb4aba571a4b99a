"""A stranger speaks for others by gossip: who is linked stays linked, since a link tells by itself when its peer goes."""

import pytest
from forging import Forging

from cluster_kit.testing.simulation import Law, Script, Setting
from cluster_kit.wire.gossip import Kind

SECONDS = 20
LATER = {"later_by_ms": 10_000}
LATER_LEAVES = {"kinds": (int(Kind.HEARTBEAT), int(Kind.GOODBYE)), **LATER}


def forged(words):
    """Simulate it; return the outcome, and what was told of links that went down."""
    trace = []
    setting = Setting(topology={"strategy": {"name": Forging, **words}}, seed=7, seconds=SECONDS)
    outcome = setting.run(Script(nodes=4), show=trace.append)
    assert [line for line in trace if "  up " in line]
    return outcome, [line for line in trace if "  down " in line]


@pytest.mark.parametrize("words", [{"kinds": (int(Kind.GOODBYE),)}, {"leaving": True}])
def test_forged_words_part_nobody_who_is_linked(words):
    outcome, parted = forged(words)
    assert outcome.links == (3, 3, 3, 3)
    assert not parted
    assert not outcome.false_alarms
    told = [finding for finding in outcome.findings if "was said to leave" not in finding.what]  # so much is believed
    assert not told
    assert {finding.law for finding in outcome.findings} <= {Law.RUNS}


@pytest.mark.parametrize("words", [LATER, {"leaving": True, **LATER}, LATER_LEAVES])
def test_forged_words_on_later_runs_part_nobody_who_is_linked(words):
    outcome, parted = forged(words)
    assert outcome.links == (3, 3, 3, 3)
    assert not parted
    assert not outcome.findings
