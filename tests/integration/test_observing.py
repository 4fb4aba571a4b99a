"""``Supervisor(observe=True)`` only looks: no node notices it, and no plugin's hook is called."""

import asyncio
import json
import logging
import os
import re
import subprocess
import sys

import pytest
from waiting import until

from cluster_kit import (
    AsyncSupervisor,
    ConfigError,
    Supervisor,
    TopologyEvent,
    WaitTimeoutError,
    hookimpl,
)
from cluster_kit.plugins import PluginRegistry

FORKS = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
ALONE = {"topologies": {"lan": {"strategy": {"name": "static", "nodes": []}}}}


class Listens:
    """A plugin that listens to everything."""

    def __init__(self):
        self.heard = []

    @hookimpl
    def cluster_kit_event(self, event):
        self.heard.append(event)

    @hookimpl
    def cluster_kit_node_up(self, topology, node):
        self.heard.append(node)

    @hookimpl
    def cluster_kit_node_down(self, topology, node, reason):
        self.heard.append(node)


@pytest.fixture
def listening():
    plugins, plugin = PluginRegistry.load(), Listens()
    plugins._hooks.manager.register(plugin)
    return plugins, plugin


def gossip(node="a@127.0.0.1"):
    return {
        "node": node,
        "cluster": f"observed-{os.getpid()}",
        "topologies": {"lan": {"strategy": "gossip"}},
    }


def test_the_node_of_the_file_is_seen_and_has_no_rival(listening, caplog):
    caplog.set_level(logging.WARNING)
    plugins, plugin = listening
    with Supervisor(gossip()) as a, Supervisor(gossip(), observe=True, plugins=plugins) as observer:
        events = observer.subscribe()
        observer.wait_for(1, timeout_s=30)
        assert [str(node) for node in observer.nodes()] == ["a@127.0.0.1"]
        assert [str(node) for node in observer.nodes(state="known")] == ["a@127.0.0.1"]
        assert re.fullmatch(r"onlooker-\d+-[0-9a-f]{8}@127\.0\.0\.1", str(observer.local))
        assert observer.status()["lan"].last_error is None
        assert a.nodes(state="known") == a.nodes() == ()
        with pytest.raises(
            WaitTimeoutError, match=r"1 of 2 nodes are up after 0\.1 s: a@127\.0\.0\.1$"
        ):
            observer.wait_for(2, timeout_s=0.1)
        with pytest.raises(ConfigError, match=r"allows 10000$"):
            observer.wait_for(10_001)
    assert not [event for event in events if isinstance(event, TopologyEvent)]
    assert not [record for record in caplog.records if "conflict" in record.getMessage()]
    assert plugin.heard == []


def test_participating_supervisor_calls_the_hooks(listening):
    plugins, plugin = listening
    with Supervisor(gossip(), plugins=plugins), Supervisor(gossip("b@127.0.0.1")):
        until(lambda: "b@127.0.0.1" in map(str, plugin.heard), "the hook called")


def test_asyncio_counts_the_same():
    async def scenario():
        async with AsyncSupervisor(gossip()), AsyncSupervisor(gossip(), observe=True) as observer:
            await observer.wait_for(1, timeout_s=30)
            with pytest.raises(WaitTimeoutError, match="1 of 2 nodes"):
                await observer.wait_for(2, timeout_s=0.1)

    asyncio.run(scenario())


ALARMS = """
import os
from cluster_kit import hookimpl

def tell(what):
    with open({told!r}, "a") as file:
        print(os.getpid(), what, file=file)

@hookimpl
def cluster_kit_event(event):
    tell(event)

@hookimpl
def cluster_kit_node_up(topology, node):
    tell(node)

@hookimpl
def cluster_kit_node_down(topology, node, reason):
    tell(node)
"""


@pytest.mark.parametrize("command", ["nodes", "doctor", "run"])
def test_commands_that_look_call_no_hook_of_an_installed_plugin(command, tmp_path, monkeypatch):
    told = tmp_path / "told"
    (tmp_path / "alarms.py").write_text(ALARMS.format(told=str(told)))
    info = tmp_path / "alarms-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: alarms\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[cluster_kit]\nalarms = alarms\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    file = tmp_path / "cluster.yaml"
    file.write_text(json.dumps(gossip("b@127.0.0.1")))
    with Supervisor(gossip()) as a:
        options = ["--until-eof", "--events", "json"] if command == "run" else ["--wait", "2"]
        looking = subprocess.Popen(
            [sys.executable, "-m", "cluster_kit.cli", command, str(file), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if command == "run":
            a.wait_for(2, timeout_s=30)
        said, _ = looking.communicate(timeout=60)
        assert "a@127.0.0.1" in said
        assert told.exists() == (command == "run")


def test_names_that_are_made_up_differ_where_pids_do_not(monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as in containers
    names = {str(Supervisor(ALONE).local) for _ in range(50)}
    assert len(names) == 50
    assert all(re.fullmatch(r"node-1-[0-9a-f]{8}@127\.0\.0\.1", name) for name in names)


def test_name_is_kept_when_a_worker_is_replaced():
    with Supervisor(ALONE) as supervisor:
        name, pid = supervisor.local, supervisor.status()["lan"].pid
        os.kill(pid, 9)
        until(lambda: supervisor.status()["lan"].pid not in (None, pid), "another worker")
        assert supervisor.local == name


@FORKS
def test_supervisor_made_before_forks_has_another_name_in_each():
    made = Supervisor(ALONE)
    names = []
    for _ in range(2):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            with made:
                os.write(writing, str(made.local).encode())
            os._exit(0)
        os.close(writing)
        os.waitpid(pid, 0)
        names.append(os.read(reading, 300))
        os.close(reading)
    assert len({*names, str(made.local).encode()}) == 3
