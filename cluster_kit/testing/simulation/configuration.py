"""What each simulated node runs: an entry under ``topologies:``, validated as in any other file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from cluster_kit.config import TopologyConfig
from cluster_kit.errors import ConfigError
from cluster_kit.plugins import PluginRegistry, load_config
from cluster_kit.strategies.static import StaticStrategy, parse_node
from cluster_kit.testing.simulation.identity import node_of
from cluster_kit.testing.simulation.scripts.script import Script

NAME = "simulation"
PORT = 4370  # of tcp, for lists of nodes to name
SEEDS = 3  # nodes that are enough to find all others from


def configured(
    entry: Mapping[str, Any], script: Script, registry: PluginRegistry | None = None
) -> TopologyConfig:
    """Return what each node of ``script`` runs.

    A ``static`` strategy without ``nodes`` gets a list of the first few nodes if the topology is
    ``full_mesh``, as their links lead to all others, else of all nodes.

    Raises:
        ConfigError: The entry can't be used.
    """
    config = {
        "node": node_of(1).key,
        "insecure": True,
        "topologies": {NAME: _with_lists(entry, script)},
    }
    return load_config(config, registry or _installed()).topologies[NAME]


@cache
def _installed() -> PluginRegistry:
    # looking for plugins takes about as long as a small simulation
    return PluginRegistry.load()


def listed_by(config: TopologyConfig) -> frozenset[str]:
    """Return the keys of the nodes that the configuration lists, which every node always knows.

    Raises:
        ConfigError: Some of them have no name.
    """
    strategies = [component.build() for component in config.strategies]
    static = [strategy for strategy in strategies if isinstance(strategy, StaticStrategy)]
    nodes = [parse_node(each) for strategy in static for each in strategy.nodes]
    if any(node.name is None for node in nodes):
        raise ConfigError(
            "simulation: static: nodes: give each with its name, as name@host:port, or leave the "
            "list out"
        )
    return frozenset(node.key for node in nodes)


def _with_lists(entry: Mapping[str, Any], script: Script) -> Mapping[str, Any]:
    given = entry.get("strategy")
    strategies = list(given) if isinstance(given, list | tuple) else [given]
    if entry.get("config") or not any(map(_lacks_list, strategies)):
        return entry
    is_mesh = entry.get("topology", "full_mesh") == "full_mesh"
    numbers = script.numbers[:SEEDS] if is_mesh else script.numbers
    listed = {"name": "static", "nodes": [f"{node_of(number)}:{PORT}" for number in numbers]}
    connector = entry.get("connector", "tcp")
    if connector == "tcp":
        connector = {"name": "tcp", "port": PORT}
    filled = [listed if _lacks_list(each) else each for each in strategies]
    return {**entry, "strategy": filled, "connector": connector}


def _lacks_list(strategy: object) -> bool:
    return strategy == "static" or (
        isinstance(strategy, Mapping)
        and strategy.get("name") == "static"
        and "nodes" not in strategy
    )
