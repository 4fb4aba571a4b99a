"""``os.execv`` while a supervisor runs: the next program inherits its workers as children."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.once

PROGRAM = textwrap.dedent("""\
    import json, os, sys
    import psutil
    from cluster_kit import Supervisor

    config, left = json.loads(sys.argv[1]), int(sys.argv[2])
    supervisor = Supervisor(config).start()
    worker = supervisor.status()["lan"].pid
    if left:
        os.execv(sys.executable, [sys.executable, __file__, sys.argv[1], str(left - 1)])
    children = psutil.Process().children()
    print(json.dumps([worker, [[child.pid, child.status()] for child in children]]))
    supervisor.stop()
    """)


@pytest.mark.parametrize(
    "strategy", ["misbehaving:Knows", "misbehaving:BlocksTheLoop", "misbehaving:HoldsTheLock"]
)
def test_no_worker_of_the_former_program_is_left(tmp_path, monkeypatch, bench, strategy):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    config = bench.config("a", lan={"strategy": strategy, "connector": "none"})
    restarts = "1" if "Holds" in strategy else "5"
    done = subprocess.run(
        [sys.executable, program, json.dumps(config), restarts],
        capture_output=True,
        text=True,
        timeout=100,
    )
    worker, children = json.loads(done.stdout or done.stderr)
    assert [pid for pid, _ in children] == [worker], children


def test_children_of_the_application_are_left_alone(bench):
    child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    bench.start("a")
    assert child.wait() == 7
