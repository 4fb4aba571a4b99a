"""Every block of code in the docs runs: programs as they stand, fragments with what their page takes for granted."""

import asyncio
import json
import re
import shlex
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from waiting import until

from cluster_kit import IGNORED, AsyncSupervisor, Gone, Node, Seen, Supervisor, cli, load_config
from cluster_kit.plugins import PluginRegistry
from cluster_kit.testing import FakeDiscovery, Listener

ROOT = Path(__file__).parents[2]
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))}
LOCAL = {"topologies": {"lan": {"strategy": "gossip", "config": {"port": 46_111}}}}


def blocks(language, page=None):
    """Return the blocks in a language, of one page or with the place of each."""
    found = []
    for name, text in sorted(PAGES.items()):
        for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            if page == name:
                found.append(match[1])
            elif page is None:
                found.append(pytest.param(match[1], id=f"{name}:{text[: match.start()].count(chr(10)) + 2}"))
    return found


def run(code, **names):
    """Run a fragment with ``names`` taken for granted; return what there is afterwards."""
    exec(compile(code, "block", "exec"), names)
    return names


def test_no_python_block_is_missing_here():
    elsewhere = {"README.md": 1, "docs/tutorial.md": 1, "docs/embedding.md": 6}  # test_docs_run.py
    elsewhere["docs/testing.md"] = len(blocks("python", "docs/testing.md"))  # test_docs_testing.py
    here = {
        "docs/callback.md": 1,
        "docs/configuration.md": 1,
        "docs/messages.md": 5,
        "docs/operating.md": 2,
        "docs/plugins.md": 6,
        "docs/simulation.md": 1,
        "docs/strategies/mdns.md": 1,
        "docs/strategies/several.md": 1,
        "docs/topologies.md": 1,
    }
    assert {page: len(blocks("python", page)) for page in PAGES if blocks("python", page)} == elsewhere | here


def test_callback():
    added = []

    async def add_backend(api, address):
        added.append((api, address))

    connect = run(blocks("python", "docs/callback.md")[0], add_backend=add_backend)["connect"]
    worker = Node(name="w@h", address="h:1", metadata={"role": "worker"})
    assert asyncio.run(connect("http://api", worker)) is None
    assert asyncio.run(connect("http://api", Node(name="x@h", address="h:1"))) is IGNORED
    assert added == [("http://api", "h:1")]


def test_configuration():
    (comparison,) = blocks("python", "docs/configuration.md")
    assert run(comparison)["Node"] is Node


def test_operating(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("cluster.yaml").write_text(json.dumps(LOCAL))
    changing, leaving = blocks("python", "docs/operating.md")
    with Supervisor({"topologies": {"old": {"strategy": "static", "config": {"nodes": []}}}}) as supervisor:
        changes = run(changing, supervisor=supervisor)["changes"]
        assert (changes.added, changes.removed) == (("lan",), ("old",))
        assert list(supervisor.status()) == ["lan"]
        run(leaving, supervisor=supervisor)
        assert supervisor.join(0)


def test_messages():
    dropping, asking, owning, chores, talking = blocks("python", "docs/messages.md")
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
        run(blocks("python", "docs/topologies.md")[0], cluster=cluster)


def test_simulation():
    run(blocks("python", "docs/simulation.md")[0])


def test_several_strategies():
    config = run(blocks("python", "docs/strategies/several.md")[0])["config"]
    assert len(load_config(config, PluginRegistry.load()).topologies["lan"].strategies) > 2


def test_mdns(capsys):
    pytest.importorskip("zeroconf")
    run(blocks("python", "docs/strategies/mdns.md")[0])
    assert capsys.readouterr().out


def test_plugins(tmp_path, monkeypatch):
    inventory, hooks, _, _, diagnose, specs = blocks("python", "docs/plugins.md")
    assert run(hooks)["cluster_kit_strategies"]()["inventory"].endswith(":InventoryStrategy")
    [spec] = run("from cluster_kit import hookimpl\n" + specs)["cluster_kit_topology_specs"]().values()
    load_config({"topologies": {"lan": spec}}, PluginRegistry.load())

    monkeypatch.setitem(sys.modules, "inventory", ModuleType("inventory"))  # a dataclass looks for its own
    names = run(inventory.replace("from cluster_kit import", "from cluster_kit import Finding, Outcome,"), __name__="inventory")
    strategy = names["InventoryStrategy"]
    strategy.diagnose = run(f"from __future__ import annotations\n{diagnose}", **names)["diagnose"]
    (tmp_path / "list.json").write_text("[]")

    async def findings(path):
        return [finding async for finding in strategy(path=path).diagnose(FakeDiscovery(Node(name="a@h")))]

    assert asyncio.run(findings(tmp_path / "list.json"))
    assert [finding.outcome for finding in asyncio.run(findings(tmp_path / "none.json"))] == ["failed"]


def test_registry(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "table", ModuleType("table"))
    strategy = run(blocks("python", "docs/plugins.md")[3], __name__="table")["TableStrategy"]
    table = strategy(path=tmp_path / "nodes.sqlite", interval_s=0.1, ttl_s=10.0)

    async def scenario():
        ann, bob = (FakeDiscovery(Node(name=f"{name}@127.0.0.1")) for name in ("ann", "bob"))
        async with Listener(table, ann) as heard:
            async with Listener(table, bob):
                assert (await heard.until(Seen, "bob")).node == bob.local
            await heard.until(Gone, "bob's goodbye")

    asyncio.run(scenario())


@pytest.mark.parametrize("text", blocks("yaml"))
def test_yaml(text, tmp_path):
    documents = [each for each in yaml.safe_load_all(text) if each is not None]
    assert documents
    for document in documents:
        if isinstance(document, dict) and any(isinstance(each, dict) and "strategy" in each for each in document.values()):
            known = {name: entry for name, entry in document.items() if entry["strategy"] != "inventory"}  # the tutorial's own
            assert not known or "connect" in str(known) or load_config({"topologies": known}, PluginRegistry.load())


@pytest.mark.parametrize("text", blocks("toml"))
def test_toml(text):
    assert tomllib.loads(text)


@pytest.mark.parametrize("text", blocks("json"))
def test_json(text):
    assert [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("text", [block for block in blocks("console") if "cluster-kit " in block.values[0]])
def test_commands_are_as_shown(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [line.partition("cluster-kit ")[2] for line in text.splitlines() if re.match(r"(\$ )?(\S*/)?cluster-kit ", line)]
    for line in lines:
        name, *arguments = shlex.split(re.split(r"[>|]", line)[0], comments=True)
        for file in (each for each in arguments if each.endswith(".yaml")):
            Path(file).write_text(json.dumps(LOCAL))
        command = cli.main.get_command(cli.main.make_context("cluster-kit", [name]), name)
        command.make_context(name, arguments)
