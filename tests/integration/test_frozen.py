"""A program that PyInstaller made, in one file and in one folder, has workers.

One that forgets ``multiprocessing.freeze_support()`` has none, and does not multiply.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cluster_kit.__pyinstaller import get_hook_dirs

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
BUILD_S = 300.0
TIMEOUT_S = 60

PROGRAM = """
import json, multiprocessing, os, signal, sys

from cluster_kit import NodeDown, NodeUp, Supervisor


def main(config, kill):
    with Supervisor(config) as cluster, cluster.subscribe() as events:
        cluster.wait_for(2, timeout_s=60)
        if kill:
            os.kill(cluster.status()["lan"].pid, signal.SIGKILL)
            next(event for event in events if isinstance(event, NodeDown))
            next(event for event in events if isinstance(event, NodeUp))
        status = cluster.status()["lan"]
        seen = {"worker": status.pid, "restarts": status.restarts, "sources": list(status.sources)}
        print(json.dumps(seen), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    if "FORGETS_THE_HOOK" not in os.environ:
        multiprocessing.freeze_support()
    main(json.loads(os.environ["CONFIG"]), sys.argv[1:] == ["kill"])
"""

PLUGIN = """
from cluster_kit import Found, Strategy, hookimpl

class NobodyStrategy(Strategy):
    async def discover(self, ctx):
        yield Found([])

@hookimpl
def cluster_kit_strategies():
    return {"nobody": "frozen_plugin:NobodyStrategy"}
"""

SPEC = """
a = Analysis([{program!r}], pathex=[{folder!r}], hookspath={hooks!r}, excludes={excludes!r})
pyz = PYZ(a.pure)
EXE(pyz, a.scripts, a.binaries, a.datas, name="one-file")
program = EXE(pyz, a.scripts, exclude_binaries=True, name="program")
COLLECT(program, a.binaries, a.datas, name="one-folder")
"""
EXCLUDED = [
    "kubernetes",
    "aiohttp",
    "zeroconf",
    "dns",
    "cryptography",
    "rich",
    "hypothesis",
    "pytest",
    "cluster_kit.testing",
]
PROGRAMS = ["one-file", "one-folder/program"]


@pytest.fixture(scope="module")
def built(tmp_path_factory, require):
    """Build the program once, with an installed plugin of its own."""
    pytest.importorskip("PyInstaller")
    require("objdump")
    folder = tmp_path_factory.mktemp("frozen")
    program = folder / "program.py"
    program.write_text(PROGRAM)
    (folder / "frozen_plugin.py").write_text(PLUGIN)
    info = folder / "frozen_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: frozen-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[cluster_kit]\nfrozen = frozen_plugin\n")
    spec = folder / "program.spec"
    spec.write_text(
        SPEC.format(
            program=str(program), folder=str(folder), hooks=get_hook_dirs(), excludes=EXCLUDED
        )
    )
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])),
        "PYINSTALLER_CONFIG_DIR": str(folder / "cache"),
    }
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN", str(spec)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=BUILD_S
    )
    assert done.returncode == 0, done.stderr
    yield folder / "dist"
    shutil.rmtree(folder)


@contextlib.contextmanager
def running(program, name, *arguments):
    topology = {"strategy": ["gossip", "nobody"]}
    config = {
        "node": f"{name}@127.0.0.1",
        "cluster": f"frozen-{os.getpid()}",
        "topologies": {"lan": topology},
    }
    # a program of one file unpacks itself into a folder that it leaves behind when it is killed
    environment = os.environ | {"CONFIG": json.dumps(config), "TMPDIR": str(program.parent)}
    process = subprocess.Popen(
        [str(program), *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.stdin.close()


@pytest.mark.timeout(BUILD_S + TIMEOUT_S)
@pytest.mark.parametrize("program", PROGRAMS)
def test_frozen_programs_form_a_cluster_and_replace_a_worker(built, program):
    with running(built / program, "a", "kill") as a, running(built / program, "b") as b:
        told = [json.loads(process.stdout.readline()) for process in (a, b)]
        assert [each["restarts"] for each in told] == [1, 0]
        assert told[0]["sources"] == ["gossip", "nobody#2"]
    assert a.returncode == b.returncode == 0
    for each in told:
        with pytest.raises(ProcessLookupError):
            os.kill(each["worker"], 0)


@pytest.mark.timeout(BUILD_S + TIMEOUT_S)
@pytest.mark.parametrize("program", PROGRAMS)
def test_frozen_program_that_is_killed_leaves_no_worker(built, program):
    with running(built / program, "a") as a, running(built / program, "b") as b:
        for process in (a, b):
            json.loads(process.stdout.readline())  # both see each other, before either is gone
        for process in (a, b):
            # of what is left, the fixture that every test has tells
            process.send_signal(signal.SIGKILL)


@pytest.mark.timeout(BUILD_S + TIMEOUT_S)
@pytest.mark.parametrize("program", PROGRAMS)
def test_program_that_forgets_the_hook_says_so_and_does_not_multiply(built, program, monkeypatch):
    monkeypatch.setenv("FORGETS_THE_HOOK", "1")
    monkeypatch.setenv("CONFIG", json.dumps({"topologies": {"lan": {"strategy": "gossip"}}}))
    done = subprocess.run([built / program], capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 1
    again = "this process was started as a worker, and runs the program from its beginning"
    assert done.stderr.count(again) == 1
    assert done.stderr.count("Failed to execute script") == 2
    cure = "a frozen program calls multiprocessing.freeze_support() first of all"
    assert f"is not a cluster_kit worker: {cure}" in done.stderr


def test_the_distribution_registers_its_pyinstaller_hook():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pyinstaller40"] == {
        "hook-dirs": "cluster_kit.__pyinstaller:get_hook_dirs"
    }
