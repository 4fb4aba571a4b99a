"""How long a cluster may take to agree once nothing disturbs it any more, from the options of its
parts. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from cluster_kit.abc import Connector, Strategy
from cluster_kit.membership.reconciler import LAST_RETRY_S

_PULSE_S = 1.0  # of a worker, and of what judges silence
_ODDS = 1e-6  # that heartbeats in a row get lost


def aftermath_s(
    strategies: Iterable[Strategy], connector: Connector, *, loss: float = 0.0
) -> float:
    """Return for how long after a disturbance nodes may still be taken for dead because of it.

    Who is gone is forgotten, or who is silent noticed. A strategy or connector without such options
    counts with the defaults of ``gossip`` and ``tcp``.

    Args:
        strategies: The sources.
        connector: The connector.
        loss: Fraction of packets that is lost.
    """
    heard = math.ceil(math.log(_ODDS) / math.log(loss)) if 0 < loss < 1 else 1
    finding_s = max((_finding_s(each, heard) for each in strategies), default=0.0)
    silent_s: float = getattr(connector, "silent_s", 3.5)
    return finding_s + silent_s + _PULSE_S


def bound_s(
    strategies: Iterable[Strategy],
    connector: Connector,
    *,
    connect_timeout_s: float,
    loss: float = 0.0,
) -> float:
    """Return the seconds within which all views agree once nothing disturbs them any more.

    To ``aftermath_s`` come a dial that was under way and fails, and the longest back-off.

    Args:
        strategies: The sources.
        connector: The connector.
        connect_timeout_s: How long a dial may take.
        loss: Fraction of packets that is lost.
    """
    return (
        aftermath_s(strategies, connector, loss=loss) + connect_timeout_s + LAST_RETRY_S + _PULSE_S
    )


def _finding_s(strategy: Strategy, heard: int) -> float:
    """Return how long a source may take to tell who is there and who isn't."""
    interval_s: float = getattr(strategy, "interval_s", 1.5)
    ttl_s: float = getattr(strategy, "ttl_s", 0.0) or interval_s * (
        1 + getattr(strategy, "confirmations", 1)
    )
    return ttl_s + 1.5 * interval_s * heard
