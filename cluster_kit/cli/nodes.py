"""``cluster-kit nodes``: who is out there, seen from outside."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from cluster_kit.cli.columns import columns, pairs
from cluster_kit.cli.configuration import read_configuration
from cluster_kit.cli.failure import Failure
from cluster_kit.cli.teaching import FAULTY_FILE, TaughtCommand

if TYPE_CHECKING:
    from cluster_kit.config import ClusterConfig
    from cluster_kit.supervisor.supervisor import Supervisor


@click.command(
    cls=TaughtCommand,
    example="cluster-kit nodes cluster.yaml --wait 10",
    exit_codes={0: "somebody was found", 1: "nobody was found, or it can't look; the likely cause is told", 2: FAULTY_FILE},
)
@click.argument("file")
@click.option(
    "--wait",
    "wait_s",
    metavar="S",
    type=click.FloatRange(min=0, min_open=True),
    default=4.0,  # more than two heartbeats of gossip
    show_default=True,
    help="How many seconds to listen.",
)
def nodes(file: str, wait_s: float) -> None:
    """List the nodes that the strategies of FILE find.

    Looks without joining: it announces nothing and links to nobody, so the nodes never hear of it. A node is listed when
    discovery vouches for it; whether it can be linked to is another matter.
    """
    import logging

    from cluster_kit.supervisor.supervisor import Supervisor

    logging.getLogger("cluster_kit").setLevel(logging.CRITICAL)  # what is wrong is told at the end
    config, plugins = read_configuration(file)
    onlooker = replace(config, node=f"onlooker-{os.getpid()}@{config.host}")  # the file's own node may be out there
    with Supervisor(onlooker, observe=True, plugins=plugins) as supervisor:
        time.sleep(wait_s)
        rows = list(_rows(supervisor))
        if not rows:
            raise Failure(_why_nobody(supervisor, config, wait_s))
    click.echo(columns([("TOPOLOGY", "NODE", "ADDRESS", "METADATA"), *rows]))


def _rows(supervisor: Supervisor) -> Iterator[tuple[str, str, str, str]]:
    for name, status in supervisor.status().items():
        for node in status.known:
            yield name, node.name or "-", node.address or "-", pairs(sorted(node.metadata.items()))


def _why_nobody(supervisor: Supervisor, config: ClusterConfig, wait_s: float) -> str:
    faults = [
        f"{name}: {fault}"
        for name, status in supervisor.status().items()
        for fault in (*status.sources.values(), status.last_error)
        if fault
    ]
    if faults:
        return f"nodes: nobody found: {'; '.join(dict.fromkeys(faults))}"
    groups = ", ".join(sorted({topology.group for topology in config.topologies.values()}))
    return (
        f"nodes: nobody found within {wait_s:g} s in cluster {config.cluster!r}, group {groups}, from {config.host}: "
        "no node runs there, it has another cluster or group, or something else is wrong: 'cluster-kit doctor' finds out"
    )
