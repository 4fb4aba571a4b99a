"""The content of observations, node by node. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from cluster_kit.abc import Found, Gone, Observation, Seen
from cluster_kit.node import Node


def descriptions_of(observations: Iterable[Observation], node: Node) -> list[Node]:
    """Return how observations describe ``node``, each time that they vouch for it."""
    vouched = [other for observation in observations for other in vouched_in(observation)]
    return [other for other in vouched if other.key == node.key or other.address == node.address]


def vouched_in(observation: Observation) -> frozenset[Node]:
    """Return the nodes that an observation vouches for."""
    if isinstance(observation, Found):
        return observation.nodes
    return frozenset({observation.node}) if isinstance(observation, Seen) else frozenset()


def vouched_after(observations: Iterable[Observation]) -> dict[str, Node]:
    """Return the nodes, by key, that are vouched for after all these observations."""
    nodes: dict[str, Node] = {}
    for observation in observations:
        if isinstance(observation, Found):
            nodes = {}
        elif isinstance(observation, Gone):
            nodes.pop(observation.name, None)
        nodes |= {node.key: node for node in vouched_in(observation)}
    return nodes


def removals(observations: Iterable[Observation], vouched: Iterable[Node]) -> list[str]:
    """Return a line for each time that an observation withdraws one of the ``vouched`` nodes."""
    return [
        f"{node.key} by {observation}"
        for observation in observations
        for node in sorted(vouched, key=str)
        if withdraws(observation, node)
    ]


def withdraws(observation: Observation, node: Node) -> bool:
    """Return whether an observation reports that this run of ``node`` is not there."""
    if isinstance(observation, Found):
        return not descriptions_of([observation], node)
    if not isinstance(observation, Gone) or observation.name not in (node.name, node.address):
        return False
    return None in (observation.boot_id, node.boot_id) or observation.boot_id == node.boot_id
