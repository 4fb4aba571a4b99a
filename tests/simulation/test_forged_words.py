"""A stranger speaks for others by gossip: who is linked stays linked, since a link tells by itself
when its peer goes.
"""

import pytest
from forging import Forging

from cluster_kit.testing.simulation import Law, Partition, Script, Setting
from cluster_kit.wire.gossip import Kind

SECONDS = 20
LATER = {"later_by_ms": 10_000}
LATER_LEAVES = {"kinds": (int(Kind.HEARTBEAT), int(Kind.GOODBYE)), **LATER}


def forged(words, script=Script(nodes=4), seconds=SECONDS):  # noqa: B008 - it doesn't change
    """Simulate it; return the outcome, and what was told of links that went down."""
    trace = []
    setting = Setting(topology={"strategy": {"name": Forging, **words}}, seed=7, seconds=seconds)
    outcome = setting.run(script, show=trace.append)
    assert [line for line in trace if "  up " in line]
    return outcome, [line for line in trace if "  down " in line]


@pytest.mark.parametrize("words", [{"kinds": (int(Kind.GOODBYE),)}, {"leaving": True}])
def test_forged_words_part_nobody_who_is_linked(words):
    outcome, parted = forged(words)
    assert outcome.links == (3, 3, 3, 3)
    assert not parted
    assert not outcome.false_alarms
    # so much is believed
    told = [finding for finding in outcome.findings if "was reported as leaving" not in finding.what]
    assert not told
    assert {finding.law for finding in outcome.findings} <= {Law.RUNS}


@pytest.mark.parametrize("words", [LATER, {"leaving": True, **LATER}, LATER_LEAVES])
def test_forged_words_on_later_runs_part_nobody_who_is_linked(words):
    outcome, parted = forged(words)
    assert outcome.links == (3, 3, 3, 3)
    assert not parted
    assert not outcome.findings


@pytest.mark.parametrize("address", ["10.9.9.9:4000", "10.0.0.1:1", None])
def test_forged_later_runs_elsewhere_keep_nobody_from_healing(address):
    """He goes on to the end, so that the true runs are never taken for the latest ones."""
    words = {**LATER, "address": address, "for_s": 60.0}
    script = Script(nodes=4, steps=(Partition(at_s=5, groups=((1, 2),), for_s=15),))
    outcome, parted = forged(words, script, seconds=40)
    assert parted
    assert outcome.links == (3, 3, 3, 3)
