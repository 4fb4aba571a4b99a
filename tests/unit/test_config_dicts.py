"""The typed dicts have the keys that a configuration may have, with the types that it takes."""

import re
from typing import ForwardRef, get_type_hints

import pytest

from cluster_kit import ChildSpecDict, ConfigDict, ConfigError, TopologyDict, load_config
from cluster_kit.config import ChildSpec, TopologyConfig, dicts
from cluster_kit.config.bounds import without_bounds
from cluster_kit.config.schema import json_schema
from cluster_kit.config.topologies import plain_readers
from cluster_kit.plugins import PluginRegistry

SCHEMA = json_schema(PluginRegistry.load())
ENTRY = SCHEMA["$defs"]["topology_entry"]["properties"]

SNIPPET = """
from cluster_kit import ConfigDict, Supervisor, TopologyDict, load_config

config: ConfigDict = {
    "node": "a@127.0.0.1",
    "secret_file": "/run/secret",
    "topologies": {
        "lan": {
            "strategy": ["gossip", {"name": "static", "nodes": []}],
            "connector": "tcp",
            "child_spec": {"restart": "transient", "max_restarts": 3},
        },
        "wan": {"strategy": "epmd", "connect": ["app.links", "open", []], "list_nodes": print},
    },
}
Supervisor(config)
load_config(config)
load_config({"topologies": {"lan": {"strategy": "gossip"}}})
without: ConfigDict = {"node": "a@127.0.0.1"}  # ERROR
unknown: ConfigDict = {"topologies": {}, "nodes": "a@127.0.0.1"}  # ERROR
mistyped: ConfigDict = {"topologies": {"lan": {"strategy": "gossip", "prune": "no"}}}  # ERROR
misspelt: ConfigDict = {"topologies": {"lan": {"strategie": "gossip"}}}  # ERROR
shipped: TopologyDict = {"use": "acme", "prun": False}  # ERROR
Supervisor(config).add_topology("third", {"strategy": "gossip", "group": "lan"})
unlisted: ConfigDict = {"topologies": {"lan": {"child_spec": {"restart": "always"}}}}  # ERROR
"""


@pytest.mark.parametrize(
    ("shape", "known"),
    [
        (ConfigDict, SCHEMA["properties"]),
        (TopologyDict, ENTRY),
        (ChildSpecDict, ENTRY["child_spec"]["properties"]),
    ],
)
def test_the_keys_are_those_of_the_schema(shape, known):
    assert shape.__annotations__.keys() == known.keys()


@pytest.mark.parametrize("key", ConfigDict.__annotations__)
def test_each_key_can_be_given(key):
    with pytest.raises(ConfigError) as caught:
        load_config({key: object(), "nonsense": 1})
    unknown = {error.path for error in caught.value.errors if "unknown key" in str(error)}
    assert unknown == {"nonsense"}


@pytest.mark.parametrize("key", TopologyDict.__annotations__)
def test_each_key_of_a_topology_can_be_given(key):
    with pytest.raises(ConfigError) as caught:
        load_config({"topologies": {"lan": {key: object(), "nonsense": 1}}})
    unknown = {error.path for error in caught.value.errors if "unknown key" in str(error)}
    assert unknown <= {"topologies.lan.nonsense"}


@pytest.mark.parametrize(
    ("shape", "model"), [(TopologyDict, TopologyConfig), (ChildSpecDict, ChildSpec)]
)
def test_values_have_the_types_of_the_model(shape, model):
    modelled = get_type_hints(model, include_extras=True)
    plain = ["group", *plain_readers(model)] if model is TopologyConfig else plain_readers(model)
    for key in plain:
        kind = shape.__annotations__[key]
        if isinstance(kind, ForwardRef):
            kind = eval(kind.__forward_arg__, vars(dicts))
        assert kind == without_bounds(modelled[key])


def test_required_keys_are_known_at_runtime():
    assert ConfigDict.__required_keys__ == {*SCHEMA["required"]}
    assert TopologyDict.__required_keys__ == ChildSpecDict.__required_keys__ == frozenset()


def test_type_checkers_find_what_is_wrong_and_nothing_else(tmp_path):
    api = pytest.importorskip("mypy.api")
    path = tmp_path / "snippet.py"
    path.write_text(SNIPPET)
    output, _, _ = api.run(["--strict", "--follow-imports=silent", "--no-incremental", str(path)])
    found = {int(number) for number in re.findall(r"snippet\.py:(\d+): error", output)}
    expected = {number for number, line in enumerate(SNIPPET.splitlines(), 1) if "# ERROR" in line}
    assert found == expected, output
