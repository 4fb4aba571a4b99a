"""Bugs planted in strategies, connectors and topologies are found, cause first, and replayed."""

import random
import re
import shlex
import time

import planted
import pytest

from cluster_kit.testing.simulation.invariants.findings import Law
from cluster_kit.testing.simulation.replay import Setting, report, smallest
from cluster_kit.testing.simulation.scripts.random_script import random_script
from cluster_kit.testing.simulation.scripts.script import Script
from cluster_kit.testing.simulation.scripts.steps import ALL, Crash, Leave
from cluster_kit.testing.simulation.simulation import Simulation


def run(script, **options):
    return Simulation(script, **options).run()


def laws_broken(script=4, **options):
    return set(run(script, **options).counts)


@pytest.mark.parametrize("bug", ["OneSided", "Selfish", "Fickle"])
def test_a_topology_with_a_bug_is_found(bug):
    assert Law.TOPOLOGY in laws_broken(
        topology={"strategy": "gossip", "topology": f"planted:{bug}"}
    )


def test_a_topology_that_leaves_nodes_apart_is_found():
    assert laws_broken(topology={"strategy": "gossip", "topology": planted.Apart}) == {Law.TOPOLOGY}


def test_a_topology_that_raises_is_found_and_its_script_shrunk():
    setting = Setting(topology={"strategy": "gossip", "topology": planted.Small})
    with pytest.raises(AssertionError, match=r"ValueError\('too many'\)") as raised:
        setting.check(Script(nodes=6))
    assert "nodes: 5\n" in str(raised.value)


def test_the_cause_of_what_is_logged_is_logged_as_well():
    outcome = run(6, topology={"strategy": "gossip", "topology": planted.Small})
    assert any(
        finding.law is Law.LOG and "ValueError('too many')" in finding.what
        for finding in outcome.findings
    )


@pytest.mark.parametrize(
    "topology",
    [
        {"strategy": "gossip", "topology": planted.Timed},
        {"strategy": {"name": "planted:Leaking", "what": "time.time"}},
    ],
    ids=str,
)
def test_a_cause_is_found_before_its_effects(topology):
    outcome = run(3, topology=topology)
    assert outcome.findings[0].law is Law.REAL_WORLD
    assert len(outcome.counts) > 1
    times = [finding.at_s for finding in outcome.findings]
    assert times == sorted(times)
    printed = [line.partition(" x ")[2] for line in outcome.lines() if " x " in line]
    assert printed == list(dict.fromkeys(finding.law.value for finding in outcome.findings))


@pytest.mark.parametrize(
    ("bug", "law"),
    [
        ("UpTwice", Law.LINKS),
        ("NeverDown", Law.LINKS),
        ("Hasty", Law.LINKS),
        ("Silencer", Law.EXCEPTIONS),
        ("Careless", Law.EXCEPTIONS),
        ("Forgetful", Law.EXCEPTIONS),
    ],
)
def test_a_connector_with_a_bug_is_found(bug, law):
    script = Script(nodes=3, steps=(Crash(at_s=3, nodes=(1,)), Leave(at_s=4, nodes=(2,))))
    assert law in laws_broken(
        script, topology={"strategy": "gossip", "connector": f"planted:{bug}"}
    )


def test_a_strategy_that_never_forgets_is_found():
    script = Script(nodes=3, steps=(Crash(at_s=3, nodes=(1,)),))
    topology = {"strategy": planted.Mute}
    outcome = run(script, topology=topology, seconds=60)
    assert set(outcome.counts) == {Law.AGREEMENT}


@pytest.mark.parametrize(
    "topology",
    [
        {"strategy": "planted:Deaf", "topology": {"name": "k_regular", "k": 2}},
        {"strategy": "gossip", "connector": "planted:Coarse"},
    ],
    ids=["Deaf", "Coarse"],
)
def test_a_goodbye_that_is_not_reported_is_found(topology):
    script = Script(nodes=6, steps=(Leave(at_s=8, nodes=(2,)),))
    outcome = run(script, topology=topology)
    assert set(outcome.counts) == {Law.GOODBYES}
    assert run(script, topology=topology, loss=0.01).is_good


def test_a_view_that_agrees_too_late_breaks_the_law():
    outcome = run(3, topology={"strategy": planted.Slow}, seconds=100)
    assert set(outcome.counts) == {Law.AGREEMENT}
    assert "the bound is" in outcome.findings[0].what


def test_missing_agreement_is_printed_with_the_time_there_was():
    lines = list(run(3, topology={"strategy": planted.Slow}, seconds=2).lines())
    assert any(
        re.match(r"agreement   none within 1\.\d s; the bound is 27\.8 s", line) for line in lines
    ), lines


def test_agreement_is_not_before_the_last_disturbance():
    outcome = run(Script(nodes=3, steps=(Crash(at_s=2, nodes=ALL),)))
    assert outcome.agreed_s == outcome.calm_s == 2


@pytest.mark.parametrize(
    ("topology", "seconds"),
    [
        ({"strategy": planted.Panicking}, 40),
        ({"strategy": "gossip", "connector": "planted:Hurried"}, 10),
    ],
    ids=str,
)
def test_false_alarms_are_counted(topology, seconds):
    assert run(3, topology=topology, seconds=seconds).false_alarms


@pytest.mark.parametrize("what", planted.LEAKS)
def test_access_to_the_real_world_is_found(what):
    outcome = run(2, topology={"strategy": {"name": "planted:Leaking", "what": what}}, seconds=2)
    leaks = [finding for finding in outcome.findings if finding.law is Law.REAL_WORLD]
    assert leaks
    assert what in leaks[0].what
    assert "planted.py:" in leaks[0].what


def test_real_time_and_randomness_are_restored():
    before = time.time, time.sleep, random.random, random.Random.seed, planted.taken_time_ns
    run(1, topology={"strategy": planted.Mute}, seconds=1)
    with pytest.raises(ZeroDivisionError):
        run(1, seconds=1, show=lambda _: 1 / 0)
    assert (
        time.time,
        time.sleep,
        random.random,
        random.Random.seed,
        planted.taken_time_ns,
    ) == before


def test_a_failure_is_shrunk_and_replayed():
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
        (
            {"strategy": planted.Mute(interval_s=2.5)},
            ["--strategy", '{"name": "planted:Mute", "interval_s": 2.5}'],
        ),
        (
            {"strategy": "gossip", "topology": planted.Fickle()},
            ["--topology", '{"name": "planted:Fickle"}'],
        ),
        (
            {"strategy": "gossip", "config": {"interval_s": 1}, "connect_timeout_s": 3},
            ["--keys", '{"config": {"interval_s": 1}, "connect_timeout_s": 3}'],
        ),
    ],
    ids=["class", "list", "instance", "plain instance", "keys"],
)
def test_the_command_contains_all_that_the_simulation_depends_on(topology, words):
    setting = Setting(topology=topology, loss=0.123456789, seconds=30.123456789)
    command, _, _ = setting.command(Script(nodes=3)).partition(" --script")
    given = shlex.split(command)
    assert [word for word in words if word not in given] == []
    assert given[-4:] == ["--loss", "0.123456789", "--seconds", "30.123456789"]
