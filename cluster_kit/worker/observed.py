"""What a strategy yields, checked before anybody believes it; an error names the contract, for
whoever wrote the strategy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine

from cluster_kit.abc import Failed, Found, Gone, Leaving, Observation, Seen
from cluster_kit.node import Node


def checked_stream(observations: object) -> AsyncIterator[Observation]:
    """Return what ``discover`` returned.

    Raises:
        TypeError: It is no async iterator.
    """
    if isinstance(observations, AsyncIterator):
        return observations
    if isinstance(observations, Coroutine):
        observations.close()  # else Python warns that nobody awaited it
    raise TypeError(
        f"discover returned {observations!r:.80}: expected an async generator, 'async def' with "
        "'yield'"
    )


def check_observation(observation: object) -> None:
    """Check what a strategy yielded.

    Raises:
        TypeError: It is no observation, or one about something else than nodes.
    """
    if (
        type(observation) is Seen
        and type(observation.node) is Node
        and type(observation.ttl_s) is float
    ):
        return  # as nearly all are
    if not isinstance(observation, Found | Seen | Leaving | Gone | Failed):
        raise TypeError(
            f"it yielded {observation!r:.80}, which is no observation such as Found or Seen"
        )
    expected = _expected_of(observation)
    if expected:
        raise TypeError(f"it yielded {observation!r:.120}: expected {expected}")


def _expected_of(observation: Observation) -> str | None:
    """Return what should be in an observation, if that isn't."""
    match observation:
        case Found(nodes=nodes) if not all(_is(node, Node) for node in nodes):
            return "nothing but Nodes in Found"
        case Seen(node=node, ttl_s=ttl_s) if not (_is(node, Node) and _is(ttl_s, int, float)):
            return "Seen(node, ttl_s), a Node and a number of seconds"
        case Failed(error=error) if not _is(error, Exception):
            return "an exception in Failed, such as DiscoveryError"
    return None


def _is(value: object, *kinds: type) -> bool:
    """Return ``isinstance``; what is declared here is what plugins may not have kept to."""
    return isinstance(value, kinds)
