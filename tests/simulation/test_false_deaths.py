"""No live node is taken for dead, by busy machines or by a node that was frozen itself."""

import pytest
from hunting import changed
from safeguards import UnattendedClock

from cluster_kit.events import Reason
from cluster_kit.testing.simulation.scripts.script import Script
from cluster_kit.testing.simulation.scripts.steps import Crash, Freeze, Leave, Restart, Starve
from cluster_kit.testing.simulation.simulation import Simulation


def run(*steps, nodes=4, **options):
    return Simulation(Script(nodes=nodes, steps=steps), **options).run()


@pytest.mark.parametrize("seed", range(10))
def test_no_false_alarms_while_a_tenth_of_the_nodes_starves_and_packets_get_lost(seed):
    outcome = run(Starve(at_s=2, nodes=(1,), for_s=10), nodes=10, seed=seed, loss=0.05)
    assert not outcome.false_alarms


def test_a_frozen_node_finds_no_other_silent():
    assert not run(Freeze(at_s=2, nodes=(1,), for_s=15)).false_alarms


def test_a_frozen_node_that_finds_others_silent_is_a_false_alarm():
    with changed({"worker.worker:AttendedClock": UnattendedClock}):
        alarms = run(Freeze(at_s=2, nodes=(1,), for_s=15)).false_alarms
    assert {alarm.who for alarm in alarms} == {"n0001"}
    assert {(alarm.what, alarm.reason) for alarm in alarms} == {("lost", Reason.SILENT)}


def test_a_restarted_node_can_leave_at_once():
    outcome = run(
        Crash(at_s=2, nodes=(2,)), Restart(at_s=2, nodes=(2,)), Leave(at_s=2, nodes=(2,)), seed=134
    )
    assert outcome.is_good, outcome.findings


def test_node_heard_at_the_last_moment_does_not_expire():
    outcome = run(
        Starve(at_s=2, nodes=(1,), for_s=10), nodes=10, seed=2829, loss=0.05, seconds=12.0
    )
    assert not outcome.false_alarms
