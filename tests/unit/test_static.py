"""The strategy ``static``: every form of an entry, and what is wrong with those that can't be
used.
"""

import asyncio

import pytest

from cluster_kit.abc import Found
from cluster_kit.config import load_config as load_with
from cluster_kit.errors import ConfigError
from cluster_kit.node import Node
from cluster_kit.plugins import PluginRegistry
from cluster_kit.strategies.static import StaticStrategy
from cluster_kit.testing import FakeDiscovery


def observed(*entries):
    async def collect():
        ctx = FakeDiscovery(Node(name="self@127.0.0.1"))
        return [observation async for observation in StaticStrategy(nodes=entries).discover(ctx)]

    return asyncio.run(collect())


@pytest.mark.parametrize(
    ("entry", "node"),
    [
        ("web@10.0.0.7:4000", Node(name="web@10.0.0.7", address="10.0.0.7:4000")),
        ("web@shop.example:4000", Node(name="web@shop.example", address="shop.example:4000")),
        ("10.0.0.7:4000", Node(address="10.0.0.7:4000")),
        ("unix:/run/Web.sock", Node(address="unix:/run/Web.sock")),
        ("[fe80::7]:4000", Node(address="[fe80::7]:4000")),
        ("web@[fe80::7]:4000", Node(name="web@fe80::7", address="[fe80::7]:4000")),
    ],
)
def test_entry_names_a_node(entry, node):
    assert observed(entry) == [Found([node])]


def test_all_entries_are_one_complete_answer():
    assert observed("a@h:1", "h:2") == [
        Found([Node(name="a@h", address="h:1"), Node(address="h:2")])
    ]


def test_empty_list_is_an_answer_too():
    assert observed() == [Found([])]


@pytest.mark.parametrize(
    "entry",
    [
        "web",
        "web@host",
        "host:",
        ":4000",
        "host:port",
        "host:70000",
        "host:0",
        "a@::1:4000",
        "@host:1",
    ],
)
def test_bad_entry_is_named(entry):
    with pytest.raises(ConfigError, match="expected name@host:port or host:port") as caught:
        StaticStrategy(nodes=("good@host:1", entry))
    assert repr(entry) in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other"), [("a@h:1", "a@h:1"), ("a@h:1", "h:1"), ("a@h:1", "b@h:1"), ("a@h:1", "a@h:2")]
)
def test_duplicates_are_named(one, other):
    with pytest.raises(ConfigError) as caught:
        StaticStrategy(nodes=(one, other))
    assert repr(one) in str(caught.value)
    assert repr(other) in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a@Host:1", "a@host.:1"),
        ("[::1]:1", "[0:0:0:0:0:0:0:1]:1"),
        ("10.0.0.5:1", "[::ffff:10.0.0.5]:01"),
    ],
)
def test_duplicates_in_another_spelling_are_named(one, other):
    with pytest.raises(ConfigError, match="list each node once"):
        StaticStrategy(nodes=(one, other))


@pytest.mark.parametrize("entry", ["a:1,b:2", "a@h:1,b@h:2", "a:1,"])
def test_commas_in_an_entry_are_named(entry):
    with pytest.raises(
        ConfigError, match=r"commas separate nodes only where one text is the whole list"
    ):
        StaticStrategy(nodes=(entry,))


@pytest.mark.parametrize("seeds", ["a@h:1,b@h:2", "a@h:1, b@h:2,", "a@h:1"])
def test_one_variable_can_hold_the_whole_list(tmp_path, seeds):
    file = tmp_path / "cluster.yaml"
    file.write_text("topologies: {lan: {strategy: static, config: {nodes: '${SEEDS}'}}}\n")
    config = load_with(file, PluginRegistry.load(), environ={"SEEDS": seeds})
    expected = tuple(seed.strip() for seed in seeds.split(",") if seed.strip())
    assert config.topologies["lan"].strategies[0].build().nodes == expected
