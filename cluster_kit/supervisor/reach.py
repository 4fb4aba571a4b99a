"""How many nodes a configuration can ever link or know: waiting for more would be in vain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cluster_kit.config import ClusterConfig, TopologyConfig
from cluster_kit.errors import ConfigError
from cluster_kit.node import Node
from cluster_kit.supervisor.bus import EventBus
from cluster_kit.supervisor.view import NodeState

_MOST_NAMED = 21  # in a message: this node and twenty others


def check_reachable(config: ClusterConfig, n: int, topology: str | None, state: NodeState) -> None:
    """Check that ``n`` nodes, this one included, are within what ``topology``, or all of them, links and holds.

    Raises:
        ConfigError: They are not.
    """
    if not isinstance(n, int) or n < 1:
        raise TypeError(f"wait_for: {n!r:.80}: expected a number of nodes, this one included")
    configs = [each for name, each in config.topologies.items() if topology in (None, name)]
    most = _most(configs, state)
    if n > most:
        where = f"topology {topology!r}" if topology else "the configuration"
        cure = "; state='known' counts those not linked, too" if n <= _most(configs, "known") else ""
        raise ConfigError(f"wait_for: {n} nodes can never be {state}: {where} allows {most}, this one included{cure}")


def too_few(
    bus: EventBus, nodes: Sequence[Node], n: int, topology: str | None, state: NodeState, *, after_s: float | None
) -> str:
    """Return what a wait says that ended with ``nodes``; where the topology may not mean more to be linked, it says so."""
    text = f"wait_for: {len(nodes)} of {n} nodes are {state} after {after_s:g} s: {', '.join(map(str, nodes[:_MOST_NAMED]))}"
    known = len(bus.nodes(topology, "known")) + 1
    if state == "up" and known >= n:
        text += f"; {known} are known, linked or not: state='known' counts those"
    return text


def _most(configs: Iterable[TopologyConfig], state: NodeState) -> int:
    """Return how many nodes there can be in that state, this one included."""
    return sum(_most_peers(config, state) for config in configs) + 1


def _most_peers(config: TopologyConfig, state: NodeState) -> int:
    links = config.topology.build().most_links() if state == "up" else None
    if links is not None and not isinstance(links, int):
        raise ConfigError(f"topology {config.topology.name!r}: most_links returned a {type(links).__name__}: expected a number")
    return config.max_nodes if links is None else min(links, config.max_nodes)
