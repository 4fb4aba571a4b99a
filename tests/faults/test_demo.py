"""``cluster-kit demo`` shows everything, and leaves nothing behind however it ends."""

import os
import signal
import subprocess
import sys

import pytest
from cli_process import COMMAND, DEADLINE_S, Process, cluster_kit
from click.testing import CliRunner

from cluster_kit.cli import main

pytestmark = pytest.mark.once

RESULTS = [
    "all linked to each other",
    "noticed by all others",
    "linked to all others",
    "reported silent by all others",
    "linked to all others again",
    "reported by all others",
]
WITHOUT_RICH = "import sys; sys.modules['rich'] = None; from cluster_kit.cli import main; main()"
KILLED_IN_FREEZING = """
import os, signal
from cluster_kit.cli.demo.cluster import DemoCluster

cluster = DemoCluster(2)
cluster.start()
one, other = [node.name for node in cluster.nodes]
cluster.board.wait_for("node_up", [(one, other), (other, one)], since_s=0, timeout_s=30)
for node in cluster.nodes:
    node.freeze()
os.kill(os.getpid(), signal.SIGKILL)
"""
LAST_LINE = "all steps were observed; all processes have ended"


@pytest.fixture
def demo():
    """Return a demo that is under way."""
    process = Process(COMMAND, "demo", "--nodes", "3")
    yield process
    process.end()


def test_everything_is_shown_with_its_latency():
    done = cluster_kit("demo", "--once", timeout_s=120)
    assert done.stderr == ""
    assert done.returncode == 0
    *lines, last = done.stdout.splitlines()
    results = [line.split() for line in lines if line.startswith("  ")]
    assert [" ".join(words[:-2]) for words in results] == RESULTS
    assert all(0 <= float(words[-2]) < DEADLINE_S and words[-1] == "s" for words in results)
    assert last == LAST_LINE


def test_terminal_shows_a_live_table():
    shown = on_terminal(COMMAND)
    assert "last event" in shown
    assert [text for text in (*RESULTS, LAST_LINE) if text not in shown] == []


def test_terminal_without_rich_shows_lines_and_how_to_get_it():
    shown = on_terminal(sys.executable, "-c", WITHOUT_RICH)
    assert "pip install 'cluster-kit[cli]'" in shown
    assert "last event" not in shown
    assert [text for text in (*RESULTS, LAST_LINE) if text not in shown] == []


def on_terminal(*command):
    """Run a small demo on a terminal and return all that it shows."""
    terminal, theirs = os.openpty()
    environ = os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    with subprocess.Popen(
        [*command, "demo", "--nodes", "2", "--once"], stdout=theirs, stderr=theirs, env=environ
    ) as process:
        os.close(theirs)
        shown = "".join(iter(lambda: read(terminal), ""))
        assert process.wait() == 0
    os.close(terminal)
    return shown


def read(terminal):
    try:
        return os.read(terminal, 65536).decode(errors="replace")
    except OSError:  # nobody has the other end open any more
        return ""


@pytest.mark.parametrize(
    "moment", ["3 nodes are started", "are killed", "is started again", "are frozen", "is thawed"]
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_says_so(demo, moment, number):
    demo.until_printed(moment)
    demo.signal(number)
    assert demo.wait() == 1
    assert demo.errors == ["cluster-kit: demo: interrupted before the last step"]


def test_cluster_goes_on_until_ctrl_c(demo):
    demo.until_printed("the cluster keeps running until Ctrl-C")
    demo.signal(signal.SIGINT)
    assert demo.wait() == 0
    assert demo.lines[-1] == LAST_LINE
    assert demo.errors == []


@pytest.mark.parametrize(
    "moment", ["3 nodes are started", "are frozen", "the cluster keeps running"]
)
def test_killed_demo_leaves_nothing(demo, moment):
    demo.until_printed(moment)
    demo.signal(signal.SIGKILL)
    assert demo.wait() == -signal.SIGKILL


def test_demo_killed_before_its_nodes_have_stopped_leaves_nothing():
    # to stop takes a moment; more often than not, one of these is killed within it
    demos = [subprocess.Popen([sys.executable, "-c", KILLED_IN_FREEZING]) for _ in range(6)]
    assert {demo.wait(2 * DEADLINE_S) for demo in demos} == {-signal.SIGKILL}


def test_step_not_seen_is_reported_with_the_cause():
    done = cluster_kit("demo", "--once", env=os.environ | {"CLUSTER_KIT_SECRET": "of two\nlines"})
    assert done.returncode == 1
    first, *rest = done.stderr.splitlines()
    assert first.startswith("cluster-kit: demo: not seen: all linked to each other: ")
    assert "ended too early" in first
    assert any("CLUSTER_KIT_SECRET" in line for line in rest)


@pytest.mark.parametrize("interrupted", [True, False])
def test_signal_that_spoils_a_lock_is_an_interruption_and_nothing_else_is(monkeypatch, interrupted):
    def show(cluster, view):
        try:
            if interrupted:
                raise KeyboardInterrupt
        finally:
            raise RuntimeError("cannot release un-acquired lock")

    monkeypatch.setattr("cluster_kit.cli.demo.show.show", show)
    before = signal.getsignal(signal.SIGTERM)
    try:
        done = CliRunner().invoke(main, ["demo", "--once"])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ("interrupted before the last step" in done.output) is interrupted
    assert isinstance(done.exception, SystemExit if interrupted else RuntimeError)
