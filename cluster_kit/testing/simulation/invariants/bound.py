"""How long a cluster may take to agree once nothing disturbs it, by the options of its parts. Pure.

A strategy or connector without the options in question counts with the defaults of ``gossip`` and
``tcp``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from cluster_kit.abc import Connector, Strategy
from cluster_kit.membership.reconciler import LAST_RETRY_S

_TICK_S = 1.0  # of a worker, and of what judges silence
_ODDS = 1e-6  # at which a row of lost heartbeats counts as impossible


def aftermath_s(
    strategies: Iterable[Strategy], connector: Connector, *, loss: float = 0.0
) -> float:
    """Return for how long after a disturbance nodes may still be taken for dead because of it.

    That is the time to forget a node that discovery no longer sees, and to notice a silent link.

    Args:
        strategies: The sources.
        connector: The connector.
        loss: Fraction of packets that is lost.
    """
    heartbeats = math.ceil(math.log(_ODDS) / math.log(loss)) if 0 < loss < 1 else 1
    discovery_s = max((_discovery_s(each, heartbeats) for each in strategies), default=0.0)
    silent_s: float = getattr(connector, "silent_s", 3.5)
    return discovery_s + silent_s + _TICK_S


def bound_s(
    strategies: Iterable[Strategy],
    connector: Connector,
    *,
    connect_timeout_s: float,
    loss: float = 0.0,
) -> float:
    """Return the seconds within which all views agree once nothing disturbs them.

    After ``aftermath_s``, a pending dial may have to fail, and the longest back-off to pass.

    Args:
        strategies: The sources.
        connector: The connector.
        connect_timeout_s: How long a dial may take.
        loss: Fraction of packets that is lost.
    """
    settled_s = aftermath_s(strategies, connector, loss=loss)
    return settled_s + connect_timeout_s + LAST_RETRY_S + _TICK_S


def _discovery_s(strategy: Strategy, heartbeats: int) -> float:
    """Return how long a source may take to notice that a node has come or gone.

    ``heartbeats`` is how many must be sent for one to get through.
    """
    interval_s: float = getattr(strategy, "interval_s", 1.5)
    confirmations = getattr(strategy, "confirmations", 1)
    ttl_s: float = getattr(strategy, "ttl_s", 0.0) or interval_s * (1 + confirmations)
    return ttl_s + 1.5 * interval_s * heartbeats
