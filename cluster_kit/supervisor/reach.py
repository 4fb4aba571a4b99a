"""Waits for a number of nodes; and how many a configuration can ever link or know: waiting for more would be in vain."""

from __future__ import annotations

import time
from collections.abc import Iterable

from cluster_kit.config import ClusterConfig, TopologyConfig
from cluster_kit.errors import ConfigError, WaitTimeoutError
from cluster_kit.node import Node
from cluster_kit.supervisor.bus import EventBus
from cluster_kit.supervisor.timeouts import checked_s_or_none
from cluster_kit.supervisor.view import NodeState


def check_reachable(config: ClusterConfig, n: int, topology: str | None, state: NodeState, *, observing: bool) -> None:
    """Check that ``n`` nodes, this one included unless it only observes, are within what ``topology``, or all of them, holds.

    Raises:
        ConfigError: They are not.
    """
    if not isinstance(n, int) or n < 1:
        raise TypeError(f"wait_for: {n!r:.80}: expected a number of nodes, from 1 up")
    configs = [each for name, each in config.topologies.items() if topology in (None, name)]
    own = 0 if observing else 1
    most = _most(configs, state) + own
    if n > most:
        where = f"topology {topology!r}" if topology else "the configuration"
        cure = "; state='known' counts those not linked, too" if n <= _most(configs, "known") + own else ""
        included = "" if observing else ", this one included"
        raise ConfigError(f"wait_for: {n} nodes can never be {state}: {where} allows {most}{included}{cure}")


def count(bus: EventBus, own: Node | None, topology: str | None, state: NodeState) -> int:
    """Return how many nodes there are in that state; ``own`` is this one, ``None`` where it only observes."""
    with bus.guard():
        return len(bus.nodes(topology, state)) + (own is not None)


def wait_for_nodes(
    bus: EventBus, n: int, own: Node | None, *, topology: str | None, state: NodeState, timeout_s: float | None
) -> None:
    """Wait until there are ``n``; see ``count``.

    Raises:
        WaitTimeoutError: There are not within ``timeout_s``, or the supervisor has stopped.
    """
    patience_s = checked_s_or_none(timeout_s, "wait_for: timeout_s")
    deadline_s = None if patience_s is None else time.monotonic() + patience_s
    with bus.guard():
        while (found := count(bus, own, topology, state)) < n:
            left_s = None if deadline_s is None else deadline_s - time.monotonic()
            if bus.closed:
                raise WaitTimeoutError(f"wait_for: the supervisor stopped with {found} of {n} nodes {state}")
            if left_s is not None and left_s <= 0:
                there = ", ".join(map(str, [*([own] if own else []), *bus.nodes(topology, state)[:20]])) or "nobody"
                text = f"wait_for: {found} of {n} nodes are {state} after {timeout_s:g} s: {there}"
                raise WaitTimeoutError(text + _known_instead(count(bus, own, topology, "known"), n, state))
            bus.changed.wait(left_s)


def _known_instead(known: int, n: int, state: NodeState) -> str:
    """Tell a wait for links that so many are known, where the topology may not mean them to be linked to this one."""
    return f"; {known} are known, linked or not: state='known' counts those" if state == "up" and known >= n else ""


def _most(configs: Iterable[TopologyConfig], state: NodeState) -> int:
    """Return how many other nodes there can be in that state."""
    return sum(_most_peers(config, state) for config in configs)


def _most_peers(config: TopologyConfig, state: NodeState) -> int:
    links = config.topology.build().most_links() if state == "up" else None
    if links is not None and not isinstance(links, int):
        raise ConfigError(f"topology {config.topology.name!r}: most_links returned a {type(links).__name__}: expected a number")
    return config.max_nodes if links is None else min(links, config.max_nodes)
