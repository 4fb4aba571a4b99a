"""Which runs an application may be shown, and as what: the simulation knows, and finds the rest."""

import pytest

from cluster_kit.events import NodeDown, NodeFound, NodeLeaving, NodeLost, NodeUp, Reason
from cluster_kit.node import BootId, Node
from cluster_kit.testing.simulation.invariants.findings import Law
from cluster_kit.testing.simulation.invariants.runs import Runs
from cluster_kit.testing.simulation.invariants.view import NodeView

# the clock was set back between the two
FIRST, SECOND = (Node("n@h", "h:1", boot_id=BootId(started_ms, 0)) for started_ms in (2, 1))
UNKNOWN = Node("n@h", "h:1")


def found(node):
    return NodeFound(topology="t", node=node)


def lost(node, reason):
    return NodeLost(topology="t", node=node, reason=reason)


def findings(*events, asked=()):
    """Return what is wrong with these events after both runs have started."""
    runs, faults = Runs(), []
    for run in (FIRST, SECOND):
        runs.add(run)
    for run in asked:
        runs.mark_left(run)

    def report(law, what):
        assert law is Law.RUNS
        faults.append(what.partition("h was ")[2])

    view = NodeView(report, lambda *_: None, max_nodes=9, runs=runs, own="own@h")
    for event in events:
        view.apply(event)
    return faults


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        ([found(SECOND), lost(SECOND, Reason.GONE), found(FIRST)], "found as a run that was over"),
        (
            [found(FIRST), lost(FIRST, Reason.LEFT)],
            "reported as left, but was never asked to leave",
        ),
        (
            [found(FIRST), NodeLeaving(topology="t", node=FIRST)],
            "reported as leaving, but was never asked to",
        ),
        (
            [found(SECOND), lost(SECOND, Reason.REPLACED)],
            "reported as replaced, but there is no later run",
        ),
        (
            [
                NodeUp(topology="t", node=SECOND),
                NodeDown(topology="t", node=SECOND, reason=Reason.REPLACED),
            ],
            "reported as replaced, but there is no later run",
        ),
    ],
)
def test_run_that_is_shown_as_what_it_is_not_is_a_finding(events, fault):
    assert findings(*events) == [fault]


@pytest.mark.parametrize(
    "events",
    [
        [found(FIRST), lost(FIRST, Reason.REPLACED), found(SECOND), lost(SECOND, Reason.LEFT)],
        [found(UNKNOWN), lost(UNKNOWN, Reason.REPLACED)],
        [found(UNKNOWN), lost(UNKNOWN, Reason.LEFT)],
    ],
)
def test_run_that_is_shown_as_what_it_is_is_no_finding(events):
    assert findings(*events, asked=[SECOND]) == []
