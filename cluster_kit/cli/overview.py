"""What supervisors tell of themselves through their control sockets, as text for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cluster_kit.cli.columns import columns, pairs
from cluster_kit.cli.printable import printable
from cluster_kit.membership.unlinked import why_not

_HEADINGS = ("NODE", "ADDRESS", "LINKED FOR", "ROUND TRIP", "METADATA")
_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def overview(told: Mapping[str, Any]) -> str:
    """Return some lines for one supervisor."""
    leaving = ", about to leave" if told["leaving"] else ""
    head = f"{told['node']}: process {told['pid']}, cluster {told['cluster']!r}{leaving}"
    parts = [head, *(_topology(name, topology) for name, topology in told["topologies"].items())]
    return "\n".join(parts)


def _topology(name: str, told: Mapping[str, Any]) -> str:
    lines = [f"  {name}: {_state(told)}", *(f"    {line}" for line in _sources(told))]
    if told["last_error"] and told["last_error"] not in told["sources"].values():
        lines.append(f"    last error: {told['last_error']}")
    if failing := told.get("failing"):
        lines.append("    not linked: " + ", ".join(f"{number} {reason}" for reason, number in failing.items()))
    table = columns([_HEADINGS, *_nodes(told)], indent="    ") if told["known"] or told["links"] else "    nobody else is known"
    return "\n".join([*map(printable, lines), table])


def _state(told: Mapping[str, Any]) -> str:
    address = f" at {told['address']}" if told["address"] else ""
    process = f", process {told['pid']}" if told["pid"] else ""
    restarts = f", replaced {told['restarts']} times" if told["restarts"] else ""
    return f"{told['state'].replace('_', ' ')}{address}{process}{restarts}"


def _sources(told: Mapping[str, Any]) -> Iterator[str]:
    for source, fault in told["sources"].items():
        yield f"{source}: {fault or 'works'}"


def _nodes(told: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each node that is known or linked, by name."""
    links = {each["node"]: each for each in told["links"]}
    known = {each["node"]: each for each in told["known"]}
    unlinked = {each["node"]: each for each in told.get("unlinked", ())}
    for name in sorted(known | links):
        link, node = links.get(name), links.get(name) or known[name]
        linked = (duration(link["age_s"]), _milliseconds(link["rtt_s"])) if link else (_why_not(unlinked.get(name)), "-")
        yield (name, node["address"] or "-", *linked, pairs(sorted(node["metadata"].items())))


def _why_not(unlinked: Mapping[str, Any] | None) -> str:
    return why_not(unlinked["reason"], unlinked["tries"], unlinked["next_s"]) if unlinked else "not linked"


def duration(seconds: float) -> str:
    """Return a time in its largest unit: ``90 s`` is ``1 min``."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds / size)} {unit}"
    return "0 s"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"
