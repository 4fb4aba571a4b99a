"""Scripts survive a round trip through YAML, and each fault of a file gives one clear line."""

import pytest

from cluster_kit import ConfigError
from cluster_kit.testing.simulation.scripts.file import read_script, script_from
from cluster_kit.testing.simulation.scripts.random_script import random_script
from cluster_kit.testing.simulation.scripts.script import MAX_NODES, Script
from cluster_kit.testing.simulation.scripts.steps import (
    ALL,
    KINDS,
    Ask,
    ClockJump,
    Crash,
    Cut,
    Freeze,
    Heal,
    Join,
    KillWorker,
    Leave,
    Listen,
    Packets,
    Partition,
    PowerOff,
    Publish,
    Read,
    Rekey,
    Restart,
    RingCut,
    Send,
    SlowReader,
    Stall,
    Starve,
    Thaw,
    Unlisten,
)

EVERY_KIND = (
    Join(at_s=1, nodes=(6,)),
    Leave(at_s=1, nodes=(1, 2, 3), drain_s=0.5),
    Crash(at_s=2, nodes=(2,)),
    PowerOff(at_s=2, nodes=ALL),
    Restart(at_s=3, nodes=(2, 4)),
    Freeze(at_s=4, nodes=(1,), for_s=2.5),
    Thaw(at_s=5, nodes=(1,)),
    Starve(at_s=6, nodes=(3,), most_s=1.5, for_s=20),
    ClockJump(at_s=7, nodes=(1,), by_s=-60),
    Rekey(at_s=7, nodes=(1, 3), secrets=(2, 1)),
    Partition(at_s=8, groups=((1, 2), (3,)), for_s=10),
    Cut(at_s=9, nodes=(1,), to=(2, 3), one_way=True),
    RingCut(at_s=10, reach=2, for_s=1),
    Packets(
        at_s=11,
        nodes=(1,),
        loss=0.5,
        delay_s=0.1,
        jitter_s=0.1,
        duplicate=0.1,
        reorder=0.1,
        for_s=3,
    ),
    SlowReader(at_s=12, nodes=(5,), bytes_per_s=100, for_s=5),
    Heal(at_s=13, what="packets"),
    Publish(at_s=14, nodes=(1, 2), topic="extra", times=100, every_s=0.05, bytes=40_000),
    Send(at_s=14, nodes=(1,), to=(2, 3)),
    Ask(at_s=14, nodes=ALL, times=2, timeout_s=0.5),
    Listen(at_s=15, nodes=(4,), topic="extra", messages=3, bytes=1000),
    Unlisten(at_s=15, nodes=(4,)),
    Stall(at_s=15, nodes=(4,), for_s=3.5),
    Read(at_s=15, nodes=(4,), late_s=0.2, for_s=5),
    KillWorker(at_s=16, nodes=(1,)),
)


@pytest.fixture
def read(tmp_path):
    def read(text, **options):
        file = tmp_path / "script.yaml"
        file.write_text(text)
        return read_script(file, **options)

    return read


@pytest.fixture
def faults(read, tmp_path):
    """Return a function that lists the faults of a file, without the folder's name."""

    def faults(text):
        with pytest.raises(ConfigError) as raised:
            read(text)
        return [str(error).replace(f"{tmp_path}/", "") for error in raised.value.errors]

    return faults


def test_there_is_an_example_of_every_kind():
    assert {type(step) for step in EVERY_KIND} == set(KINDS.values())


@pytest.mark.parametrize("step", EVERY_KIND, ids=lambda step: step.verb)
def test_each_step_comes_back_from_its_text(step, read):
    script = Script(nodes=5, steps=(Join(at_s=0, nodes=(7,)), step))
    assert read(script.as_yaml()) == script


@pytest.mark.parametrize("seed", range(50))
def test_random_scripts_come_back_from_their_text(seed, read):
    script = random_script(seed, nodes=1 + seed % 7, faults=8)
    assert read(script.as_yaml()) == script
    assert random_script(seed, nodes=1 + seed % 7, faults=8) == script


def test_steps_are_sorted_by_time():
    late, early = Crash(at_s=5, nodes=(1,)), Crash(at_s=2, nodes=(2,))
    assert Script(nodes=2, steps=(late, early)).steps == (early, late)


@pytest.mark.parametrize(
    ("written", "nodes"),
    [("2", (2,)), ("[3, 1]", (3, 1)), ("2-4", (2, 3, 4)), ("[1, 3-5]", (1, 3, 4, 5)), ("all", ALL)],
)
def test_nodes_are_numbers_ranges_lists_or_all(written, nodes, read):
    assert read(f"nodes: 5\nsteps: [{{at_s: 1, crash: {written}}}]").steps == (
        Crash(at_s=1, nodes=nodes),
    )


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        (
            "{at_s: -3, crash: 2}",
            "3:10: steps[0].at_s: -3: expected 0 to 86400 seconds from the start",
        ),
        (
            "{at_s: .nan, crash: 2}",
            "3:10: steps[0].at_s: invalid value nan: expected a finite number",
        ),
        (
            "{at_s: soon, crash: 2}",
            "3:10: steps[0].at_s: invalid value 'soon': expected float, got str",
        ),
        ("{crash: 2}", "3:3: steps[0]: missing key 'at_s'"),
        ("{at_s: 3, crush: 2}", "3:13: steps[0].crush: unknown step: did you mean 'crash'?"),
        (
            "{at_s: 3, crash: 9}",
            (
                "3:20: steps[0].crash: node 9 never appears: there are 5 nodes, and no step "
                "lets it join"
            ),
        ),
        ("{at_s: 3, crash: 0}", "3:20: steps[0].crash: 0: expected the numbers of nodes, from 1"),
        ("{at_s: 3, publish: 2, times: 0}", "3:32: steps[0].times: 0: expected 1 to 1000000"),
        ("{at_s: 3, send: 2, bytes: -1}", "3:29: steps[0].bytes: -1: expected 0 to 1000000"),
        (
            "{at_s: 3, ask: 2, topic: ''}",
            "3:28: steps[0].topic: '': expected a name of 1 to 255 bytes",
        ),
        ("{at_s: 3, listen: 2, messages: 0}", "3:34: steps[0].messages: 0: expected at least 1"),
        ("{at_s: 3, listen: 2, bytes: 0}", "3:31: steps[0].bytes: 0: expected at least 1"),
        ("{at_s: 3, crash: [2, 2]}", "3:20: steps[0].crash: 2 is given twice"),
        (
            "{at_s: 3, crash: []}",
            "3:20: steps[0].crash: names no node: expected numbers of nodes, or all",
        ),
        (
            "{at_s: 3, crash: 5-2}",
            (
                "3:20: steps[0].crash: invalid range '5-2': expected it to go up, from 1 to "
                f"{MAX_NODES}"
            ),
        ),
        (
            "{at_s: 3, crash: you}",
            (
                "3:20: steps[0].crash: invalid value 'you': expected the number of a node, a range "
                "such as 3-5, or all"
            ),
        ),
        (
            "{at_s: 3, join: 2}",
            "3:19: steps[0].join: node 2 is there from the start; give a number above 5",
        ),
        ("{at_s: 3, partition: [[1, 2], [2]]}", "3:24: steps[0].partition: 2 is in two groups"),
        ("{at_s: 3, cut: 1, to: 1}", "3:25: steps[0].to: 1 is at both ends"),
        (
            "{at_s: 3, packets: all, loss: 5}",
            "3:33: steps[0].loss: 5: expected a fraction from 0 to 1",
        ),
        ("{at_s: 3, freeze: 1, for: 1}", "3:24: steps[0].for: unknown key: did you mean 'for_s'?"),
        (
            "{at_s: 3, freeze: 1, for_s: -1}",
            "3:31: steps[0].for_s: -1: expected 0 to 86400 seconds",
        ),
        ("{at_s: 3, clock_jump: 1}", "3:3: steps[0]: missing key 'by_s'"),
        (
            "{at_s: 3, heal: me}",
            "3:19: steps[0].heal: invalid value 'me': expected one of all, packets, partitions",
        ),
        (
            "{at_s: 3, crash: 1, thaw: 2}",
            (
                "3:23: steps[0].thaw: a step does one thing, and 'crash' is given too: make it a "
                "separate step"
            ),
        ),
    ],
)
def test_each_fault_of_a_step_is_reported_with_its_place(step, fault, faults):
    assert faults(f"nodes: 5\nsteps:\n- {step}\n") == [f"script.yaml:{fault}"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "",
            "script.yaml: the file is empty: expected a mapping with the keys 'nodes' and 'steps'",
        ),
        ("[]", "script.yaml:1:1: expected a mapping, got list"),
        ("steps: []", "script.yaml:1:1: missing key 'nodes'"),
        ("nodes: -1", f"script.yaml:1:8: nodes: -1: expected 0 to {MAX_NODES}"),
        ("nodes: 10001", f"script.yaml:1:8: nodes: 10001: expected 0 to {MAX_NODES}"),
        ("nodes: 3\nsteps: [3]", "script.yaml:2:9: steps[0]: expected a mapping, got int"),
        ("nodes: 3\nstep: []", "script.yaml:2:1: step: unknown key: did you mean 'steps'?"),
    ],
)
def test_each_fault_of_a_file_is_reported_with_its_place(text, fault, faults):
    assert faults(text) == [fault]


def test_all_faults_are_reported_at_once(faults):
    steps = "- {at_s: -3, crash: 2}\n- {at_s: 3, crush: 2}\n- {at_s: 3, freeze: x}\n"
    assert len(faults(f"nodes: 5\nsteps:\n{steps}")) == 3


def test_the_number_of_nodes_can_be_given_beside_the_file(read):
    assert read("nodes: 3\nsteps: [{at_s: 1, crash: 5}]", nodes=5).nodes == 5
    assert read("steps: [{at_s: 1, crash: 5}]", nodes=5).nodes == 5


def test_a_dict_of_the_same_shape_works():
    script = script_from({"nodes": 3, "steps": [{"at_s": 1, "crash": [2]}]})
    assert script == Script(nodes=3, steps=(Crash(at_s=1, nodes=(2,)),))


def test_a_script_in_code_is_checked_as_well():
    with pytest.raises(ConfigError, match=r"steps\[0\]\.nodes: node 4 never appears"):
        Script(nodes=3, steps=(Crash(at_s=1, nodes=(4,)),))
    with pytest.raises(ConfigError, match="at_s: -1: expected 0"):
        Crash(at_s=-1, nodes=(1,))
