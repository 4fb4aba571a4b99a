"""Waits until topologies serve, and until there are enough nodes.

Waiting for more nodes than the configuration can ever link or hold is refused, as it could never
end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from cluster_kit.config import ClusterConfig, TopologyConfig
from cluster_kit.errors import ConfigError, WaitTimeoutError
from cluster_kit.node import Node
from cluster_kit.supervisor.bus import EventBus
from cluster_kit.supervisor.lifecycle import GREET_S
from cluster_kit.supervisor.timeouts import checked_s_or_none
from cluster_kit.supervisor.view import NodeState
from cluster_kit.supervisor.worker_supervisor import WorkerSupervisor

_SERVE_S = 10.0  # how long ``start`` waits; a plugin that hangs must not hang the application
_PROVE_S = 2 * GREET_S  # by then it is known whether the processes are workers
_MAX_NAMED = 20  # nodes that an error message names


def wait_until(bus: EventBus, met: Callable[[], bool], timeout_s: float | None = None) -> None:
    """Wait until ``met`` returns true, the bus is closed, or the time is over."""
    with bus.guard():
        bus.changed.wait_for(lambda: met() or bus.closed, timeout_s)


def await_serving(bus: EventBus, workers: Sequence[WorkerSupervisor]) -> None:
    """Wait until each topology serves or has failed, but not for longer than ``_SERVE_S``.

    Raises:
        ClusterKitError: One of them can't serve, or its process is not a worker.
    """

    def is_decided(each: WorkerSupervisor) -> bool:
        return each.start_error is not None or each.finished

    wait_until(bus, lambda: all(each.served or is_decided(each) for each in workers), _SERVE_S)
    wait_until(bus, lambda: all(each.proven or is_decided(each) for each in workers), _PROVE_S)
    errors = [each.start_error for each in workers if each.start_error and not each.served]
    if errors:
        raise errors[0]


def check_reachable(
    config: ClusterConfig, n: int, topology: str | None, state: NodeState, *, observing: bool
) -> None:
    """Check that ``topology``, or all topologies together, can ever have ``n`` nodes.

    This node is one of them, unless it only observes.

    Raises:
        ConfigError: They can't.
    """
    if not isinstance(n, int) or n < 1:
        raise TypeError(f"wait_for: {n!r:.80}: expected a number of nodes, from 1 up")
    configs = [each for name, each in config.topologies.items() if topology in (None, name)]
    own = 0 if observing else 1
    most = _most_peers(configs, state) + own
    if n > most:
        where = f"topology {topology!r}" if topology else "the configuration"
        can_be_known = n <= _most_peers(configs, "known") + own
        cure = "; state='known' counts those not linked, too" if can_be_known else ""
        included = "" if observing else ", this one included"
        text = f"{n} nodes can never be {state}: {where} allows {most}{included}{cure}"
        raise ConfigError(f"wait_for: {text}")


def _most_peers(configs: Iterable[TopologyConfig], state: NodeState) -> int:
    """Return how many other nodes there can be in that state."""
    return sum(_most_peers_of(config, state) for config in configs)


def _most_peers_of(config: TopologyConfig, state: NodeState) -> int:
    links = config.topology.build().most_links() if state == "up" else None
    if links is not None and not isinstance(links, int):
        returned = f"most_links returned a {type(links).__name__}"
        raise ConfigError(f"topology {config.topology.name!r}: {returned}: expected a number")
    return config.max_nodes if links is None else min(links, config.max_nodes)


def count(bus: EventBus, own: Node | None, topology: str | None, state: NodeState) -> int:
    """Return how many nodes are in that state; ``own`` is this one if it counts."""
    with bus.guard():
        return len(bus.nodes(topology, state)) + (own is not None)


def wait_for_nodes(
    bus: EventBus,
    n: int,
    own: Node | None,
    *,
    topology: str | None,
    state: NodeState,
    timeout_s: float | None,
) -> None:
    """Wait until there are ``n`` nodes; see ``count``.

    Raises:
        WaitTimeoutError: The time is over, or the supervisor has stopped.
    """
    given_s = checked_s_or_none(timeout_s, "wait_for: timeout_s")
    deadline_s = None if given_s is None else time.monotonic() + given_s
    with bus.guard():
        while (found := count(bus, own, topology, state)) < n:
            left_s = None if deadline_s is None else deadline_s - time.monotonic()
            if bus.closed:
                text = f"the supervisor stopped with {found} of {n} nodes {state}"
                raise WaitTimeoutError(f"wait_for: {text}")
            if left_s is not None and left_s <= 0:
                there = [*([own] if own else []), *bus.nodes(topology, state)[:_MAX_NAMED]]
                names = ", ".join(map(str, there)) or "nobody"
                text = f"wait_for: {found} of {n} nodes are {state} after {timeout_s:g} s: {names}"
                raise WaitTimeoutError(text + _hint(bus, n, own, topology, state))
            bus.changed.wait(left_s)


def _hint(bus: EventBus, n: int, own: Node | None, topology: str | None, state: NodeState) -> str:
    """Return a hint if enough nodes are known, but the topology may not select them."""
    known = count(bus, own, topology, "known")
    if state != "up" or known < n:
        return ""
    return f"; {known} are known, linked or not: state='known' counts those"
