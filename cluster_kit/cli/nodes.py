"""``cluster-kit nodes``: lists the nodes that discovery finds, without joining them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from cluster_kit.cli.click_types import FAULTY_FILE, DocumentedCommand, Seconds
from cluster_kit.cli.configuration import read_configuration
from cluster_kit.cli.failure import Failure, warn
from cluster_kit.cli.interruption import INTERRUPTED, raising
from cluster_kit.cli.text import columns, pairs

if TYPE_CHECKING:
    from cluster_kit.config import ClusterConfig
    from cluster_kit.supervisor.supervisor import Supervisor


@click.command(
    cls=DocumentedCommand,
    example="cluster-kit nodes cluster.yaml --wait 10",
    exit_codes={
        0: "at least one node was found",
        1: "no node was found, or discovery failed; prints the likely cause",
        2: FAULTY_FILE,
        INTERRUPTED: "interrupted",
    },
)
@click.argument("file")
@click.option(
    "--wait",
    "wait_s",
    metavar="S",
    type=Seconds(),
    default=4.0,  # more than two heartbeats of gossip
    show_default=True,
    help="Seconds to listen.",
)
def nodes(file: str, wait_s: float) -> None:
    """List the nodes that the strategies in FILE find.

    Does not join the cluster: announces nothing and opens no links, so other nodes don't notice. A
    node is listed if discovery finds it, whether or not a link to it is possible. Sources that fail
    while others find nodes are reported on standard error, as the list may be incomplete.
    """
    import logging

    from cluster_kit.supervisor.supervisor import Supervisor

    logging.getLogger("cluster_kit").setLevel(logging.CRITICAL)  # faults are printed at the end
    config, plugins = read_configuration(file)
    with raising(), Supervisor(config, observe=True, plugins=plugins) as supervisor:
        time.sleep(wait_s)
        rows = list(_rows(supervisor))
        if not rows:
            raise Failure(_why_nobody(supervisor, config, wait_s))
        faults = list(_faults(supervisor))
    click.echo(columns([("TOPOLOGY", "NODE", "ADDRESS", "METADATA"), *rows]))
    for fault in faults:
        warn(f"nodes: {fault}")


def _rows(supervisor: Supervisor) -> Iterator[tuple[str, str, str, str]]:
    for name, status in supervisor.status().items():
        for node in status.known:
            yield name, node.name or "-", node.address or "-", pairs(sorted(node.metadata.items()))


def _faults(supervisor: Supervisor) -> Iterator[str]:
    """Yield what is wrong with each source now; the source is named if its topology has several."""
    for name, status in supervisor.status().items():
        for source, fault in status.sources.items():
            if fault:
                named = [name, source] if len(status.sources) > 1 else [name]
                yield ": ".join([*named, fault])


def _why_nobody(supervisor: Supervisor, config: ClusterConfig, wait_s: float) -> str:
    others = [
        f"{name}: {status.last_error}"
        for name, status in supervisor.status().items()
        if status.last_error and status.last_error not in status.sources.values()
    ]
    if faults := [*_faults(supervisor), *others]:
        return f"nodes: no nodes found: {'; '.join(faults)}"
    groups = ", ".join(sorted({topology.group for topology in config.topologies.values()}))
    where = f"in cluster {config.cluster!r}, group {groups}, from {config.host}"
    cause = "is another one running in the same cluster and group? Try 'cluster-kit doctor'"
    return f"nodes: no nodes found within {wait_s:g} s {where}: {cause}"
