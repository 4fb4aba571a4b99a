"""Every Python block in the docs runs: programs as they are, fragments in their page's context."""

import asyncio
import json
import logging
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from urllib.request import urlopen

import pytest
from docs_pages import blocks, texts
from waiting import until

from cluster_kit import (
    IGNORED,
    AsyncSupervisor,
    ConfigError,
    Gone,
    Node,
    Seen,
    Supervisor,
    load_config,
)
from cluster_kit.plugins import PluginRegistry
from cluster_kit.testing import FakeDiscovery, Listener

LOCAL = {"topologies": {"lan": {"strategy": "gossip", "config": {"port": 46_111}}}}


def run(code, **names):
    """Run a fragment with ``names`` taken for granted; return what there is afterwards."""
    exec(compile(code, "block", "exec"), names)
    return names


def test_no_python_block_is_missing_here():
    # test_docs_run.py
    elsewhere = {"README.md": 1, "docs/index.md": 1, "docs/tutorial.md": 1, "docs/embedding.md": 6}
    elsewhere["docs/testing.md"] = len(texts("docs/testing.md", "python"))  # test_docs_testing.py
    here = {
        "docs/callback.md": 1,
        "docs/configuration.md": 2,
        "docs/deployment.md": 2,
        "docs/messages.md": 5,
        "docs/operating.md": 2,
        "docs/plugins.md": 7,
        "docs/simulation.md": 1,
        "docs/strategies/mdns.md": 1,
        "docs/strategies/several.md": 1,
        "docs/topologies.md": 1,
    }
    assert Counter(block.page for block in blocks("python")) == elsewhere | here


def test_callback():
    added = []

    async def add_backend(api, address):
        added.append((api, address))

    connect = run(texts("docs/callback.md", "python")[0], add_backend=add_backend)["connect"]
    worker = Node(name="w@h", address="h:1", metadata={"role": "worker"})
    assert asyncio.run(connect("http://api", worker)) is None
    assert asyncio.run(connect("http://api", Node(name="x@h", address="h:1"))) is IGNORED
    assert added == [("http://api", "h:1")]


def test_configuration():
    typed, comparison = texts("docs/configuration.md", "python")
    config = load_config(run(typed)["config"], PluginRegistry.load())
    assert config.topologies["lan"].child_spec.max_restarts == 5
    assert run(comparison)["Node"] is Node


def test_deployment(monkeypatch):
    logging_, metrics = texts("docs/deployment.md", "python")
    alone = {"strategy": "static", "config": {"nodes": []}}
    serve_metrics = run(metrics)["serve_metrics"]
    with Supervisor({"topologies": {"lan": alone, "wan": alone}}) as cluster:
        server = serve_metrics(cluster, ("127.0.0.1", 0))
        try:
            with urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=30) as answer:
                lines = answer.read().decode().splitlines()
        finally:
            server.shutdown()
            server.server_close()
    groups = dict.fromkeys(
        line.partition("{")[0].split()[-2 if "#" in line else 0] for line in lines
    )
    shown = [
        line
        for name in groups
        for line in (f"# TYPE {name} ", f'{name}{{topology="lan"}} ', f'{name}{{topology="wan"}} ')
        if "round_trip" not in line or "#" in line  # nobody is linked, so it is unknown
    ]
    assert len(groups) == 6
    assert [line.rpartition(" ")[0] + " " for line in lines] == shown
    assert 'cluster_kit_links{topology="wan"} 0' in lines
    assert "# TYPE cluster_kit_worker_restarts_total counter" in lines
    logger = logging.getLogger("cluster_kit")
    monkeypatch.setattr(logger, "level", logger.level)
    run(logging_)
    assert logger.level == logging.INFO


def test_operating(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("cluster.yaml").write_text(json.dumps(LOCAL))
    changing, leaving = texts("docs/operating.md", "python")
    with Supervisor(
        {"topologies": {"old": {"strategy": "static", "config": {"nodes": []}}}}
    ) as supervisor:
        changes = run(changing, supervisor=supervisor)["changes"]
        assert (changes.added, changes.removed) == (("lan",), ("old",))
        assert list(supervisor.status()) == ["lan"]
        run(leaving, supervisor=supervisor)
        assert supervisor.join(0)


def test_messages():
    dropping, asking, owning, chores, talking = texts("docs/messages.md", "python")
    config = {"topologies": {"lan": {"strategy": "gossip", "config": {"port": 46_113}}}}
    shelf, far_shelf = {"user:7": 1, 7: "near"}, {"user:7": 1, 7: "far"}
    cluster, far = Supervisor(config), Supervisor(config)
    run(asking.partition("for node")[0], cluster=far, shelf=far_shelf)
    far.topic("cache").subscribe(run(dropping.partition("cache =")[0], shelf=far_shelf)["drop"])
    with cluster, far:
        cluster.wait_for(2, timeout_s=30)
        run(dropping, cluster=cluster, shelf=shelf)
        until(lambda: "user:7" not in far_shelf, "it is dropped")
        assert list(run(asking, cluster=cluster, shelf=shelf)["answers"].values()) == ["far"]
        owned = run(owning, cluster=cluster)
        assert {owned["first"], *owned["others"]} == {cluster.local, *cluster.nodes()}
        assert owned["owner"] == owned["first"]
        run(chores, cluster=cluster, shelf=shelf)
        assert shelf == {}
    asyncio.run(_talk(run(talking)["talk"], config))


async def _talk(talk, config):
    async with AsyncSupervisor(config) as cluster, AsyncSupervisor(config) as far:
        await cluster.wait_for(2, timeout_s=30)
        talking = asyncio.create_task(talk(cluster))
        while not talking.done():
            await far.topic("cache").publish("user:8")
            await asyncio.sleep(0.02)
        await talking


def test_topologies():
    many = {"name": "static", "nodes": [f"x{number}@127.0.0.1:{number}" for number in range(1, 49)]}
    config = {"topologies": {"lan": {"strategy": [{"name": "gossip", "port": 46_112}, many]}}}
    with Supervisor(config) as cluster, Supervisor(config):
        run(texts("docs/topologies.md", "python")[0], cluster=cluster)
        assert len(cluster.nodes()) == 1
        assert len(cluster.nodes(state="known")) == 49


def test_simulation():
    outcome = run(texts("docs/simulation.md", "python")[0])["outcome"]
    assert len(outcome.links) == 10
    assert min(outcome.links) > 0


def test_several_strategies():
    config = run(texts("docs/strategies/several.md", "python")[0])["config"]
    assert len(load_config(config, PluginRegistry.load()).topologies["lan"].strategies) > 2


def test_mdns(capsys):
    pytest.importorskip("zeroconf")
    with Supervisor({"node": "db@127.0.0.1", "topologies": {"lan": {"strategy": "mdns"}}}):
        run(texts("docs/strategies/mdns.md", "python")[0])
    assert "db@127.0.0.1" in capsys.readouterr().out


def test_plugins(tmp_path, monkeypatch):
    inventory, checking, hooks, _, _, diagnose, specs = texts("docs/plugins.md", "python")
    assert run(hooks)["cluster_kit_strategies"]()["inventory"].endswith(":InventoryStrategy")
    [spec] = run("from cluster_kit import hookimpl\n" + specs)[
        "cluster_kit_topology_specs"
    ]().values()
    load_config({"topologies": {"lan": spec}}, PluginRegistry.load())

    # a dataclass looks for its own
    monkeypatch.setitem(sys.modules, "inventory", ModuleType("inventory"))
    names = run(
        inventory.replace("from cluster_kit import", "from cluster_kit import Finding, Outcome,"),
        __name__="inventory",
    )
    strategy = names["InventoryStrategy"]
    with pytest.raises(
        ConfigError, match=r"^path: invalid value 'list\.yaml': expected a JSON file"
    ):
        run(checking)["__post_init__"](strategy(path=Path("list.yaml")))
    strategy.diagnose = run(f"from __future__ import annotations\n{diagnose}", **names)["diagnose"]
    (tmp_path / "list.json").write_text("[]")

    async def findings(path):
        return [
            finding
            async for finding in strategy(path=path).diagnose(FakeDiscovery(Node(name="a@h")))
        ]

    assert asyncio.run(findings(tmp_path / "list.json"))
    assert [finding.outcome for finding in asyncio.run(findings(tmp_path / "none.json"))] == [
        "failed"
    ]


def test_registry(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "table", ModuleType("table"))
    strategy = run(texts("docs/plugins.md", "python")[4], __name__="table")["TableStrategy"]
    table = strategy(path=tmp_path / "nodes.sqlite", interval_s=0.1, ttl_s=10.0)

    async def scenario():
        ann, bob = (FakeDiscovery(Node(name=f"{name}@127.0.0.1")) for name in ("ann", "bob"))
        async with Listener(table, ann) as heard:
            async with Listener(table, bob):
                assert (await heard.until(Seen, "bob")).node == bob.local
            await heard.until(Gone, "bob's goodbye")

    asyncio.run(scenario())
