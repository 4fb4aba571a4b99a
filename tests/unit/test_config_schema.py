"""The schema for editors: what it accepts is what the checks accept, by an independent
validator.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from cluster_kit.cli import main
from cluster_kit.config import Secret
from cluster_kit.config.schema import json_schema, of_type
from cluster_kit.plugins import PluginRegistry, load_config

ROOT = Path(__file__).parents[2]
REGISTRY = PluginRegistry.load()
SCHEMA = json_schema(REGISTRY)


def faults(config):
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(config)]


def shown():
    """Yield each whole configuration that the documentation shows."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for block in re.findall(
            r"^```yaml\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL
        ):
            if re.search("^topologies:", block, re.MULTILINE):
                yield pytest.param(block, id=f"{page.name}: {block.splitlines()[0]}")


def with_strategy(strategy, **more):
    return {"topologies": {"lan": {"strategy": strategy, **more}}}


def test_schema_is_valid():
    Draft202012Validator.check_schema(SCHEMA)


def test_the_command_prints_it():
    assert json.loads(CliRunner().invoke(main, ["schema"]).output) == SCHEMA


@pytest.mark.parametrize("text", list(shown()))
def test_examples_in_the_documentation_are_accepted(text):
    assert faults(yaml.safe_load(text)) == []


GOOD = [
    with_strategy("gossip"),
    with_strategy("gossip", config={"ttl_s": 9, "port": "${PORT}"}),
    with_strategy("gossip", config=None),
    with_strategy({"name": "gossip", "ttl_s": 9.5}),
    with_strategy(["gossip", {"name": "static", "nodes": ["a@127.0.0.1:4000"]}]),
    with_strategy(
        "gossip",
        connector={"name": "tcp", "port": 4000},
        topology="full_mesh",
        child_spec={"restart": "transient"},
    ),
    with_strategy("gossip", connect="json:dumps"),
    with_strategy("gossip", connector={"name": "callback", "connect": ["json", "dumps", []]}),
    with_strategy("static", config={"nodes": "a@127.0.0.1:4000, b@127.0.0.1:4001"}),
    with_strategy("static", config={"nodes": "${SEEDS}"}),
    {"x-seeds": ["a@127.0.0.1:4000"], **with_strategy("gossip")},
    with_strategy("gossip", connect=["json", "dumps", []], list_nodes=["os", "getcwd"]),
    with_strategy(
        "gossip", prune=False, max_nodes=10, connect_timeout_s=1.5, remember_s=60, group="x"
    ),
    {"secret": "s", "previous_secrets": ["t", "u"], **with_strategy("gossip")},
    {"secret": "s", "previous_secrets": "t, u", **with_strategy("gossip")},
    {
        "node": "a@127.0.0.1",
        "cluster": "c",
        "metadata": {"zone": "a"},
        "insecure": False,
        **with_strategy("gossip"),
    },
]


@pytest.mark.parametrize("config", GOOD, ids=repr)
def test_loadable_config_is_accepted(config):
    assert faults(config) == []
    if "${" not in repr(config):
        load_config(config, REGISTRY)


@pytest.mark.parametrize(
    "config",
    [
        with_strategy("myapp.cluster:Mine", config={"x": 1}),
        with_strategy({"name": "a.b:C", "x": 1}),
    ],
)
def test_classes_of_ones_own_have_options_of_their_own(config):
    assert faults(config) == []


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"topologies": {}},
        {"topologies": {"Lan": {"strategy": "gossip"}}},
        {"topologies": {"lan": {}}},
        {"nodes": "a", **with_strategy("gossip")},
        {"metadata": {"zone": 1}, **with_strategy("gossip")},
        {"secret": 1234, **with_strategy("gossip")},
        {"secret_file": ["/x"], **with_strategy("gossip")},
        {"certs": 1, **with_strategy("gossip")},
        {"cert": "tls.crt", "key": "tls.key", **with_strategy("gossip")},
        with_strategy("gosip"),
        with_strategy([]),
        with_strategy("gossip", config={"tll_s": 9}),
        with_strategy("gossip", config={"ttl_s": "9"}),
        with_strategy({"name": "gossip", "tll_s": 9}),
        with_strategy("static"),
        with_strategy("static", config={"nodes": {"a": "127.0.0.1:4000"}}),
        with_strategy("gossip", connector={"name": "tcp", "prt": 4000}),
        with_strategy("gossip", child_spec={"restart": "sometimes"}),
        with_strategy("gossip", prune="no"),
        with_strategy("kubernetes", config={"service_name": "web", "mode": "ipv4"}),
    ],
    ids=repr,
)
def test_unloadable_config_is_refused(config):
    assert faults(config)
    with pytest.raises(ValueError, match=r"."):
        load_config(config, REGISTRY)


def test_options_are_described_by_their_class_and_have_their_defaults():
    [gossip] = [
        each
        for each in SCHEMA["$defs"]["strategy"]["anyOf"]
        if each.get("properties", {}).get("name") == {"const": "gossip"}
    ]
    port = gossip["properties"]["port"]
    assert port["default"] == 45892
    assert port["description"]


def test_options_are_known_by_each_of_their_names():
    config = with_strategy(
        "kubernetes", config={"kubernetes_service_name": "web", "kubernetes_node_basename": "web"}
    )
    assert faults(config) == []


@dataclass
class Retry:
    """How often.

    Args:
        times: How many
            times.
    """

    times: int
    mode: Literal["fast", "slow"] = "fast"


def test_options_of_every_type_have_a_schema():
    assert of_type(Secret) == {"type": "string"}
    assert of_type(Retry)["required"] == ["times"]
    assert of_type(Retry)["properties"]["times"]["description"] == "How many times."
    assert of_type(tuple[Retry, ...])["items"] == of_type(Retry)
    assert {"type": "null"} in of_type(str | None)["anyOf"]
    assert of_type(object) == {}


def test_ready_made_topology_stands_for_a_strategy():
    class WithSpec(PluginRegistry):
        def names(self, kind):
            return ("office",) if kind == "spec" else REGISTRY.names(kind)

        def resolve(self, kind, name):
            return REGISTRY.resolve(kind, name)

        def origin(self, kind, name):
            return "plugin shelf"

    validator = Draft202012Validator(json_schema(WithSpec()))
    assert validator.is_valid({"topologies": {"lan": {"use": "office", "group": "x"}}})
    assert not validator.is_valid({"topologies": {"lan": {"use": "ofice"}}})
    assert not validator.is_valid({"topologies": {"lan": {"group": "x"}}})


def keys_of(schema):
    """Yield each key in a schema's properties, and what is said of it."""
    for key, each in schema.get("properties", {}).items():
        yield key, each
        yield from keys_of(each)


@pytest.mark.parametrize("kind", ["", "topology_entry", "strategy", "connector", "topology"])
def test_every_key_has_its_meaning(kind):
    forms = SCHEMA["$defs"][kind].get("anyOf", [SCHEMA["$defs"][kind]]) if kind else [SCHEMA]
    silent = {
        key
        for form in forms
        for key, each in keys_of(form)
        if key != "name" and not each.get("description")
    }
    assert silent == set()


@pytest.mark.parametrize(
    "config",
    [
        with_strategy("gossip", config={"port": 0}),
        with_strategy("gossip", config={"multicast_ttl": 256}),
        with_strategy("gossip", connector={"name": "tcp", "port": 65536}),
        with_strategy("gossip", connector={"name": "tcp", "heartbeat_s": 0}),
        with_strategy("gossip", max_nodes=0),
        with_strategy("gossip", child_spec={"max_restarts": -1}),
        with_strategy("kubernetes", config={"service_name": "web", "port": 0}),
    ],
    ids=repr,
)
def test_bounds_are_those_of_the_checks(config):
    assert faults(config)
    with pytest.raises(ValueError, match="expected"):
        load_config(config, REGISTRY)
