"""``cluster-kit status``: how the supervisors of this user, on this machine, are doing."""

from __future__ import annotations

import json
import sys

import click

from cluster_kit.cli.failure import Failure, warn
from cluster_kit.cli.interruption import INTERRUPTED
from cluster_kit.cli.teaching import TaughtCommand


@click.command(
    cls=TaughtCommand,
    example="cluster-kit status web@10.0.0.5 --json | jq .topologies.lan.state",
    exit_codes={
        0: "told",
        1: "no supervisor tells of itself, or not one that was asked for",
        INTERRUPTED: "interrupted",
    },
)
@click.argument("nodes", metavar="[NODE]...", nargs=-1)
@click.option("--cluster", metavar="CLUSTER", help="Only nodes of this cluster.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line, for each supervisor.")
def status(nodes: tuple[str, ...], cluster: str | None, as_json: bool) -> None:
    """Tell how the supervisors that run here are doing, or those that are a NODE.

    A node's name, or what is before its '@', or its process id says which ones. Of each topology: what it is doing, its worker,
    how often that was replaced, the last error, the health of each source, and the nodes with age and round-trip time of their
    links, or when and why they went. Every 'cluster-kit run' of your own on this machine is seen, and every program that made
    its supervisor with control=True. All are asked at once, and only those that you ask for.
    """
    from cluster_kit.cli.asking import ask, silence, those, why_missing
    from cluster_kit.cli.overview import overview

    wanted = those(nodes, cluster)
    asked = ask(wanted)
    for told in asked.told:
        click.echo(json.dumps(told) if as_json else overview(told))
    for pid in asked.mute:
        warn(f"status: {silence(pid)}")
    if asked.complete:
        return
    if not asked.mute:
        raise Failure(f"status: {why_missing(asked, wanted)}")
    sys.exit(1)
