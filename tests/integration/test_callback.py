"""Functions of an application hold the links of a real worker."""

import os
import signal

import pytest
from click.testing import CliRunner
from waiting import next_of, until

from cluster_kit import NodeDown, NodeUp, Reason, Supervisor
from cluster_kit.cli import main

MODULE = "links_on_disk"
PORTS = {"ann": 4001, "bob": 4002, "late": 4003, "stranger": 4004}


def full(*names):
    return {f"{name}@127.0.0.1" for name in names}


def test_check_calls_the_functions_as_the_file_does(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text("topologies: {x: {strategy: gossip, connect: 'links_on_disk:connect_any'}}")
    shown = CliRunner().invoke(main, ["check", str(file)]).output
    assert "connect=Callback(target='links_on_disk:connect_any', args=())" in shown


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "links"
    folder.mkdir()
    return folder


@pytest.fixture
def supervisor(folder, tmp_path):
    functions = {
        name: [MODULE, name, [str(folder)]] for name in ("connect", "disconnect", "list_nodes")
    }
    hosts = tmp_path / "hosts"
    hosts.write_text("".join(f"{name}@127.0.0.1:{port}\n" for name, port in PORTS.items()))
    entry = {
        "strategy": "hosts_file",
        "config": {"path": str(hosts), "interval_s": 0.05},
        "connector": {"name": "callback", "interval_s": 0.05, **functions},
    }
    with Supervisor({"node": "here@127.0.0.1", "topologies": {"disk": entry}}) as supervisor:
        yield supervisor


def linked(folder):
    return {path.name for path in folder.iterdir() if "@" in path.name}


def up(supervisor):
    return {node.name for node in supervisor.nodes("disk")}


def test_links_are_opened_listed_and_closed(supervisor, folder, tmp_path):
    until(lambda: up(supervisor) == linked(folder) == full("ann", "bob"), "ann and bob linked")
    (folder / "late").touch()
    until(
        lambda: up(supervisor) == linked(folder) == full("ann", "bob", "late"),
        "the late one linked",
    )
    (folder / "guest@127.0.0.1").touch()
    until(
        lambda: up(supervisor) == full("ann", "bob", "late", "guest"),
        "a link that somebody else opened",
    )
    (tmp_path / "hosts").write_text("bob@127.0.0.1:4002\n")
    until(
        lambda: linked(folder) == up(supervisor) == full("bob", "guest"),
        "ann and the late one unlinked",
    )
    supervisor.stop()
    assert linked(folder) == set()


def test_a_link_that_is_gone_from_the_list_is_opened_again(supervisor, folder):
    until(lambda: up(supervisor) == full("ann", "bob"), "ann and bob linked")
    with supervisor.subscribe() as events:
        (folder / "bob@127.0.0.1").unlink()
        next_of(events, NodeDown, node="bob@127.0.0.1", reason=Reason.CLOSED)
        next_of(events, NodeUp, node="bob@127.0.0.1")
    assert linked(folder) == full("ann", "bob")


def test_the_next_worker_takes_over_the_links_of_one_that_was_killed(supervisor, folder):
    until(lambda: up(supervisor) == full("ann", "bob"), "ann and bob linked")
    dead = supervisor.status()["disk"].pid
    os.kill(dead, signal.SIGKILL)
    until(lambda: supervisor.status()["disk"].pid not in (dead, None), "another worker")
    until(lambda: up(supervisor) == full("ann", "bob"), "ann and bob linked")
    assert linked(folder) == full("ann", "bob")
