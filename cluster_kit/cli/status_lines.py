"""What supervisors report through their control sockets, as text for people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cluster_kit.cli.text import columns, duration, pairs, printable
from cluster_kit.membership.unlinked import why_not

_HEADINGS = ("NODE", "ADDRESS", "LINKED FOR", "ROUND TRIP", "METADATA")


def status_lines(told: Mapping[str, Any]) -> str:
    """Return the lines for one supervisor."""
    leaving = ", about to leave" if told["leaving"] else ""
    head = f"{told['node']}: process {told['pid']}, cluster {told['cluster']!r}{leaving}"
    parts = [
        head,
        *_certificates(told.get("certificates")),
        *(_topology(name, topology) for name, topology in told["topologies"].items()),
    ]
    return "\n".join(parts)


def _certificates(told: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield what the certificate of the node is for, and until when, if it has one from a file."""
    if told:
        until = told["expires"][:16].replace("T", " ")
        yield printable(f"  certificate '{told['cert']}': for {', '.join(told['names'])}, valid until {until} UTC")


def _topology(name: str, told: Mapping[str, Any]) -> str:
    lines = [f"  {name}: {_state(told)}", *(f"    {line}" for line in _sources(told))]
    if told["last_error"] and told["last_error"] not in told["sources"].values():
        lines.append(f"    last error: {told['last_error']}")
    if failing := told.get("failing"):
        lines.append("    not linked: " + ", ".join(f"{number} {reason}" for reason, number in failing.items()))
    rows = list(_nodes(told))
    table = columns([_HEADINGS, *rows], indent="    ") if rows else "    nobody else is known"
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
    """Yield a row for each node that is known or linked, or went just now, by name."""
    names = ("links", "known", "gone", "unlinked")
    links, known, gone, unlinked = ({each["node"]: each for each in told.get(what, ())} for what in names)
    for name in sorted(known | links | gone):
        node = links.get(name) or known.get(name) or gone[name]
        if name in links:
            linked = (duration(node["age_s"]), _milliseconds(node["rtt_s"]))
        else:
            linked = (_absent(gone.get(name), unlinked.get(name)), "-")
        yield (name, node["address"] or "-", *linked, pairs(sorted(node["metadata"].items())))


def _absent(gone: Mapping[str, Any] | None, unlinked: Mapping[str, Any] | None) -> str:
    """Tell when and why a node went, and why it is not linked again."""
    went = f"gone {duration(gone['age_s'])} ago: {gone['reason']}" if gone else None
    why = why_not(unlinked["reason"], unlinked["tries"], unlinked["next_s"]) if unlinked else "not linked"
    if went and unlinked and unlinked["reason"]:
        return f"{went}; {why}"
    return went or why


def summary(told: Iterable[Mapping[str, Any]]) -> str:
    """Return one line for all supervisors together; a node counts once in each topology of each."""
    told = list(told)
    topologies = [topology for each in told for topology in each["topologies"].values()]
    linked, gone = (sum(len(topology.get(what, ())) for topology in topologies) for what in ("links", "gone"))
    known = sum(len({each["node"] for what in ("known", "links") for each in topology[what]}) for topology in topologies)
    troubled = sum(topology["state"] not in ("ready", "starting") for topology in topologies)
    parts = [
        _count(len(told), "supervisor"),
        _count(len(topologies), "topology", "topologies") + (f" ({troubled} in trouble)" if troubled else ""),
        f"{linked} of {_count(known, 'node')} linked",
        *([f"{gone} gone within the last minute"] if gone else []),
    ]
    return ", ".join(parts)


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"
