"""The tutorial, followed to the letter, and the programs of the embedding guide, run unchanged."""

import secrets
import signal
import subprocess
import sys

import pytest
from cli_process import COMMAND, Process
from docs_pages import texts


@pytest.fixture
def own():
    """Return a function that makes a text's cluster one that is this test's alone."""
    mark = secrets.token_hex(6)
    return lambda text: text.replace("cluster: tutorial", f"cluster: {mark}").replace(
        '"tutorial"', f'"{mark}"'
    )


@pytest.fixture
def start(tmp_path):
    processes = []

    def start(*command):
        processes.append(Process(*command, cwd=tmp_path))
        return processes[-1]

    yield start
    for process in processes:
        process.end()


def test_two_nodes_of_the_tutorial_find_each_other(start, own, tmp_path):
    (tmp_path / "cluster.yaml").write_text(own(texts("docs/tutorial.md", "yaml")[0]))
    [commands] = [
        block for block in texts("docs/tutorial.md", "console") if "cluster-kit run" in block
    ]
    a, b = (start(COMMAND, *line.split()[1:]) for line in commands.splitlines())
    a.until(lambda: any("b@127.0.0.1 is up" in line for line in a.lines), "b is up")
    b.until(lambda: any("a@127.0.0.1 is up" in line for line in b.lines), "a is up")
    b.signal(signal.SIGINT)
    assert b.wait() == 0
    a.until(lambda: any("b@127.0.0.1" in line and "left" in line for line in a.lines), "b left")


def test_program_of_the_tutorial_reports_the_other(start, own, tmp_path):
    [program] = texts("docs/tutorial.md", "python")
    (tmp_path / "app.py").write_text(own(program))
    a, b = (start(sys.executable, "app.py", name) for name in "ab")
    for node in (a, b):
        node.until_printed("there:")
    b.signal(signal.SIGTERM)
    a.until_printed("gone: b@127.0.0.1 left")
    assert a.wait() == 0
    assert a.lines[0] == "together: b@127.0.0.1"
    assert a.errors == []


@pytest.mark.parametrize("number", range(len(texts("docs/embedding.md", "python"))))
def test_program_of_the_guide_runs(number, tmp_path):
    program = texts("docs/embedding.md", "python")[number]
    if "async def main" in program:
        program += "\n\nimport asyncio\n\nasyncio.run(main())\n"
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_program_of_the_readme_reports_the_other(start, tmp_path):
    [program] = {*texts("README.md", "python"), *texts("docs/index.md", "python")}  # it is one
    names = [f"{name}{secrets.token_hex(4)}" for name in "ab"]  # its cluster is open to all
    (tmp_path / "app.py").write_text(program)
    a, b = (start(sys.executable, "-u", "app.py", name) for name in names)
    a.until_printed(f"{names[1]}@127.0.0.1")
    b.until_printed(f"{names[0]}@127.0.0.1")
    b.signal(signal.SIGTERM)
    a.until_printed(f"gone {names[1]}@127.0.0.1 left")
