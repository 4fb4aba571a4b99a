"""All works without Linux-only calls: refused by a seccomp profile, or absent as on macOS."""

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from waiting import until

HERE = Path(__file__).parent
TAKEN_AWAY = str(HERE / "taken_away.py")
GOSSIP = {"strategy": "gossip"}

APP = textwrap.dedent("""\
    import json, os, signal, sys
    from cluster_kit import NodeDown, NodeUp, Supervisor

    gone = [name for name in ("pidfd_open", "eventfd", "memfd_create") if not hasattr(os, name)]
    if not gone:
        try:
            os.pidfd_open(os.getpid())
        except PermissionError:
            gone = "refused"
    config, kill = json.loads(sys.argv[1]), len(sys.argv) > 2
    with Supervisor(config, control=True) as a, a.subscribe() as events:
        a.wait_for(2, timeout_s=60)
        if kill:
            os.kill(a.status()["lan"].pid, signal.SIGKILL)
            next(event for event in events if isinstance(event, NodeDown))
            next(event for event in events if isinstance(event, NodeUp))
        lan = a.status()["lan"]
        print(json.dumps({"gone": gone, "worker": lan.pid, "restarts": lan.restarts}), flush=True)
        signal.pause()
    """)


HIDE_PROC = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$0" "$@"']


@pytest.fixture(params=["refused", "missing"])
def run(request, tmp_path, monkeypatch):
    """Return a function that starts a program from which everything was taken."""
    monkeypatch.setenv("TAKEN_AWAY_FOLDER", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    program = tmp_path / "app.py"
    program.write_text(APP)

    started = []

    def start(*arguments, program=program, within=()):
        command = [*within, sys.executable, TAKEN_AWAY, request.param, str(program), *arguments]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_nodes_link_a_worker_is_replaced_and_none_outlives_the_application(run, bench):
    apps = [
        run(json.dumps(bench.config("a", lan=GOSSIP)), "kill"),
        run(json.dumps(bench.config("b", lan=GOSSIP))),
    ]
    told = [json.loads(app.stdout.readline()) for app in apps]
    assert all(each["gone"] for each in told)
    assert [each["restarts"] for each in told] == [1, 0]
    status = subprocess.run(
        [sys.executable, "-m", "cluster_kit.cli", "status"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "a@127.0.0.1" in status.stdout, status.stderr
    for app in apps:
        app.kill()
    until(lambda: not any(alive(each["worker"]) for each in told), "workers gone", timeout_s=8)


def test_worker_of_an_application_that_is_interrupted_leaves(run, bench):
    apps = [run(json.dumps(bench.config(name, lan=GOSSIP))) for name in "ab"]
    told = [json.loads(app.stdout.readline()) for app in apps]
    for app in apps:
        app.send_signal(signal.SIGINT)
        app.wait(20)
    assert not any(alive(each["worker"]) for each in told)


def test_the_demo_shows_everything(run):
    demo = run("demo", "--once", "--nodes", "3", program=Path(sys.prefix, "bin", "cluster-kit"))
    said, _ = demo.communicate(timeout=100)
    assert demo.returncode == 0, said


@pytest.mark.netns  # which takes the same privilege
def test_nodes_link_without_proc(run, bench, require):
    require("unshare")
    apps = [run(json.dumps(bench.config(name, lan=GOSSIP)), within=HIDE_PROC) for name in "ab"]
    assert all(json.loads(app.stdout.readline())["restarts"] == 0 for app in apps)
