"""``cluster-kit status``: shows the state of this user's supervisors on this machine."""

from __future__ import annotations

import json
import sys

import click

from cluster_kit.cli.click_types import DocumentedCommand
from cluster_kit.cli.failure import Failure, warn
from cluster_kit.cli.interruption import INTERRUPTED


@click.command(
    cls=DocumentedCommand,
    example="cluster-kit status web@10.0.0.5 --json | jq .topologies.lan.state",
    exit_codes={
        0: "the state was shown",
        1: "no supervisor was found for a NODE, or at all, or one did not answer",
        INTERRUPTED: "interrupted",
    },
)
@click.argument("nodes", metavar="[NODE]...", nargs=-1)
@click.option("--cluster", metavar="CLUSTER", help="Only nodes of this cluster.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object a line for each supervisor."
)
def status(nodes: tuple[str, ...], cluster: str | None, as_json: bool) -> None:
    """Show the state of the supervisors on this machine.

    Shows all of them, or those of NODE, which is a node's name, the part before its '@', or its
    process id. For each topology, shows its state, its worker and how often that was replaced, the
    last error, the health of each source, and the nodes: age and round-trip time of their links, or
    when and why they went. Finds every 'cluster-kit run' of your user, and every program that
    creates its supervisor with control=True.
    """
    from cluster_kit.cli.status_lines import status_lines
    from cluster_kit.cli.supervisors import no_answer, query, wanted_nodes, why_missing

    wanted = wanted_nodes(nodes, cluster)
    answers = query(wanted)
    for report in answers.reports:
        click.echo(json.dumps(report) if as_json else status_lines(report))
    for pid in answers.unresponsive:
        warn(f"status: {no_answer(pid)}")
    if answers.complete:
        return
    if not answers.unresponsive:
        raise Failure(f"status: {why_missing(answers, wanted)}")
    sys.exit(1)
