"""The commands that come back: ``check``, ``nodes``, ``plugins``, help and version."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from cli_process import COMMAND, cluster_kit

from cluster_kit.cli import COMMANDS
from cluster_kit.cli.configuration import read_configuration

FILE = """
node: web@${HOST:-127.0.0.1}
cluster: shop
metadata: {zone: a}
topologies:
  lan:
    strategy: gossip
    config: {port: 45893}
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "shop.yaml"
    path.write_text(FILE)
    return path


def broken_plugin(folder):
    """Return an environment with an installed plugin that fails at import."""
    (folder / "acme_plugin.py").write_text("raise RuntimeError('not today')\n")
    info = folder / "acme-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[cluster_kit]\nacme = acme_plugin\n")
    return {"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"}


# -- help and version ------------------------------------------------------------------------------


def test_version():
    assert cluster_kit("--version").stdout == f"cluster-kit {version('cluster-kit')}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_a_paragraph_an_example_and_the_exit_codes(command):
    shown = cluster_kit(command, "--help").stdout
    assert f"Usage: cluster-kit {command}" in shown
    assert "\n\nExample:\n" in shown
    assert "cluster-kit " + command in shown.partition("Example:")[2]
    assert "\n\nExit codes:\n  0  " in shown


def test_help_lists_every_command():
    shown = cluster_kit("--help").stdout
    assert [command for command in COMMANDS if f"\n  {command} " not in shown] == []


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    code = (
        "import sys\nfrom cluster_kit.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"asyncio", "msgspec", "yaml", "rich", "multiprocessing"}


def test_unknown_command_is_named():
    done = cluster_kit("runn")
    assert done.returncode == 2
    assert "runn" in done.stderr


# -- check -----------------------------------------------------------------------------------------


def test_check_shows_what_would_run(file):
    done = cluster_kit("check", file)
    assert done.returncode == 0
    words = " ".join(done.stdout.split())
    for shown in (
        "node web@127.0.0.1",
        "cluster shop",
        "metadata zone=a",
        "topology lan",
        "strategy gossip port=45893",
        "connector tcp",
        "topology full_mesh",
    ):
        assert shown in words


def test_check_shows_what_a_topology_is_bound_by(cluster):
    file = cluster.write(
        "bound.yaml",
        {"lan": {"strategy": "gossip", "prune": False, "max_nodes": 5, "remember_s": 60}},
    )
    rows = {
        line.split()[0]: line.split()[1]
        for line in cluster_kit("check", file).stdout.splitlines()
        if line.startswith("  ")
    }
    expected = {
        "prune": "False",
        "max_nodes": "5",
        "connect_timeout_s": "5.0",
        "remember_s": "60.0",
    }
    assert rows | expected == rows


def test_check_reports_every_fault(tmp_path):
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text("clutser: x\ntopologies:\n  lan:\n    strategy: gosip\n")
    done = cluster_kit("check", faulty)
    assert done.returncode == 2
    places = [line.split(" ")[0] for line in done.stderr.splitlines()]
    assert places == [f"{faulty}:1:1:", f"{faulty}:4:15:"]
    assert "did you mean 'cluster'" in done.stderr
    assert "did you mean 'gossip'" in done.stderr


def test_check_of_no_file_is_one_line(tmp_path):
    done = cluster_kit("check", tmp_path / "none.yaml")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["run", "check", "nodes"])
def test_file_in_a_folder_that_is_gone_is_one_line(tmp_path, command):
    (tmp_path / "gone").mkdir()
    script = 'cd "$1" && rmdir "$1" && exec "$2" "$3" cluster.yaml'
    done = subprocess.run(
        ["sh", "-c", script, "sh", tmp_path / "gone", COMMAND, command],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "cluster.yaml" in line


@pytest.mark.parametrize(
    ("name", "node"),
    [(None, "web@127.0.0.2"), ("b", "b@127.0.0.2"), ("b@127.0.0.3", "b@127.0.0.3")],
)
def test_basename_alone_takes_the_host_of_the_file(file, monkeypatch, name, node):
    monkeypatch.setenv("HOST", "127.0.0.2")
    config, _ = read_configuration(str(file), name)
    assert config.node == node


# -- nodes -----------------------------------------------------------------------------------------


def test_nodes_lists_running_nodes_without_being_noticed(cluster):
    file = cluster.write(
        "tagged.yaml", {"lan": {"strategy": "gossip"}}, node="a@127.0.0.1", metadata={"zone": "x"}
    )
    a, b = cluster.run("a@127.0.0.1", file=file), cluster.run("b", file=file)
    address = a.wait_for("ready")["address"]
    b.wait_for("node_up", node="a@127.0.0.1")
    done = cluster_kit("nodes", file)
    assert done.returncode == 0
    title, *rows = (line.split() for line in done.stdout.splitlines())
    assert title == ["TOPOLOGY", "NODE", "ADDRESS", "METADATA"]
    assert ["lan", "a@127.0.0.1", address, "zone=x"] in rows
    assert [row[1] for row in rows] == ["a@127.0.0.1", "b@127.0.0.1"]
    assert {event.get("node") for event in a.events} == {None, "b@127.0.0.1"}
    assert done.stderr == ""


def test_nodes_fails_with_one_line_when_none_are_found(cluster):
    done = cluster_kit("nodes", cluster.file, "--wait", "0.5")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(
        f"cluster-kit: nodes: no nodes found within 0.5 s in cluster '{cluster.name}'"
    )


def test_nodes_reports_a_sick_source(cluster):
    (cluster.folder / "sick.py").write_text(
        "from cluster_kit import DiscoveryError, Failed, Strategy\n\n"
        "class Sick(Strategy):\n"
        "    async def discover(self, ctx):\n"
        "        yield Failed(DiscoveryError('sick: no answer'))\n"
    )
    done = cluster_kit(
        "nodes", cluster.write("sick.yaml", {"lan": {"strategy": "sick:Sick"}}), "--wait", "1"
    )
    assert done.returncode == 1
    assert done.stderr == "cluster-kit: nodes: no nodes found: lan: sick: no answer\n"


# -- plugins ---------------------------------------------------------------------------------------


def test_plugins_shows_what_is_offered():
    done = cluster_kit("plugins")
    assert done.returncode == 0
    assert "cluster_kit.strategies  built in" in done.stdout
    assert (
        "strategy: dns, dns_srv, epmd, erlang_hosts, gossip, hosts_file, kubernetes" in done.stdout
    )


def test_plugins_shows_what_is_broken(tmp_path):
    environment = broken_plugin(tmp_path)
    for strict in ("0", "1"):  # what is fatal to others is what this command is to tell
        done = cluster_kit("plugins", env=environment | {"CLUSTER_KIT_STRICT_PLUGINS": strict})
        assert done.returncode == 1
        assert "\nacme (acme 1.2): RuntimeError: not today, in " in done.stdout
        assert done.stderr == ""


def test_strict_plugins_fail_in_one_line(tmp_path, file):
    done = cluster_kit(
        "check", file, env=broken_plugin(tmp_path) | {"CLUSTER_KIT_STRICT_PLUGINS": "1"}
    )
    assert done.returncode == 1
    assert done.stderr.startswith(
        "cluster-kit: plugin acme (acme 1.2): RuntimeError: not today, in "
    )
    assert done.stderr.count("\n") == 1


def test_broken_plugin_does_not_disturb_a_check(tmp_path, file):
    done = cluster_kit("check", file, env=broken_plugin(tmp_path))
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["plugins"], ["check"]])
def test_output_that_cannot_be_written_is_one_line(file, arguments):
    with Path("/dev/full").open("wb") as full:
        command = [COMMAND, *arguments, *([str(file)] if arguments == ["check"] else [])]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "cluster-kit: cannot print: No space left on device\n"


@pytest.mark.parametrize(
    "arguments",
    [
        "check FILE",
        "doctor FILE --wait 0.1",
        "nodes FILE --wait 0.1",
        "plugins",
        "manifest kubernetes",
    ],
)
def test_standard_streams_that_are_closed_are_no_hindrance(file, arguments):
    line = f'exec "{COMMAND}" {arguments.replace("FILE", str(file))} <&- >&-'
    done = subprocess.run(["/bin/sh", "-c", line], stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == (1 if "--wait" in arguments else 0)  # nobody is there
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["a.b", "1web", "x" * 56, "-a", "Web"])
def test_manifest_takes_no_name_that_makes_an_unusable_service(name):
    done = cluster_kit("manifest", "kubernetes", f"--name={name}")
    assert done.returncode == 2
    assert "expected at most 55 lower-case letters" in done.stderr.replace("\n", " ")
