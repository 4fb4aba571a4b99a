"""``cluster-kit status``: how the supervisors of this user, on this machine, are doing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from cluster_kit.cli.failure import Failure, warn
from cluster_kit.cli.teaching import INTERRUPTED, TaughtCommand


@click.command(
    cls=TaughtCommand,
    example="cluster-kit status web@10.0.0.5 --json | jq .topologies.lan.state",
    exit_codes={
        0: "told",
        1: "no supervisor tells of itself, or not this node",
        INTERRUPTED: "interrupted",
    },
)
@click.argument("node", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line, for each supervisor.")
def status(node: str | None, as_json: bool) -> None:
    """Tell how the supervisors that run here are doing, or the one that is NODE.

    A node's name, or what is before its '@', or its process id says which one. Of each topology: what it is doing, its worker,
    how often that was replaced, the last error, the health of each source, and the nodes with age and round-trip time of their
    links. Every 'cluster-kit run' of your own on this machine is seen, and every program that made its supervisor with
    control=True.
    """
    mute: list[int] = []
    try:
        for told in supervisors(node, mute):
            click.echo(json.dumps(told) if as_json else _text(told))
    finally:
        for pid in mute:
            warn(f"status: process {pid} does not answer: it hangs, or is stopped")


def supervisors(node: str | None, mute: list[int]) -> list[Mapping[str, Any]]:
    """Return what those who run tell of themselves, or only the one that is ``node``; ``mute`` takes who doesn't answer.

    Raises:
        Failure: There is none.
    """
    from cluster_kit.node import canonical_key
    from cluster_kit.supervisor.control import ask_all

    told = list(ask_all(mute))
    if not told:
        raise Failure(
            "status: no supervisor of yours runs on this machine, or none tells of itself: start one with 'cluster-kit run', "
            "or make it with Supervisor(..., control=True)"
        )
    sought = node and canonical_key(node)
    found = [each for each in told if sought in (None, each["node"], each["node"].partition("@")[0], str(each["pid"]))]
    if not found:
        there = ", ".join(each["node"] for each in told)
        raise Failure(f"status: no supervisor of yours is {node!r}; there are: {there}")
    return found


def _text(told: Mapping[str, Any]) -> str:
    from cluster_kit.cli.overview import overview

    return overview(told)
