"""How many nodes a configuration can ever link or know: waiting for more would be in vain."""

from __future__ import annotations

from collections.abc import Iterable

from cluster_kit.config import ClusterConfig, TopologyConfig
from cluster_kit.errors import ConfigError
from cluster_kit.supervisor.view import NodeState


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


def known_instead(known: int, n: int, state: NodeState) -> str:
    """Tell a wait for links that so many are known, where the topology may not mean them to be linked to this one."""
    return f"; {known} are known, linked or not: state='known' counts those" if state == "up" and known >= n else ""


def _most(configs: Iterable[TopologyConfig], state: NodeState) -> int:
    """Return how many nodes there can be in that state, this one included."""
    return sum(_most_peers(config, state) for config in configs) + 1


def _most_peers(config: TopologyConfig, state: NodeState) -> int:
    links = config.topology.build().most_links() if state == "up" else None
    if links is not None and not isinstance(links, int):
        raise ConfigError(f"topology {config.topology.name!r}: most_links returned a {type(links).__name__}: expected a number")
    return config.max_nodes if links is None else min(links, config.max_nodes)
