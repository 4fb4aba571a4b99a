"""``cluster-kit new``: its output works as it is, and it overwrites nothing.

That a new plugin of each kind can be installed, and passes its tests then, is tried by
``.ci/test_plugins.py``.
"""

import os
import subprocess
import sys
import tomllib
from datetime import date

import pytest
from cli_process import cluster_kit

pytestmark = pytest.mark.once

KINDS = ("strategy", "registry", "connector", "topology", "observer", "command")


def written(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_passes_its_tests(tmp_path, kind):
    done = cluster_kit("new", kind, "acme_inc", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "cluster-kit-acme-inc"
    assert [f"  {path}" for path in written(folder)] == sorted(done.stdout.splitlines()[1:-1])
    # what an installation would leave
    info = folder / "src" / "cluster_kit_acme_inc-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: cluster-kit-acme-inc\nVersion: 0.1.0\n"
    )
    (info / "entry_points.txt").write_text("[cluster_kit]\nacme_inc = cluster_kit_acme_inc.hooks\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": str(folder / "src")}
    tested = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout
    assert "passed" in tested.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_to_fill_in(tmp_path, kind):
    folder = tmp_path / "deep" / "down"
    assert cluster_kit("new", kind, "acme", "--directory", folder).returncode == 0
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        assert not any(mark in str(path) for mark in ("PACKAGE", "MODULE", ".in"))
        assert "$" not in path.read_text()


@pytest.mark.parametrize(
    ("kind", "name", "why"),
    [
        ("strategy", "gossip", "an installed strategy has this name"),
        ("registry", "gossip", "an installed strategy has this name"),
        ("connector", "tcp", "an installed connector has this name"),
        ("command", "run", "an installed command has this name"),
        ("strategy", "Acme", "expected lower-case words"),
        ("strategy", "../acme", "expected lower-case words"),
        ("strategy", "acme-inc", "expected lower-case words"),
        ("strategy", "a" * 41, "at most 40 characters"),
        ("strategy", "class", "the templates or Python reserve this name"),
        ("strategy", "hooks", "the templates or Python reserve this name"),
        ("strategy", "polling", "the templates or Python reserve this name"),
        ("plugin", "acme", "is not one of"),
    ],
)
def test_name_that_cannot_be_used_is_refused(tmp_path, kind, name, why):
    done = cluster_kit("new", kind, name, cwd=tmp_path)
    assert done.returncode == 2
    assert why in " ".join(done.stderr.split())
    assert written(tmp_path) == []


@pytest.mark.parametrize(
    ("git_name", "holder"),
    [
        (b"Ann Example", "Ann Example"),
        ("J\u00f6rg $HOME".encode(), "J\u00f6rg $HOME"),
        (b"", "YOUR NAME"),
        (None, "YOUR NAME"),
    ],
)
def test_licence_names_the_git_user(tmp_path, git_name, holder):
    config = tmp_path / "gitconfig"
    config.write_bytes(b"" if git_name is None else b'[user]\nname = "' + git_name + b'"\n')
    environment = os.environ | {"GIT_CONFIG_GLOBAL": str(config), "GIT_CONFIG_NOSYSTEM": "1"}
    assert cluster_kit("new", "observer", "acme", cwd=tmp_path, env=environment).returncode == 0
    folder = tmp_path / "cluster-kit-acme"
    assert f"Copyright (c) {date.today().year} {holder}\n" in (folder / "LICENSE").read_text()
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert (project["license"], project["license-files"]) == ("MIT", ["LICENSE"])


def test_licence_has_a_placeholder_where_there_is_no_git(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PATH"} | {
        "PATH": str(tmp_path)
    }
    assert cluster_kit("new", "command", "acme", cwd=tmp_path, env=environment).returncode == 0
    assert "YOUR NAME" in (tmp_path / "cluster-kit-acme" / "LICENSE").read_text()


def test_command_has_dashes_where_its_package_has_none(tmp_path):
    done = cluster_kit("new", "command", "say_hello", cwd=tmp_path)
    assert done.stdout.startswith("command 'say-hello' in cluster-kit-say-hello:\n")
    folder = tmp_path / "cluster-kit-say-hello" / "src" / "cluster_kit_say_hello"
    offered = '"say-hello": "cluster_kit_say_hello.say_hello:command"'
    assert offered in (folder / "hooks.py").read_text()


def test_existing_folder_is_left_alone(tmp_path):
    folder = tmp_path / "cluster-kit-acme"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    done = cluster_kit("new", "strategy", "acme", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "it exists and is not empty; see --directory" in done.stderr
    assert written(tmp_path) == ["cluster-kit-acme/mine.txt"]


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "here").mkdir()
    assert cluster_kit("new", "topology", "acme", "--directory", tmp_path / "here").returncode == 0
    assert "pyproject.toml" in written(tmp_path / "here")


@pytest.mark.parametrize("at", ["file", "file/below"])
def test_folder_that_cannot_be_made_is_reported_in_one_line(tmp_path, at):
    (tmp_path / "file").write_text("a file")
    done = cluster_kit("new", "topology", "acme", "--directory", tmp_path / at)
    assert done.returncode == 1
    assert done.stderr.startswith("cluster-kit: new: cannot write to")
    assert done.stderr.count("\n") == 1
    assert written(tmp_path) == ["file"]
