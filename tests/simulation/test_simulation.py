"""Simulated clusters agree with the truth whatever happens, and the same way each time."""

import json
import random
import subprocess
import sys
import textwrap
from functools import cache
from math import inf, nan

import pytest

from cluster_kit import ConfigError
from cluster_kit.testing.simulation import simulation
from cluster_kit.testing.simulation.replay import Setting, report, smallest
from cluster_kit.testing.simulation.scripts.random_script import random_script
from cluster_kit.testing.simulation.scripts.script import Script
from cluster_kit.testing.simulation.scripts.steps import (
    ALL,
    ClockJump,
    Crash,
    Cut,
    Freeze,
    Heal,
    Join,
    Leave,
    Packets,
    Partition,
    PowerOff,
    Restart,
    Starve,
    Thaw,
)
from cluster_kit.testing.simulation.simulation import Simulation

SEEDS = range(12)
SCENARIOS = {
    "full_mesh": ({"strategy": "gossip"}, 5),
    "k_regular": ({"strategy": "gossip", "topology": "k_regular"}, 8),
    "ring": ({"strategy": "gossip", "topology": "ring"}, 6),
    "star": ({"strategy": "gossip", "topology": "star"}, 5),
    "static": ({"strategy": "static"}, 5),
    "both": ({"strategy": ["gossip", "static"]}, 4),
}

each_scenario = pytest.mark.parametrize("scenario", SCENARIOS)

DIGEST = textwrap.dedent("""
    import json, sys
    from cluster_kit.testing.simulation.scripts.random_script import random_script
    from cluster_kit.testing.simulation.simulation import Simulation

    entry, nodes, seeds = json.loads(sys.argv[1])
    for seed in seeds:
        print(Simulation(random_script(seed, nodes=nodes), topology=entry, seed=seed).run().digest)
""")


@cache
def outcome_of(scenario, seed):
    entry, nodes = SCENARIOS[scenario]
    return run(random_script(seed, nodes=nodes), topology=entry, seed=seed)


def run(script, **options):
    return Simulation(script, **options).run()


def simulated(*steps, nodes=4, **options):
    """Return the outcome of a script that breaks no law, and its trace."""
    lines = []
    outcome = run(Script(nodes=nodes, steps=steps), show=lines.append, **options)
    assert outcome.is_good, report(outcome, Setting(**options), outcome.script)
    return outcome, lines


def laws_broken(script=4, **options):
    return set(run(script, **options).counts)


# Random faults


@each_scenario
@pytest.mark.parametrize("seed", SEEDS)
def test_all_nodes_agree_after_random_faults_without_false_alarms(scenario, seed):
    outcome = outcome_of(scenario, seed)
    if not outcome.is_good:
        setting = Setting(topology=SCENARIOS[scenario][0], seed=seed)
        pytest.fail(report(outcome, setting, smallest(outcome, setting)))
    assert not outcome.false_alarms


@each_scenario
def test_the_same_seeds_give_the_same_traces_in_another_process(scenario):
    entry, nodes = SCENARIOS[scenario]
    here = [outcome_of(scenario, seed).digest for seed in SEEDS]
    there = subprocess.run(
        [sys.executable, "-c", DIGEST, json.dumps([entry, nodes, list(SEEDS)])],
        env={"PYTHONHASHSEED": str(random.randint(1, 2**32 - 1))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.split() == here
    assert len(set(here)) == len(here)


# Each step


def test_a_cluster_forms_within_milliseconds():
    outcome, _ = simulated(nodes=8)
    assert outcome.agreed_s - outcome.calm_s < 0.1
    assert set(outcome.links) == {7}


def test_one_node_agrees_with_itself():
    outcome, _ = simulated(nodes=1)
    assert outcome.links == (0,)


def test_joins_leaves_crashes_and_restarts_are_reported():
    _, lines = simulated(
        Join(at_s=2, nodes=(5,)),
        Leave(at_s=3, nodes=(1,)),
        Crash(at_s=4, nodes=(2,)),
        Restart(at_s=5, nodes=(1, 2)),
    )
    reported = [line for line in lines if line.split()[1] == "n0003"]
    for expected in (
        "up n0005@10.0.0.6",
        "down n0001@10.0.0.2: left",
        "down n0002@10.0.0.3: closed",
        "up n0001@10.0.0.2",
        "up n0002@10.0.0.3",
    ):
        assert any(expected in line for line in reported), expected


def test_a_draining_node_is_reported_as_leaving_before_it_leaves():
    _, lines = simulated(Leave(at_s=2, nodes=(1,), drain_s=3))
    assert any(
        " n0002 " in line and "leaving n0001" in line and float(line.split()[0]) < 2.5
        for line in lines
    )
    assert any(
        " n0001 " in line and "has ended" in line and float(line.split()[0]) >= 5 for line in lines
    )


@pytest.mark.parametrize(
    "step",
    [PowerOff(at_s=3, nodes=(1,)), Freeze(at_s=3, nodes=(1,)), Cut(at_s=3, nodes=(1,))],
    ids=str,
)
def test_a_silent_node_is_noticed(step):
    _, lines = simulated(step)
    downs = [line for line in lines if "down n0001@10.0.0.2" in line]
    assert len(downs) == 3
    assert all(line.endswith(": silent") for line in downs)
    assert all(5 < float(line.split()[0]) < 9 for line in downs)


def test_both_sides_of_a_partition_carry_on():
    outcome, lines = simulated(Partition(at_s=3, groups=((1, 2),)), nodes=5)
    assert sorted(outcome.links) == [1, 1, 2, 2, 2]
    assert not outcome.false_alarms
    assert sum("down" in line for line in lines) == 2 * 2 * 3


def test_a_one_way_cut_breaks_the_link():
    outcome, _ = simulated(Cut(at_s=3, nodes=(1,), to=(2,), one_way=True))
    assert sorted(outcome.links) == [2, 2, 3, 3]


def test_a_healed_partition_leaves_no_trace():
    outcome, _ = simulated(Partition(at_s=3, groups=((1, 2),)), Heal(at_s=23), nodes=5)
    assert set(outcome.links) == {4}


def test_starved_nodes_are_not_dead():
    outcome, lines = simulated(
        Starve(at_s=3, nodes=(1, 2), for_s=60), Packets(at_s=3, loss=0.05, for_s=60)
    )
    assert not outcome.false_alarms
    assert not any("down" in line for line in lines)


def test_the_latest_step_decides_how_long_a_node_starves():
    steps = (
        Starve(at_s=1, nodes=(1,), for_s=1),
        Starve(at_s=1.5, nodes=(1,), most_s=1000, for_s=20),
    )
    _, lines = simulated(*steps)
    assert any("down n0001@10.0.0.2: silent" in line for line in lines)


def test_a_thawed_node_links_again():
    outcome, _ = simulated(Freeze(at_s=3, nodes=(1,)), Thaw(at_s=30, nodes=(1,)))
    assert set(outcome.links) == {3}


def test_impossible_steps_are_skipped_and_traced():
    outcome, lines = simulated(
        Restart(at_s=2, nodes=(1,)),
        Thaw(at_s=2, nodes=(1,)),
        Heal(at_s=2),
        Crash(at_s=3, nodes=(1,)),
        Crash(at_s=4, nodes=(1,)),
        Leave(at_s=4, nodes=(1,)),
        Freeze(at_s=4, nodes=(1,)),
        Freeze(at_s=5, nodes=(2,)),
        Leave(at_s=6, nodes=(2,)),
        Thaw(at_s=6, nodes=(2,)),
        Join(at_s=7, nodes=(5,)),
        Join(at_s=8, nodes=(5,)),
        PowerOff(at_s=9, nodes=(1,)),
        Starve(at_s=9, nodes=(1,)),
    )
    skipped = [" ".join(line.split()[1:]) for line in lines if "skips" in line]
    assert skipped == [
        "n0001 skips restart: it is not gone, it is running",
        "n0001 skips thaw: it is not frozen, it is running",
        "script skips heal: nothing is broken",
        "n0001 skips crash: it doesn't run, it is gone",
        "n0001 skips leave: it doesn't run, it is gone",
        "n0001 skips freeze: it doesn't run, it is gone",
        "n0002 skips leave: it doesn't run, it is frozen",
        "n0005 skips join: it has been there, it is running",
        "n0001 skips power_off: it doesn't run, it is gone",
        "n0001 skips starve: it doesn't run, it is gone",
    ]
    assert sorted(outcome.links) == [3, 3, 3, 3]


def test_a_node_can_leave_as_soon_as_it_starts():
    outcome, lines = simulated(Join(at_s=2, nodes=(5,)), Leave(at_s=2, nodes=(5,)))
    assert set(outcome.links) == {3}
    assert any(" n0005 " in line and "has ended" in line for line in lines)


def test_a_node_known_only_from_a_list_may_be_shown_as_an_earlier_run():
    steps = (Leave(at_s=2, nodes=(2, 4)), Crash(at_s=3, nodes=(3,)), Restart(at_s=3, nodes=(3,)))
    simulated(*steps, topology={"strategy": "static", "topology": "ring"})


def test_all_nodes_can_be_gone_at_the_end():
    outcome, _ = simulated(Crash(at_s=3, nodes=ALL))
    assert outcome.links == ()


def test_seconds_set_how_long_a_simulation_lasts():
    outcome, _ = simulated(seconds=30)
    assert outcome.ended_s == 30
    assert outcome.node_s == pytest.approx(120, abs=5)


@pytest.mark.parametrize(
    ("script", "options", "fault"),
    [
        (Script(nodes=0), {}, "no node ever runs"),
        (
            Script(nodes=2, steps=(Crash(at_s=5, nodes=(1,)),)),
            {"seconds": 3},
            "goes on until 5 s, and only 3 s",
        ),
        (3, {"seconds": 0.01}, r"nodes start until 0\.9\d+ s, and only 0\.01 s are simulated"),
        (3, {"seconds": -1}, "seconds: -1: expected more than 0"),
        (3, {"seconds": inf}, "seconds: inf: expected more than 0, and at most 86400"),
        (3, {"seconds": nan}, "seconds: nan: expected more than 0"),
        (3, {"start_s": inf}, "start_s: inf: expected 0 to 86400 seconds"),
        (3, {"loss": nan}, "loss: nan: expected a fraction"),
        (3, {"loss": 1}, "loss: 1: expected a fraction from 0 to less than 1"),
        (3, {"loss": -0.1}, "loss: -0.1: expected a fraction"),
        (3, {"topology": {"strategy": "gosip"}}, "did you mean 'gossip'"),
        (
            3,
            {"topology": {"strategy": {"name": "static", "nodes": ["10.0.0.2:4370"]}}},
            "give each with its name",
        ),
    ],
    ids=str,
)
def test_impossible_simulation_is_refused(script, options, fault):
    with pytest.raises(ConfigError, match=fault):
        Simulation(script, **options)


def test_a_cluster_that_does_not_fit_into_memory_is_refused(monkeypatch):
    monkeypatch.setattr(simulation, "free_bytes", lambda: 24 * 2**30)
    with pytest.raises(
        ConfigError,
        match=r"5000 nodes that know each other take about 33 GiB .* 24 GiB are available",
    ):
        Simulation(5000)


QUICK = {"name": "gossip", "interval_s": 0.3, "ttl_s": 2}


@pytest.mark.parametrize(
    ("topology", "seed", "script"),
    [
        (
            {"strategy": ["gossip", "static"]},
            116,
            Script(
                nodes=5,
                steps=(
                    Starve(at_s=1, nodes=(5,), for_s=20),
                    Partition(at_s=5, groups=((5,),), for_s=6),
                    Leave(at_s=13, nodes=(5,)),
                ),
            ),
        ),
        (
            {"strategy": ["gossip", "static"]},
            416,
            Script(nodes=4, steps=(Leave(at_s=1, nodes=(4,), drain_s=5),)),
        ),
        (
            {"strategy": QUICK},
            10342,
            Script(
                nodes=3,
                steps=(
                    Starve(at_s=1, nodes=(1,), for_s=6),
                    Starve(at_s=3, nodes=(1, 2, 3), for_s=6),
                    Leave(at_s=7, nodes=(1,)),
                ),
            ),
        ),
        (
            {"strategy": QUICK, "topology": "star"},
            10162,
            Script(
                nodes=2,
                steps=(
                    Freeze(at_s=1, nodes=(2,), for_s=2),
                    Freeze(at_s=3, nodes=(1,), for_s=2),
                    Leave(at_s=4, nodes=(2,)),
                ),
            ),
        ),
    ],
    ids=["late announcement", "hearsay of peers", "starved", "frozen"],
)
def test_packets_in_flight_do_not_bring_back_a_node_that_said_goodbye(topology, seed, script):
    Setting(topology=topology, seed=seed, loss=0.05 if seed == 10162 else 0.0).check(script)


def reported_of_a_node_that_comes_back_only_to_leave(drain_s):
    """Restart a node that lost power and drain it at once; return what the other one reports."""
    steps = (
        PowerOff(at_s=1, nodes=(1,)),
        Restart(at_s=1, nodes=(1,)),
        Leave(at_s=1, nodes=(1,), drain_s=drain_s),
    )
    setting = Setting(topology={"strategy": "gossip", "topology": "k_regular"}, seed=1705)
    lines = []
    assert setting.run(Script(nodes=2, steps=steps), show=lines.append).is_good
    return [line.partition("n0002  ")[2] for line in lines if "n0002  " in line]


def test_leaving_is_reported_of_the_later_run_of_a_node_that_lost_power():
    lines = reported_of_a_node_that_comes_back_only_to_leave(drain_s=10)
    assert [line.split()[0] for line in lines[-4:]] == ["down", "updated", "leaving", "lost"]


def test_a_link_to_a_run_that_lost_power_is_down_only_when_it_falls_silent():
    """Discovery alone closes no link, and the later run is not dialled, as it is leaving.

    That it is leaving is not reported either: while the link is up, the first run is shown.
    """
    lines = reported_of_a_node_that_comes_back_only_to_leave(drain_s=1)
    first = "n0001@10.0.0.2"
    assert lines == [
        "starts",
        f"found {first}",
        f"up {first}",
        f"lost {first}: replaced",
        f"down {first}: silent",
    ]


def test_a_run_with_an_earlier_clock_does_not_leave_in_place_of_the_run_before_it():
    steps = (
        ClockJump(at_s=1, nodes=(2,), by_s=-86400),
        Crash(at_s=1, nodes=(2,)),
        Restart(at_s=1, nodes=(2,)),
        Leave(at_s=5, nodes=(2,), drain_s=1),
    )
    Setting(topology={"strategy": ["gossip", "static"], "topology": "ring"}, seed=17248).check(
        Script(nodes=4, steps=steps)
    )


@pytest.mark.parametrize(
    ("fault", "ended_s", "back_s", "left_s"),
    [(Crash, 2, 0, 2), (Crash, 3, 0, 1.5), (PowerOff, 0, 2, 0.2)],
)
def test_a_run_that_was_replaced_is_not_found_again_once_its_successor_has_left(
    fault, ended_s, back_s, left_s
):
    at_s = 3 + ended_s
    steps = (
        ClockJump(at_s=3, nodes=(1,), by_s=-60),
        fault(at_s=at_s, nodes=(1,)),
        Restart(at_s=at_s + back_s, nodes=(1,)),
        Leave(at_s=at_s + back_s + left_s, nodes=(1,)),
    )
    for seed in range(6):
        Setting(topology={"strategy": "gossip", "topology": "star"}, seed=seed).check(
            Script(nodes=3, steps=steps)
        )
