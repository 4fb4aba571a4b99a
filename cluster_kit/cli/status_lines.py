"""Formats the reports of supervisors for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cluster_kit.cli.text import columns, duration, pairs, printable
from cluster_kit.membership.unlinked import why_not

_HEADINGS = ("NODE", "ADDRESS", "LINKED FOR", "ROUND TRIP", "METADATA")


def status_lines(report: Mapping[str, Any]) -> str:
    """Return the lines for one supervisor."""
    leaving = ", about to leave" if report["leaving"] else ""
    head = f"{report['node']}: process {report['pid']}, cluster {report['cluster']!r}{leaving}"
    parts = [
        head,
        *_certificates(report.get("certificates")),
        *(_topology(name, topology) for name, topology in report["topologies"].items()),
    ]
    return "\n".join(parts)


def _certificates(report: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield the names and expiry of the node's certificate, if it has one from a file."""
    if report:
        names, until = ", ".join(report["names"]), report["expires"][:16].replace("T", " ")
        yield printable(f"  certificate '{report['cert']}': for {names}, valid until {until} UTC")


def _topology(name: str, report: Mapping[str, Any]) -> str:
    lines = [f"  {name}: {_state(report)}", *(f"    {line}" for line in _sources(report))]
    if report["last_error"] and report["last_error"] not in report["sources"].values():
        lines.append(f"    last error: {report['last_error']}")
    if failing := report.get("failing"):
        counts = ", ".join(f"{number} {reason}" for reason, number in failing.items())
        lines.append(f"    not linked: {counts}")
    rows = list(_nodes(report))
    table = columns([_HEADINGS, *rows], indent="    ") if rows else "    no other node is known"
    return "\n".join([*map(printable, lines), table])


def _state(report: Mapping[str, Any]) -> str:
    address = f" at {report['address']}" if report["address"] else ""
    process = f", process {report['pid']}" if report["pid"] else ""
    restarts = f", replaced {report['restarts']} times" if report["restarts"] else ""
    return f"{report['state'].replace('_', ' ')}{address}{process}{restarts}"


def _sources(report: Mapping[str, Any]) -> Iterator[str]:
    for source, fault in report["sources"].items():
        yield f"{source}: {fault or 'works'}"


def _nodes(report: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each node that is known or linked, or went recently, by name."""
    names = ("links", "known", "gone", "unlinked")
    links, known, gone, unlinked = (
        {each["node"]: each for each in report.get(what, ())} for what in names
    )
    for name in sorted(known | links | gone):
        node = links.get(name) or known.get(name) or gone[name]
        if name in links:
            linked = (duration(node["age_s"]), _milliseconds(node["rtt_s"]))
        else:
            linked = (_absent(gone.get(name), unlinked.get(name)), "-")
        yield (name, node["address"] or "-", *linked, pairs(sorted(node["metadata"].items())))


def _absent(gone: Mapping[str, Any] | None, unlinked: Mapping[str, Any] | None) -> str:
    """Describe when and why a node went, and why it is not linked again."""
    why = "not linked"
    if unlinked:
        why = why_not(unlinked["reason"], unlinked["tries"], unlinked["next_s"])
    if not gone:
        return why
    went = f"gone {duration(gone['age_s'])} ago: {gone['reason']}"
    return f"{went}; {why}" if unlinked and unlinked["reason"] else went


def summary(reports: Sequence[Mapping[str, Any]]) -> str:
    """Return one line for all supervisors together; a node counts once in each topology of each."""
    topologies = [topology for report in reports for topology in report["topologies"].values()]
    linked, gone = (
        sum(len(topology.get(what, ())) for topology in topologies) for what in ("links", "gone")
    )
    known = sum(
        len({each["node"] for what in ("known", "links") for each in topology[what]})
        for topology in topologies
    )
    troubled = sum(topology["state"] not in ("ready", "starting") for topology in topologies)
    parts = [
        _count(len(reports), "supervisor"),
        _count(len(topologies), "topology", "topologies"),
        f"{linked} of {_count(known, 'node')} linked",
    ]
    if troubled:
        parts[1] += f" ({troubled} in trouble)"
    if gone:
        parts.append(f"{gone} gone within the last minute")
    return ", ".join(parts)


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"
