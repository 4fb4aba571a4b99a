"""Checks the values that plugins return; an error names the contract, for their authors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import Any

from cluster_kit.abc import Failed, Found, Gone, Leaving, Observation, Seen
from cluster_kit.node import Node

MAX_DEPTH = 32  # of nested plain data; deeper is a mistake, such as a list that contains itself


def checked_stream(observations: object) -> AsyncIterator[Observation]:
    """Return what ``discover`` returned.

    Raises:
        TypeError: It isn't an async iterator.
    """
    if isinstance(observations, AsyncIterator):
        return observations
    if isinstance(observations, Coroutine):
        observations.close()  # otherwise Python warns that nobody awaited it
    got = f"discover returned {observations!r:.80}"
    raise TypeError(f"{got}: expected an async generator, 'async def' with 'yield'")


def check_observation(observation: object) -> None:
    """Check what a strategy yielded.

    Raises:
        TypeError: It isn't an observation, or isn't about nodes.
    """
    if (
        type(observation) is Seen
        and type(observation.node) is Node
        and type(observation.ttl_s) is float
    ):
        return  # the fast path, which nearly all observations take
    if not isinstance(observation, Found | Seen | Leaving | Gone | Failed):
        raise TypeError(f"it yielded {observation!r:.80}: expected an observation such as Found")
    if expected := _expected_of(observation):
        raise TypeError(f"it yielded {observation!r:.120}: expected {expected}")


def _expected_of(observation: Observation) -> str | None:
    """Return what an observation should have contained, if it doesn't."""
    match observation:
        case Found(nodes=nodes) if not all(_is(node, Node) for node in nodes):
            return "nothing but Nodes in Found"
        case Seen(node=node, ttl_s=ttl_s) if not (_is(node, Node) and _is(ttl_s, int, float)):
            return "Seen(node, ttl_s), a Node and a number of seconds"
        case Failed(error=error) if not _is(error, Exception):
            return "an exception in Failed, such as DiscoveryError"
    return None


def _is(value: object, *kinds: type) -> bool:
    """Return ``isinstance``, for values whose declared types a plugin may have ignored."""
    return isinstance(value, kinds)


def check_plain(value: Any, what: str, depth: int = 0) -> None:
    """Check that ``value`` is plain data, which may pass between a plugin and the application.

    Plain data are ``None``, bool, int, float, str, bytes, and lists, tuples and dicts of these; the
    keys of dicts are strings.

    Raises:
        TypeError: It contains something else, or is nested too deep.
    """
    if depth > MAX_DEPTH:
        raise TypeError(f"{what}: nested deeper than {MAX_DEPTH}: pass plain data")
    if value is None or type(value) in (bool, int, float, str, bytes):
        return
    if type(value) in (list, tuple):
        for item in value:
            check_plain(item, what, depth + 1)
    elif type(value) is dict:
        for key, item in value.items():
            check_plain(item, what, depth + 1)
            if type(key) is not str:
                raise TypeError(f"{what}: key {key!r:.80} is not a string: pass plain data")
    else:
        got = f"{value!r:.80} is a {type(value).__name__}"
        raise TypeError(f"{what}: {got}: pass plain data (numbers, text, lists, dicts)")
