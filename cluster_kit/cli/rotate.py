"""``cluster-kit rotate``: shows how far a cluster has gone from one secret to another.

A secret is identified by its id, whose first half is shown. A node that has several uses the first,
and accepts all. Whether a step is safe follows from what the nodes report, by pure functions.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import click

from cluster_kit.cli.click_types import DocumentedCommand
from cluster_kit.cli.failure import Failure, FaultyFile, warn
from cluster_kit.cli.interruption import INTERRUPTED

HEADINGS = ("NODE", "USES", "ALSO ACCEPTS", "THIS STEP")

_UNSURE = 3
_SHOWN_CHARS = 8
_NOTHING = "-"


@click.command(
    cls=DocumentedCommand,
    example="cluster-kit rotate --check secret.next && mv secret.next secret",
    exit_codes={
        0: "the step is safe; without --check, the secrets were shown",
        1: "the step would cut off the listed nodes, or a supervisor is missing or does not answer",
        2: "FILE has faults",
        _UNSURE: "the step is safe for all linked nodes, but absent ones may be unable to return",
        INTERRUPTED: "interrupted",
    },
)
@click.argument("nodes", metavar="[NODE]...", nargs=-1)
@click.option("--cluster", metavar="CLUSTER", help="Only nodes of this cluster.")
@click.option("--check", "file", metavar="FILE", help="The secret file after the next step.")
def rotate(nodes: tuple[str, ...], cluster: str | None, file: str | None) -> None:
    """Check whether the next step of a secret rotation is safe.

    A secret file has one secret on each line: a node uses the first, and accepts all. To rotate,
    append the new secret as a second line on every machine; when all nodes accept it, move it to
    the first line; when all use it, remove the old one. Nodes load a changed file within ten
    seconds, and no link is lost. Before each step, run this command with --check and the new
    version of the file: it lists the nodes that aren't ready for the step, and absent nodes.

    Queries the supervisors on this machine, or those of NODE, as 'cluster-kit status' does. A
    secret is shown by its id, which reveals nothing about it.
    """
    from cluster_kit.cli.supervisors import no_answer, query, wanted_nodes, why_missing

    wanted = wanted_nodes(nodes, cluster)
    answers = query(wanted)
    for pid in answers.unresponsive:
        warn(f"rotate: {no_answer(pid)}")
    protected = [report for report in answers.reports if report["secrets"]]
    if not answers.complete and not answers.unresponsive:
        raise Failure(f"rotate: {why_missing(answers, wanted)}")
    if answers.reports and not protected:
        cure = "make one with 'cluster-kit secret --output FILE'"
        raise Failure(f"rotate: none of the nodes has a secret: {cure}")
    codes = [_show(report, file) for report in protected]
    sys.exit(max(codes, key=(0, _UNSURE, 1).index) if answers.complete else 1)


def _show(report: Mapping[str, Any], file: str | None) -> int:
    """Print the secrets of a node and its peers, and return the exit code that follows."""
    from cluster_kit.cli.text import columns

    secrets = tuple(report["secrets"]) if file is None else _ids_in(file, report["cluster"])
    peers = peers_of(report, secrets)
    width = len(HEADINGS) if file is not None else len(HEADINGS) - 1
    uses, *accepts = map(short, report["secrets"])
    own = (report["node"], uses, " ".join(accepts) or _NOTHING, "this node")
    click.echo(columns([row[:width] for row in (HEADINGS, own, *(peer.row for peer in peers))]))
    if file is None:
        return 0
    behind = [peer.node for peer in peers if peer.readiness is Readiness.BEHIND]
    absent = [peer.node for peer in peers if peer.readiness is Readiness.ABSENT]
    click.echo(_sentence(report["node"], secrets, behind, absent))
    return 1 if behind else _UNSURE if absent else 0


def _sentence(
    node: str, secrets: Sequence[str], behind: Sequence[str], absent: Sequence[str]
) -> str:
    uses, *accepts = map(short, secrets)
    step = f"to use {uses} and also accept {' '.join(accepts) or 'nothing'}"
    if behind:
        return f"not safe for {node} {step}: {', '.join(behind)} would lose it"
    if absent:
        return f"safe for {node} {step}, for linked nodes only; absent: {', '.join(absent)}"
    return f"safe for {node} {step}"


def _ids_in(file: str, cluster: str) -> tuple[str, ...]:
    """Return the ids that the secrets in a file have in a cluster.

    Raises:
        FaultyFile: The file can't be used.
    """
    from pathlib import Path

    from cluster_kit.config.secret_file import read_secret_file
    from cluster_kit.errors import ConfigError
    from cluster_kit.security.keys import derive

    try:
        found = read_secret_file(Path(file))
    except ConfigError as exc:
        raise FaultyFile(exc) from exc
    return tuple(derive(secret.reveal(), cluster).id.hex() for secret in found.secrets)


class Readiness(Enum):
    """Whether a peer is ready for a step."""

    READY = "ready"
    BEHIND = "behind"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class RotatingPeer:
    """A peer of a node during a rotation.

    Attributes:
        node: Its name.
        secrets: The ids of its secrets, the one that it uses first; empty if unknown.
        readiness: Whether it is ready for the step.
        why: The same in words.
    """

    node: str
    secrets: tuple[str, ...]
    readiness: Readiness
    why: str

    @property
    def row(self) -> tuple[str, str, str, str]:
        """The cells of a table row, under ``HEADINGS``."""
        uses, *accepts = map(short, self.secrets or (_NOTHING,))
        return self.node, uses, " ".join(accepts) or _NOTHING, self.why


def short(secret_id: str) -> str:
    """Return the part of an id that is shown."""
    return secret_id[:_SHOWN_CHARS]


def peers_of(report: Mapping[str, Any], secrets: Sequence[str]) -> list[RotatingPeer]:
    """Return the peers of a node, by name.

    Args:
        report: The report of the node's supervisor.
        secrets: The ids that the node will have after the step, the one that it will use first.
    """
    topologies: Iterable[Mapping[str, Any]] = report["topologies"].values()
    linked: dict[str, tuple[str, ...]] = {}
    others: dict[str, None] = {}
    for topology in topologies:
        for link in topology["links"]:
            linked[link["node"]] = linked.get(link["node"]) or tuple(link["secrets"])
        others |= dict.fromkeys(node["node"] for node in (*topology["known"], *topology["gone"]))
    peers = [_linked(node, held, secrets) for node, held in linked.items()]
    peers += [_absent(node, secrets) for node in others if node not in linked]
    return sorted(peers, key=lambda peer: peer.node)


def _linked(node: str, held: tuple[str, ...], secrets: Sequence[str]) -> RotatingPeer:
    if not held:
        why = "reports no secret: its release or its connector has none"
        return RotatingPeer(node, held, Readiness.BEHIND, why)
    reasons = list(_why_behind(held, secrets))
    readiness = Readiness.BEHIND if reasons else Readiness.READY
    return RotatingPeer(node, held, readiness, "; ".join(reasons) or "ready")


def _why_behind(held: tuple[str, ...], secrets: Sequence[str]) -> Iterator[str]:
    if secrets[0] not in held:
        yield f"does not accept {short(secrets[0])}, which would be used: add it there first"
    if held[0] not in secrets:
        yield f"still uses {short(held[0])}, which would be dropped: switch it to another one first"


def _absent(node: str, secrets: Sequence[str]) -> RotatingPeer:
    uses = " or ".join(map(short, secrets))
    why = f"absent: it can return if it accepts {short(secrets[0])} and uses {uses}"
    return RotatingPeer(node, (), Readiness.ABSENT, why)
