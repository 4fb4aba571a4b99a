"""``cluster-kit simulate`` prints the same lines for a seed, and how to replay a failure."""

import re
import shlex
import signal
import subprocess

import pytest
from cli_process import COMMAND, Process, cluster_kit

SCRIPT = """
nodes: 3
steps:
- {at_s: 2, crash: 2}
- {at_s: 3, partition: [[1]], for_s: 5}
"""
BUG = """
from dataclasses import dataclass
from cluster_kit.strategies.gossip import GossipStrategy

@dataclass(frozen=True, slots=True, kw_only=True)
class Mute(GossipStrategy):
    ttl_s: float = 3600.0
"""


HASHED = """
from cluster_kit import Topology

class Hashed(Topology):
    def select(self, local, known):
        ring = sorted([*known, local], key=lambda node: hash(node.name))
        place = ring.index(local)
        return frozenset({ring[place - 1], ring[(place + 1) % len(ring)]} - {local})
"""


@pytest.fixture
def script(tmp_path):
    file = tmp_path / "script.yaml"
    file.write_text(SCRIPT)
    return file


def simulate(*arguments, **options):
    return cluster_kit("simulate", *arguments, timeout_s=120, **options)


def repeatable(run):
    return [line for line in run.stdout.splitlines() if not line.startswith("wall")]


def test_help_shows_a_script_as_it_is_written(tmp_path):
    lines = simulate("--help").stdout.splitlines()
    begins, ends = lines.index("    nodes: 5"), lines.index("    - {at_s: 20, restart: 2}")
    assert lines[begins - 1] == ""
    file = tmp_path / "shown.yaml"
    file.write_text("\n".join(lines[begins : ends + 1]))
    assert simulate("--script", file).returncode == 0


def test_the_same_seed_prints_the_same_lines(script):
    runs = [
        simulate("--script", script, "--topology", "ring", "--seed", seed, "--loss", "0.05")
        for seed in (7, 7, 8)
    ]
    assert [run.returncode for run in runs] == [0, 0, 0], runs
    assert repeatable(runs[0]) == repeatable(runs[1])
    assert repeatable(runs[0])[-1] != repeatable(runs[2])[-1]


def test_simulate_prints_a_summary():
    run = simulate("--nodes", 4, "--topology", "{name: k_regular, k: 2}", "--seconds", 20)
    assert run.returncode == 0, run
    lines = {line.split()[0]: line for line in run.stdout.splitlines()}
    words = "nodes simulated calm agreement links sent false invariants trace wall"
    assert list(lines) == words.split()
    assert "20.000 s" in lines["simulated"]
    assert "2 to 2 a node, 2.00 on average" in lines["links"]
    assert re.search(r"[0-9.]+ packets and [0-9]+ bytes a second by a node", lines["sent"])
    assert lines["false"].split()[1:] == ["0", "alarms"]
    assert re.search(r"[0-9]+ node-seconds a second", lines["wall"])
    assert not run.stderr


def test_a_trace_shows_what_each_node_did(script):
    run = simulate("--script", script, "--trace")
    assert any(
        re.fullmatch(r" +2\.0\d+ n0001  down n0002@10\.0\.0\.3: closed", line)
        for line in run.stdout.splitlines()
    )


def test_a_failure_prints_the_command_that_replays_it(script, tmp_path):
    (tmp_path / "mine.py").write_text(BUG)
    run = simulate("--script", script, "--strategy", "mine:Mute", "--seconds", 60, cwd=tmp_path)
    assert run.returncode == 1, run
    assert "agrees with the truth" in run.stdout
    command = run.stderr[run.stderr.index("cluster-kit simulate --") :]
    assert command.count("at_s") == 1
    again = subprocess.run(
        ["sh", "-c", command.replace("cluster-kit", shlex.quote(COMMAND), 1)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert again.returncode == 1
    assert "agrees with the truth" in again.stdout


def test_other_keys_of_the_entry_are_used():
    runs = [
        simulate("--nodes", 3, "--keys", keys)
        for keys in ("{config: {interval_s: 0.5}}", "{max_nodes: 1}")
    ]
    assert [run.returncode for run in runs] == [0, 1]
    assert "--keys '{\"max_nodes\": 1}'" in runs[1].stderr


@pytest.mark.parametrize("hash_seed", ["0", "random"])
def test_dependence_on_hash_is_found_shrunk_and_replayed(script, tmp_path, hash_seed):
    (tmp_path / "mine.py").write_text(HASHED)
    arguments = ("--nodes", 6, "--faults", 3, "--topology", "mine:Hashed")
    run = simulate(*arguments, cwd=tmp_path, env={"PYTHONHASHSEED": hash_seed})
    assert run.returncode == 1, run
    assert "seed 0: 0.000 s, -: the traces with PYTHONHASHSEED 1 and 2 differ: '" in run.stderr
    command = run.stderr[run.stderr.index("cluster-kit simulate --") :]
    assert "at_s" not in command
    again = subprocess.run(
        ["sh", "-c", command.replace("cluster-kit", shlex.quote(COMMAND), 1)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert again.returncode == 1
    assert "the same seed gives the same trace, in every process" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ([], "give --nodes"),
        (["--nodes", 3, "--keys", "[max_nodes]"], "--keys takes a mapping"),
        (["--nodes", 3, "--keys", "{max_node: 1}"], "did you mean 'max_nodes'"),
        (["--nodes", 0], "0 is not in the range"),
        (["--nodes", 3, "--topology", "rign"], "did you mean 'ring'"),
        (["--nodes", 3, "--topology", "{name: k_regular, k: 3}"], "expected an even number"),
        (["--nodes", 3, "--topology", "{name: "], "not valid YAML"),
        (["--nodes", 3, "--script", "x.yaml", "--faults", 3], "exclude each other"),
        (
            ["--nodes", 3, "--script", "x.yaml", "--messages", 3],
            "--script and --messages exclude each other",
        ),
        (["--script", "nowhere.yaml"], "nowhere.yaml: cannot read the file"),
        (["--script", ""], "the path of the file is empty"),
        (["--nodes", 3, "--loss", 2], "2.0 is not in the range"),
        (["--nodes", 3, "--loss", "nan"], "loss: nan: expected a fraction"),
        (["--nodes", 3, "--seconds", "0.01"], "only 0.01 s are simulated"),
        (["--nodes", 10**12], "nodes: 1000000000000: expected 0 to 10000"),
        (["--nodes", 10**12, "--faults", 3], "nodes: 1000000000000: expected 0 to 10000"),
        (["--nodes", 3, "--seconds", "nan"], "not a number of seconds"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_invalid_arguments_are_refused(arguments, fault):
    run = simulate(*arguments)
    assert run.returncode == 2
    assert fault in run.stderr
    assert not run.stdout


def test_faults_of_a_script_are_printed_with_their_places(tmp_path):
    (tmp_path / "bad.yaml").write_text(
        "nodes: 3\nsteps:\n- {at_s: 1, crush: 2}\n- {at_s: -1, crash: 1}\n"
    )
    run = simulate("--script", "bad.yaml", cwd=tmp_path)
    assert run.returncode == 2
    assert [line.split(": ")[0] for line in run.stderr.splitlines()] == [
        "bad.yaml:3:13",
        "bad.yaml:4:10",
    ]


def test_a_script_comes_from_standard_input():
    run = simulate("--script", "-", input=SCRIPT)
    assert run.returncode == 0, run


def test_an_interrupt_ends_it_at_once():
    process = Process(COMMAND, "simulate", "--nodes", 50, "--seconds", 80000, "--trace")
    try:
        process.until(lambda: len(process.lines) > 100, "a trace")
        process.signal(signal.SIGINT)
        assert process.wait() == 130
        assert not process.errors
    finally:
        process.end()
