"""Each message step of a script, and the laws of questions."""

import pytest

from cluster_kit.errors import ConfigError
from cluster_kit.testing.simulation.invariants.findings import Findings, Law
from cluster_kit.testing.simulation.invariants.messages import MessageChecker
from cluster_kit.testing.simulation.replay import Setting
from cluster_kit.testing.simulation.scripts.random_script import random_script
from cluster_kit.testing.simulation.scripts.script import Script
from cluster_kit.testing.simulation.scripts.steps import (
    ALL,
    Ask,
    Crash,
    Cut,
    Freeze,
    KillWorker,
    Leave,
    Listen,
    Publish,
    Read,
    Restart,
    Send,
    Stall,
    Unlisten,
)
from cluster_kit.testing.simulation.simulation import Simulation


def timed(*steps, nodes=3, **options):
    """Run a script that breaks no law; return each line of its trace with its time, in seconds."""
    lines = []
    outcome = Setting(**options).run(Script(nodes=nodes, steps=steps), show=lines.append)
    assert outcome.is_good, outcome.findings
    parts = [line.split() for line in lines]
    return [(float(at_s), " ".join(words)) for at_s, *words in parts]


def traced(*steps, **options):
    """Return the lines of ``timed`` alone."""
    return [line for _, line in timed(*steps, **options)]


def received(lines, number):
    """Return the messages and gaps that one node receives."""
    label = f"n{number:04}"
    return [
        line.removeprefix(f"{label} ")
        for line in lines
        if line.startswith((f"{label} hears", f"{label} misses"))
    ]


@pytest.mark.parametrize("secret", [False, True])
def test_published_message_reaches_all_other_nodes(secret):
    lines = traced(Publish(at_s=2, nodes=(1,), times=3), secret=secret)
    for number in (2, 3):
        assert received(lines, number) == [
            f"hears {serial} of n0001@10.0.0.2 on news" for serial in (1, 2, 3)
        ]
    assert received(lines, 1) == []


def test_sent_message_reaches_one_node():
    lines = traced(Send(at_s=2, nodes=(1,), to=(3,)))
    assert (len(received(lines, 2)), len(received(lines, 3))) == (0, 1)


def test_messages_arrive_only_while_the_node_listens_to_the_topic():
    listen, unlisten = (
        Listen(at_s=2, nodes=(2,), topic="extra"),
        Unlisten(at_s=4, nodes=(2,), topic="extra"),
    )
    lines = traced(
        Publish(at_s=1.5, nodes=(1,), topic="extra", times=4, every_s=1), listen, unlisten
    )
    assert received(lines, 2) == [f"hears {serial} of n0001@10.0.0.2 on extra" for serial in (2, 3)]


def test_stalled_reader_loses_messages_beyond_its_window():
    steps = (Listen(at_s=2, nodes=(2,), messages=10), Stall(at_s=2, nodes=(2,), for_s=3))
    lines = traced(*steps, Publish(at_s=2.5, nodes=(1,), times=30))
    assert [line.partition(" of ")[0] for line in received(lines, 2)][-2:] == [
        "hears 10",
        "misses 20",
    ]
    assert len(received(lines, 3)) == 30


def test_slow_reader_loses_nothing_within_its_window():
    lines = traced(
        Read(at_s=2, nodes=(2,), late_s=0.5, for_s=2), Publish(at_s=2, nodes=(1,), times=80)
    )
    assert len(received(lines, 2)) == 80


def test_application_survives_a_killed_worker():
    lines = traced(
        Publish(at_s=2, nodes=(1,), times=100, every_s=0.02), KillWorker(at_s=3, nodes=(2,))
    )
    assert sum(line == "n0002 starts" for line in lines) == 1
    assert any(
        line.startswith("n0001 up n0002")
        for line in lines[lines.index("script kill_worker: [2]") :]
    )
    assert received(lines, 2)[-1] == "hears 100 of n0001@10.0.0.2 on news"


def test_loss_from_a_cut_is_counted_once_the_link_is_back():
    cut = Cut(at_s=2.5, nodes=(2,), for_s=6)
    lines = traced(Publish(at_s=2, nodes=(1,), times=2000, every_s=0.01), cut)
    missed = [line for line in received(lines, 2) if line.startswith("misses")]
    assert len(missed) == 1
    assert "some" not in missed[0]


def test_loss_from_a_crash_has_unknown_size():
    lines = traced(
        Publish(at_s=2, nodes=(1,), times=50),
        Crash(at_s=2.2, nodes=(1,)),
        Restart(at_s=4, nodes=(1,)),
    )
    assert received(lines, 2)[-1] == "misses some of n0001@10.0.0.2 on news"


def test_leaving_node_causes_no_gap():
    lines = traced(Publish(at_s=2, nodes=(1,), times=50), Leave(at_s=2.2, nodes=(1,)))
    assert not any(line.startswith("misses") for line in received(lines, 2))


def test_frozen_application_does_nothing():
    trace = timed(
        Publish(at_s=2, nodes=(1,), times=3, every_s=0.5), Freeze(at_s=2.1, nodes=(1,), for_s=2)
    )
    published = [at_s for at_s, line in trace if line.startswith("n0001 publishes")]
    assert published == [2.0, 4.5, 5.0]  # the last two would have been at 2.5 and 3
    assert received([line for _, line in trace], 2)[-1].startswith("hears 3")


def test_every_question_ends():
    traced(
        Ask(at_s=2, nodes=ALL, times=40, every_s=0.05, timeout_s=1),
        KillWorker(at_s=3, nodes=(2,)),
        Crash(at_s=3, nodes=(3,)),
    )


def test_random_script_has_the_same_faults_with_messages():
    quiet, talking = random_script(7), random_script(7, messages=6)
    assert [step for step in talking.steps if step in quiet.steps] == list(quiet.steps)
    assert len(talking.steps) == len(quiet.steps) + 6


def test_script_with_messages_refuses_a_connector_that_carries_none():
    script = Script(nodes=2, steps=(Publish(at_s=1),))
    with pytest.raises(
        ConfigError, match="the script has messages, and connector 'none' carries none: take tcp"
    ):
        Simulation(script, topology={"strategy": "gossip", "connector": "none"})


def test_same_seed_gives_the_same_trace():
    script = random_script(11, nodes=4, faults=2, messages=10)
    assert Setting(seed=11).run(script).digest == Setting(seed=11).run(script).digest


@pytest.fixture
def findings():
    return Findings()


@pytest.fixture
def checker(findings):
    def report(law, number, what):
        findings.add(law, 0.0, f"n{number}", what)

    return MessageChecker(report, lambda: 0.0)


def test_question_run_twice_is_reported(checker, findings):
    run = checker.application_started(1)
    checker.questions.ran(run, 7)
    checker.questions.ran(run, 7)
    assert list(findings.counts) == [Law.QUESTIONS]


def test_withdrawn_question_that_still_runs_is_reported(checker, findings):
    run = checker.application_started(1)
    checker.questions.ended(run, 7, "withdrawn", ran=False)
    checker.questions.ran(run, 7)
    assert list(findings.counts) == [Law.QUESTIONS]


def test_question_answered_without_running_is_reported(checker, findings):
    checker.questions.ended(checker.application_started(1), 7, "answered", ran=True)
    assert list(findings.counts) == [Law.QUESTIONS]


def test_answer_to_another_question_is_reported(checker, findings):
    run = checker.application_started(1)
    data, serial = checker.new_message(run, 0)
    checker.questions.ran(run, serial + 1)
    checker.questions.ended(run, serial + 1, "answered", ran=True, answer=data)
    assert list(findings.counts) == [Law.QUESTIONS]
