"""``cluster-kit rotate``: how far a cluster is on its way from one secret to another."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from cluster_kit.cli.failure import Failure, Faults, warn
from cluster_kit.cli.interruption import INTERRUPTED
from cluster_kit.cli.teaching import TaughtCommand

_UNSURE = 3


@click.command(
    cls=TaughtCommand,
    example="cluster-kit rotate --check secret.next && mv secret.next secret",
    exit_codes={
        0: "the step is safe; without --check, told",
        1: "it would part nodes, which are named; or no supervisor tells of itself",
        2: "FILE has faults",
        _UNSURE: "it parts nobody who is linked, but some nodes are absent, and may not hold what they need to return",
        INTERRUPTED: "interrupted",
    },
)
@click.argument("nodes", metavar="[NODE]...", nargs=-1)
@click.option("--cluster", metavar="CLUSTER", help="Only nodes of this cluster.")
@click.option("--check", "file", metavar="FILE", help="The secret file as it is to become.")
def rotate(nodes: tuple[str, ...], cluster: str | None, file: str | None) -> None:
    """Tell which secrets the nodes of a cluster hold, and whether the next step of a rotation is safe.

    A secret file has one secret on each line: a node uses the first, and accepts all. To go over to another secret, append the
    new one as a second line on every machine; when all accept it, move it up to the first; when all use it, remove the old
    one. A change of the file is taken in within ten seconds, and no link is lost. Before each step, --check tells by FILE,
    which is the file as it is to become, who is not ready for it, and who is absent.

    Asks the supervisors that run here, or those that are a NODE, as 'cluster-kit status' does. A secret is shown by its id,
    which tells nothing of it.
    """
    from cluster_kit.cli.asking import ask, silence, those, why_missing

    wanted = those(nodes, cluster)
    asked = ask(wanted)
    for pid in asked.mute:
        warn(f"rotate: {silence(pid)}")
    holding = [told for told in asked.told if told["secrets"]]
    if not asked.complete and not asked.mute:
        raise Failure(f"rotate: {why_missing(asked, wanted)}")
    if not holding:
        raise Failure("rotate: none of them has a secret: make one with 'cluster-kit secret --output FILE'")
    codes = [_tell(told, file) for told in holding]
    sys.exit(max(codes, key=(0, _UNSURE, 1).index) if asked.complete else 1)


def _tell(told: Mapping[str, Any], file: str | None) -> int:
    """Print how the peers of one node stand, and return the exit code that this comes to."""
    from cluster_kit.cli.columns import columns
    from cluster_kit.cli.rotation import HEADINGS, Verdict, short, standings

    secrets = tuple(told["secrets"]) if file is None else _ids_in(file, told["cluster"])
    peers = standings(told, secrets)
    width = len(HEADINGS) if file is not None else len(HEADINGS) - 1
    uses, *accepts = map(short, told["secrets"])
    own = (told["node"], uses, " ".join(accepts) or "-", "this node")
    click.echo(columns([row[:width] for row in (HEADINGS, own, *(peer.row for peer in peers))]))
    if file is None:
        return 0
    behind, absent = ([peer.node for peer in peers if peer.verdict is verdict] for verdict in (Verdict.BEHIND, Verdict.ABSENT))
    for line in _verdict(told["node"], secrets, behind, absent):
        click.echo(line)
    return 1 if behind else _UNSURE if absent else 0


def _verdict(node: str, secrets: Sequence[str], behind: Sequence[str], absent: Sequence[str]) -> Iterator[str]:
    from cluster_kit.cli.rotation import short

    uses, *accepts = map(short, secrets)
    step = f"to use {uses} and accept {' '.join(accepts) or 'nothing'} besides"
    if behind:
        yield f"not safe for {node} {step}: {', '.join(behind)} would lose it"
    elif absent:
        yield f"safe for {node} {step}, as far as the linked nodes go; absent: {', '.join(absent)}"
    else:
        yield f"safe for {node} {step}"


def _ids_in(file: str, cluster: str) -> tuple[str, ...]:
    """Return the ids of the secrets in a file, as they are in a cluster.

    Raises:
        Faults: It can't be used.
    """
    from pathlib import Path

    from cluster_kit.config.secret_file import read_secret_file
    from cluster_kit.errors import ConfigError
    from cluster_kit.security.keys import derive

    try:
        found = read_secret_file(Path(file))
    except ConfigError as exc:
        raise Faults(exc) from exc
    return tuple(derive(secret.reveal(), cluster).id.hex() for secret in found.secrets)
