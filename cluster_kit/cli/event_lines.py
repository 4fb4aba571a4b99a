"""Events as lines: a JSON object for programs, a sentence for people. Pure."""

from __future__ import annotations

import json
import re
import time
from dataclasses import fields
from typing import Any

from cluster_kit.cli.text import printable
from cluster_kit.errors import name_taken
from cluster_kit.events import (
    Event,
    NodeDown,
    NodeFound,
    NodeLeaving,
    NodeLost,
    NodeUp,
    NodeUpdated,
    Snapshot,
    TopologyDegraded,
    TopologyEvent,
    TopologyReady,
    TopologyRecovered,
    TopologyRestarted,
)
from cluster_kit.node import Node

_COMMON = frozenset(field.name for field in fields(Event))


def as_json(event: Event) -> str:
    """Return one JSON object: ``t``, ``event``, ``topology``, then the fields of the event."""
    record: dict[str, Any] = {"t": event.t, "event": _kind(event), "topology": event.topology}
    for field in fields(event):
        if field.name not in _COMMON:
            record |= _members(field.name, getattr(event, field.name))
    return json.dumps(record, default=_text)


def _kind(event: Event) -> str:
    if isinstance(event, TopologyReady):
        return "ready"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()


def _members(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Node):
        return {name: str(value), "address": value.address, "metadata": dict(value.metadata)}
    if isinstance(value, tuple):
        return {name: [str(node) for node in value]}
    return {name: value}


def _text(value: bytes) -> str:
    """Return bytes, which plugins may send, as text for JSON."""
    return value.decode(errors="backslashreplace")


def as_text(event: Event) -> str:
    """Return one line for a person to read."""
    clock = time.strftime("%H:%M:%S", time.localtime(event.t))
    return f"{clock}.{int(event.t % 1 * 1000):03} {event.topology}: {printable(_sentence(event))}"


def _sentence(event: Event) -> str:
    match event:
        case NodeFound(node=node):
            return f"found {node}{_details(node)}"
        case NodeLost(node=node, reason=reason):
            return f"lost {node}: {reason}"
        case NodeUp(node=node):
            return f"{node} is up{_details(node)}"
        case NodeDown(node=node, reason=reason):
            return f"{node} is down: {reason}"
        case NodeUpdated(node=node):
            return f"{node} changed{_details(node)}"
        case NodeLeaving(node=node):
            return f"{node} is about to leave"
        case TopologyReady(address=address):
            return f"ready at {address}" if address else "ready"
        case TopologyDegraded(error=error):
            return f"degraded: {error}"
        case TopologyRecovered():
            return "recovered"
        case TopologyRestarted(restarts=restarts, error=error):
            return f"worker replaced (restart {restarts}): {error}"
        case TopologyEvent(kind="name_conflict", data={"name": str(name)}):
            return name_taken(name)
        case TopologyEvent(kind=kind, data=data):
            return f"{kind} {data!r}"
        case Snapshot(up=up):
            nodes = ", ".join(map(str, up)) or "nobody"
            return f"fell behind, some events were skipped; up now: {nodes}"
        case _:
            return repr(event)


def _details(node: Node) -> str:
    address = f" at {node.address}" if node.name and node.address else ""
    metadata = " ".join(f"{key}={value}" for key, value in sorted(node.metadata.items()))
    return f"{address} ({metadata})" if metadata else address
