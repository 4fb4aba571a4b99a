"""Waits until topologies serve, or it is clear that they can't."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cluster_kit.supervisor.bus import EventBus
from cluster_kit.supervisor.keeper import GREET_S, Keeper

_SERVE_S = 10.0  # how long ``start`` waits; a plugin that hangs must not hang the application
_PROVE_S = 2 * GREET_S  # at most, until it is known whether what was started are workers at all


def wait_until(bus: EventBus, met: Callable[[], bool], timeout_s: float | None = None) -> None:
    """Wait until ``met``, or for so many seconds."""
    with bus.guard():
        bus.changed.wait_for(lambda: met() or bus.closed, timeout_s)


def await_serving(bus: EventBus, keepers: Sequence[Keeper]) -> None:
    """Wait until each serves, or has been given time to.

    Raises:
        ClusterKitError: One of them can't, or its process is no worker.
    """
    wait_until(bus, lambda: all(each.served or each.start_error or each.finished for each in keepers), _SERVE_S)
    wait_until(bus, lambda: all(each.proven or each.start_error or each.finished for each in keepers), _PROVE_S)
    errors = [keeper.start_error for keeper in keepers if keeper.start_error and not keeper.served]
    if errors:
        raise errors[0]
