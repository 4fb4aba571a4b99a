"""A whole cluster in virtual time: it agrees with the truth whatever happens, the same way each time, and bugs are found."""

import json
import random
import re
import shlex
import subprocess
import sys
import textwrap
import time
from functools import cache
from math import inf, nan

import planted
import pytest

from cluster_kit import ConfigError
from cluster_kit.testing.simulation import simulation
from cluster_kit.testing.simulation.judging.findings import Law
from cluster_kit.testing.simulation.replaying import Setting, report, smallest
from cluster_kit.testing.simulation.scripts.chaos import random_script
from cluster_kit.testing.simulation.scripts.script import Script
from cluster_kit.testing.simulation.scripts.steps import (
    ALL,
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
    from cluster_kit.testing.simulation.scripts.chaos import random_script
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


# Whatever happens


@each_scenario
@pytest.mark.parametrize("seed", SEEDS)
def test_all_agree_after_whatever_happened_and_nobody_was_taken_for_dead(scenario, seed):
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


def test_who_joins_leaves_crashes_and_returns_is_told():
    _, lines = simulated(
        Join(at_s=2, nodes=(5,)), Leave(at_s=3, nodes=(1,)), Crash(at_s=4, nodes=(2,)), Restart(at_s=5, nodes=(1, 2))
    )
    told = [line for line in lines if line.split()[1] == "n0003"]
    for expected in (
        "up n0005@10.0.0.6",
        "down n0001@10.0.0.2: left",
        "down n0002@10.0.0.3: closed",
        "up n0001@10.0.0.2",
        "up n0002@10.0.0.3",
    ):
        assert any(expected in line for line in told), expected


def test_a_draining_node_is_told_to_leave_before_it_does():
    _, lines = simulated(Leave(at_s=2, nodes=(1,), drain_s=3))
    assert any(" n0002 " in line and "leaving n0001" in line and float(line.split()[0]) < 2.5 for line in lines)
    assert any(" n0001 " in line and "has ended" in line and float(line.split()[0]) >= 5 for line in lines)


@pytest.mark.parametrize("step", [PowerOff(at_s=3, nodes=(1,)), Freeze(at_s=3, nodes=(1,)), Cut(at_s=3, nodes=(1,))], ids=str)
def test_a_silent_node_is_noticed_by_its_silence(step):
    _, lines = simulated(step)
    downs = [line for line in lines if "down n0001@10.0.0.2" in line]
    assert len(downs) == 3
    assert all(line.endswith(": silent") for line in downs)
    assert all(5 < float(line.split()[0]) < 9 for line in downs)


def test_both_sides_of_a_partition_go_on_by_themselves():
    outcome, lines = simulated(Partition(at_s=3, groups=((1, 2),)), nodes=5)
    assert sorted(outcome.links) == [1, 1, 2, 2, 2]
    assert not outcome.false_alarms
    assert sum("down" in line for line in lines) == 2 * 2 * 3


def test_a_cut_of_one_way_is_no_way_for_a_link():
    outcome, _ = simulated(Cut(at_s=3, nodes=(1,), to=(2,), one_way=True))
    assert sorted(outcome.links) == [2, 2, 3, 3]


def test_a_healed_partition_leaves_nothing():
    outcome, _ = simulated(Partition(at_s=3, groups=((1, 2),)), Heal(at_s=23), nodes=5)
    assert set(outcome.links) == {4}


def test_starved_nodes_are_not_dead():
    outcome, lines = simulated(Starve(at_s=3, nodes=(1, 2), for_s=60), Packets(at_s=3, loss=0.05, for_s=60))
    assert not outcome.false_alarms
    assert not any("down" in line for line in lines)


def test_a_node_that_is_thawed_goes_on():
    outcome, _ = simulated(Freeze(at_s=3, nodes=(1,)), Thaw(at_s=30, nodes=(1,)))
    assert set(outcome.links) == {3}


def test_steps_that_make_no_sense_by_then_are_skipped_and_told():
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


def test_a_node_that_is_told_to_leave_as_soon_as_it_starts_leaves():
    outcome, lines = simulated(Join(at_s=2, nodes=(5,)), Leave(at_s=2, nodes=(5,)))
    assert set(outcome.links) == {3}
    assert any(" n0005 " in line and "has ended" in line for line in lines)


def test_an_earlier_run_is_shown_where_a_list_is_all_that_tells_of_a_node():
    steps = (Leave(at_s=2, nodes=(2, 4)), Crash(at_s=3, nodes=(3,)), Restart(at_s=3, nodes=(3,)))
    simulated(*steps, topology={"strategy": "static", "topology": "ring"})


def test_everybody_can_be_gone_in_the_end():
    outcome, _ = simulated(Crash(at_s=3, nodes=ALL))
    assert outcome.links == ()


def test_it_lasts_as_long_as_it_is_told_to():
    outcome, _ = simulated(seconds=30)
    assert outcome.ended_s == 30
    assert outcome.node_s == pytest.approx(120, abs=5)


@pytest.mark.parametrize(
    ("script", "options", "fault"),
    [
        (Script(nodes=0), {}, "no node ever runs"),
        (Script(nodes=2, steps=(Crash(at_s=5, nodes=(1,)),)), {"seconds": 3}, "goes on until 5 s, and only 3 s"),
        (3, {"seconds": 0.01}, r"nodes start until 0\.9\d+ s, and only 0\.01 s are simulated"),
        (3, {"seconds": -1}, "seconds: -1: expected more than 0"),
        (3, {"seconds": inf}, "seconds: inf: expected more than 0, and at most 86400"),
        (3, {"seconds": nan}, "seconds: nan: expected more than 0"),
        (3, {"start_s": inf}, "start_s: inf: expected 0 to 86400 seconds"),
        (3, {"loss": nan}, "loss: nan: expected a fraction"),
        (3, {"loss": 1}, "loss: 1: expected a fraction from 0 to less than 1"),
        (3, {"loss": -0.1}, "loss: -0.1: expected a fraction"),
        (3, {"topology": {"strategy": "gosip"}}, "did you mean 'gossip'"),
        (3, {"topology": {"strategy": {"name": "static", "nodes": ["10.0.0.2:4370"]}}}, "give each with its name"),
    ],
    ids=str,
)
def test_what_cannot_be_simulated_is_refused(script, options, fault):
    with pytest.raises(ConfigError, match=fault):
        Simulation(script, **options)


def test_a_cluster_that_does_not_fit_into_memory_is_refused(monkeypatch):
    monkeypatch.setattr(simulation, "free_bytes", lambda: 24 * 2**30)
    with pytest.raises(ConfigError, match=r"5000 nodes that know each other take about 26 GiB .* 24 GiB are available"):
        Simulation(5000)


# Planted bugs


@pytest.mark.parametrize("bug", ["OneSided", "Selfish", "Fickle"])
def test_a_topology_with_a_bug_is_found(bug):
    assert Law.TOPOLOGY in laws_broken(topology={"strategy": "gossip", "topology": f"planted:{bug}"})


def test_a_topology_that_leaves_nodes_apart_is_found():
    assert laws_broken(topology={"strategy": "gossip", "topology": planted.Apart}) == {Law.TOPOLOGY}


def test_a_topology_that_raises_is_found_and_its_script_made_smaller():
    setting = Setting(topology={"strategy": "gossip", "topology": planted.Small})
    with pytest.raises(AssertionError, match=r"ValueError\('too many'\)") as raised:
        setting.check(Script(nodes=6))
    assert "nodes: 5\n" in str(raised.value)


def test_the_cause_of_what_is_logged_is_logged_as_well():
    outcome = run(6, topology={"strategy": "gossip", "topology": planted.Small})
    assert any(finding.law is Law.LOG and "ValueError('too many')" in finding.what for finding in outcome.findings)


@pytest.mark.parametrize(
    "topology",
    [
        {"strategy": "gossip", "topology": planted.Timed},
        {"strategy": {"name": "planted:Leaking", "what": "time.time"}},
    ],
    ids=str,
)
def test_a_cause_is_found_before_what_comes_of_it(topology):
    outcome = run(3, topology=topology)
    assert outcome.findings[0].law is Law.REAL_WORLD
    assert len(outcome.counts) > 1
    times = [finding.at_s for finding in outcome.findings]
    assert times == sorted(times)
    told = [line.partition(" x ")[2] for line in outcome.lines() if " x " in line]
    assert told == list(dict.fromkeys(finding.law.value for finding in outcome.findings))


@pytest.mark.parametrize(
    ("bug", "law"),
    [("UpTwice", Law.LINKS), ("NeverDown", Law.LINKS), ("Hasty", Law.LINKS), ("Silencer", Law.EXCEPTIONS)],
)
def test_a_connector_with_a_bug_is_found(bug, law):
    script = Script(nodes=3, steps=(Crash(at_s=3, nodes=(1,)), Leave(at_s=4, nodes=(2,))))
    assert law in laws_broken(script, topology={"strategy": "gossip", "connector": f"planted:{bug}"})


def test_a_strategy_that_never_forgets_is_found():
    script = Script(nodes=3, steps=(Crash(at_s=3, nodes=(1,)),))
    topology = {"strategy": planted.Mute}
    outcome = run(script, topology=topology, seconds=60)
    assert set(outcome.counts) == {Law.AGREEMENT}


def test_a_view_that_agrees_too_late_breaks_the_law_however_long_is_simulated():
    outcome = run(3, topology={"strategy": planted.Slow}, seconds=100)
    assert set(outcome.counts) == {Law.AGREEMENT}
    assert "the bound is" in outcome.findings[0].what


def test_that_nobody_agreed_is_told_with_the_time_there_was():
    lines = list(run(3, topology={"strategy": planted.Slow}, seconds=2).lines())
    assert any(re.match(r"agreement   none within 1\.\d s; the bound is 27\.8 s", line) for line in lines), lines


def test_nobody_agrees_before_the_last_disturbance():
    outcome = run(Script(nodes=3, steps=(Crash(at_s=2, nodes=ALL),)))
    assert outcome.agreed_s == outcome.calm_s == 2


@pytest.mark.parametrize(
    ("topology", "seconds"),
    [({"strategy": planted.Panicking}, 40), ({"strategy": "gossip", "connector": "planted:Hurried"}, 10)],
    ids=str,
)
def test_false_alarms_are_counted(topology, seconds):
    assert run(3, topology=topology, seconds=seconds).false_alarms


@pytest.mark.parametrize("what", planted.LEAKS)
def test_what_gets_past_the_network_is_found(what):
    outcome = run(2, topology={"strategy": {"name": "planted:Leaking", "what": what}}, seconds=2)
    leaks = [finding for finding in outcome.findings if finding.law is Law.REAL_WORLD]
    assert leaks
    assert what in leaks[0].what
    assert "planted.py:" in leaks[0].what


def test_real_time_and_randomness_are_back_when_it_is_over():
    before = time.time, time.sleep, random.random, random.Random.seed
    run(1, topology={"strategy": "gossip"}, seconds=1)
    with pytest.raises(ZeroDivisionError):
        run(1, seconds=1, show=lambda _: 1 / 0)
    assert (time.time, time.sleep, random.random, random.Random.seed) == before


def test_a_failure_is_shrunken_and_replays():
    setting = Setting(topology={"strategy": planted.Mute}, seed=3, seconds=60)
    outcome = setting.run(random_script(3, nodes=5))
    script = smallest(outcome, setting)
    assert len(script.steps) == 1
    assert setting.run(script).findings[0].law is Law.AGREEMENT
    assert "--script - <<'END'" in report(outcome, setting, script)


@pytest.mark.parametrize(
    ("topology", "words"),
    [
        ({"strategy": planted.Mute}, ["--strategy", "planted:Mute"]),
        ({"strategy": [{"name": planted.Mute}]}, ["--strategy", '[{"name": "planted:Mute"}]']),
        ({"strategy": planted.Mute(interval_s=2.5)}, ["--strategy", '{"name": "planted:Mute", "interval_s": 2.5}']),
        ({"strategy": "gossip", "topology": planted.Fickle()}, ["--topology", '{"name": "planted:Fickle"}']),
        (
            {"strategy": "gossip", "config": {"interval_s": 1}, "connect_timeout_s": 3},
            ["--keys", '{"config": {"interval_s": 1}, "connect_timeout_s": 3}'],
        ),
    ],
    ids=["class", "list", "instance", "plain instance", "keys"],
)
def test_the_command_says_all_that_the_simulation_depends_on(topology, words):
    setting = Setting(topology=topology, loss=0.123456789, seconds=30.123456789)
    command, _, _ = setting.command(Script(nodes=3)).partition(" --script")
    given = shlex.split(command)
    assert [word for word in words if word not in given] == []
    assert given[-4:] == ["--loss", "0.123456789", "--seconds", "30.123456789"]


@pytest.mark.parametrize("drain_s", [1, 10])
def test_node_that_lost_power_and_comes_back_only_to_leave_is_leaving_as_the_run_that_does(drain_s):
    steps = (PowerOff(at_s=1, nodes=(1,)), Restart(at_s=1, nodes=(1,)), Leave(at_s=1, nodes=(1,), drain_s=drain_s))
    setting = Setting(topology={"strategy": "gossip", "topology": "k_regular"}, seed=1705)
    lines = []
    assert setting.run(Script(nodes=2, steps=steps), show=lines.append).is_good
    assert [line.split()[2] for line in lines if "n0002  " in line][-4:] == ["down", "updated", "leaving", "lost"]
