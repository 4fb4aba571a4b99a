"""Starting something that is no worker is an error that names it, never another application."""

import asyncio
import multiprocessing.spawn
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from waiting import until

import cluster_kit
from cluster_kit import AsyncSupervisor, ClusterKitError, Supervisor
from cluster_kit.cli import main
from cluster_kit.supervisor import lifecycle
from cluster_kit.supervisor.status import State

ALONE = {"topologies": {"lan": {"strategy": {"name": "static", "nodes": []}}}}
SAYS = 'fd="${!#}"; printf %%b "%s" >&"$fd"; exec sleep 60'  # a worker's last argument is its pipe

NO_WORKERS = {
    "refuses the options": (
        "echo \"invalid option -- 'B'\" >&2; exit 1",
        "exited with code 1, and is not a cluster_kit worker",
    ),
    "exits at once": ("exit 0", "exited with code 0, and is not a cluster_kit worker"),
    "says garbage": (SAYS % "What?", r"sent b'What\?' where"),
    "says much garbage": (SAYS % ("What?" * 1000), r"sent b'What"),
    "says what is no greeting of ours": (SAYS % "cluster-kit worker cpython-27\\n", "cpython-27"),
    "crashes": ("kill -SEGV $$", "was killed by signal 11, and is not a cluster_kit worker"),
    "is killed": (
        "kill -KILL $$",
        "was killed by signal 9 before it sent anything: is memory exhausted",
    ),
    "forks and exits": (
        f'{sys.executable} "$@" & exit 0',
        "exited with code 0, and is not a cluster_kit worker",
    ),
    "prints to standard output": (
        "echo Python 3.13.0; exit 3",
        "exited with code 3, and is not a cluster_kit worker",
    ),
}


@pytest.fixture
def executable(tmp_path, monkeypatch):
    """Return a function that has a shell script take the interpreter's place."""

    def set_executable(script):
        path = tmp_path / "no-python"
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(multiprocessing.spawn, "_python_exe", os.fsencode(path))
        return path

    return set_executable


@pytest.mark.parametrize(("script", "what"), NO_WORKERS.values(), ids=NO_WORKERS)
def test_start_says_which_program_is_no_worker_and_what_to_do(executable, script, what):
    path = executable(script)
    with pytest.raises(ClusterKitError, match=what) as caught, Supervisor(ALONE):
        pass
    assert str(path) in str(caught.value)
    assert "multiprocessing.set_executable(" in str(caught.value) or "signal 9" in what
    assert "\n" not in str(caught.value)


def test_program_that_says_nothing_is_killed_in_time(executable, monkeypatch):
    monkeypatch.setattr(lifecycle, "GREET_S", 1.0)
    executable("exec sleep 60")
    with (
        pytest.raises(
            ClusterKitError, match="sent nothing for 1 s, and is not a cluster_kit worker"
        ),
        Supervisor(ALONE),
    ):
        pass


def test_interpreter_that_cannot_load_the_package_is_an_error_of_start(monkeypatch):
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if "site-packages" not in entry])
    with (
        pytest.raises(ClusterKitError, match="exited with code 1 before it had loaded cluster_kit"),
        Supervisor(ALONE),
    ):
        pass


@pytest.mark.parametrize("executable", [None, b""])
def test_without_an_executable_the_error_says_so(monkeypatch, executable):
    monkeypatch.setattr(multiprocessing.spawn, "_python_exe", executable)
    with (
        pytest.raises(ClusterKitError, match=r"sys\.executable is .*set_executable"),
        Supervisor(ALONE),
    ):
        pass


def test_executable_that_is_gone_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(multiprocessing.spawn, "_python_exe", os.fsencode(tmp_path))  # a folder
    with (
        pytest.raises(
            ClusterKitError, match=f"'{tmp_path}': permission denied: name .*set_executable"
        ),
        Supervisor(ALONE),
    ):
        pass


def test_asyncio_start_says_the_same(executable):
    executable("exit 1")
    with pytest.raises(ClusterKitError, match="is not a cluster_kit worker"):
        asyncio.run(AsyncSupervisor(ALONE).start())


def test_executable_that_goes_bad_later_is_logged_and_tried_again(
    executable, bench, monkeypatch, caplog
):
    a = bench.start("a", lan={"strategy": {"name": "static", "nodes": []}})
    executable("exit 1")
    os.kill(a.status()["lan"].pid, 9)
    until(
        lambda: "is not a cluster_kit worker" in (a.status()["lan"].last_error or ""),
        "the cause in the status",
    )
    monkeypatch.undo()
    until(lambda: a.status()["lan"].state is State.READY, "served again", timeout_s=60)


def test_wrapper_that_waits_for_the_interpreter_will_do(executable):
    executable(f'{sys.executable} "$@"; exit $?')
    with Supervisor(ALONE) as supervisor:
        assert supervisor.status()["lan"].state in (State.STARTING, State.READY)


def test_doctor_says_the_same(executable, tmp_path):
    executable("exit 1")
    file = tmp_path / "cluster.yaml"
    file.write_text("topologies: {lan: {strategy: static, config: {nodes: []}}}")
    result = CliRunner().invoke(main, ["doctor", str(file)])
    assert result.exit_code == 1
    assert "is not a cluster_kit worker" in result.output


PROGRAM = """\
#!{python}
import multiprocessing, os, sys
from cluster_kit import ClusterKitError, Supervisor

with open({log!r}, "a") as log:
    print("began", file=log)
multiprocessing.set_executable({executable!r})
try:
    with Supervisor({config!r}):
        pass
except ClusterKitError as exc:
    with open({log!r}, "a") as log:
        print(exc, file=log)
    sys.exit(1)
"""


@pytest.mark.parametrize(
    "launcher",
    ["", "#!/bin/sh\nexec env -i {program}\n"],
    ids=["itself", "by a launcher that cleans up"],
)
def test_program_that_is_its_own_interpreter_does_not_multiply(tmp_path, launcher):
    program, log = tmp_path / "program.py", tmp_path / "log"
    executable = tmp_path / "launcher" if launcher else program
    executable.write_text(launcher.format(program=program))
    program.write_text(
        PROGRAM.format(
            python=sys.executable, log=str(log), config=ALONE, executable=str(executable)
        )
    )
    for each in (program, executable):
        each.chmod(0o755)
    done = subprocess.run([program], capture_output=True, timeout=60)
    assert done.returncode == 1
    began, began_again, refused, said = log.read_text().splitlines()
    assert began == began_again == "began"
    assert refused.startswith(
        "supervisor: this process was started as a worker, and runs the program from its beginning"
    )
    assert f"'{executable}' exited with code 1, and is not a cluster_kit worker" in said


def test_plugin_of_a_worker_may_start_programs_and_not_be_one(bench, tmp_path):
    told = tmp_path / "told"
    strategy = {"name": "misbehaving:StartsApplications", "told": str(told)}
    bench.start("a", lan={"strategy": strategy, "connector": "none"})
    until(
        lambda: told.exists() and len(told.read_text().splitlines()) == 2, "both told", timeout_s=60
    )
    here, program = told.read_text().splitlines()
    assert here.startswith(
        "supervisor: this process is a worker, and can't be an application as well"
    )
    assert program == "it runs"


def test_package_in_a_zip_archive_has_workers(tmp_path):
    archive = tmp_path / "app.pyz"
    with zipfile.ZipFile(archive, "w") as zipped:
        root = Path(cluster_kit.__file__).parent
        for file in root.rglob("*.py"):
            zipped.write(file, Path("cluster_kit") / file.relative_to(root))
        zipped.writestr(
            "__main__.py",
            textwrap.dedent(f"""\
                import cluster_kit
                with cluster_kit.Supervisor({ALONE!r}) as supervisor:
                    print(cluster_kit.__file__, supervisor.status()["lan"].restarts)
                """),
        )
    done = subprocess.run([sys.executable, archive], capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{archive}/cluster_kit/__init__.py 0\n", done.stderr
