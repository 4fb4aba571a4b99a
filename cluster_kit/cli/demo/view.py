"""The output of the demo: a live table on a terminal, with ``rich``, and plain lines elsewhere."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Self

import click

from cluster_kit.cli.demo.member import Member, State

if TYPE_CHECKING:
    from rich.table import Table

    from cluster_kit.cli.demo.cluster import DemoCluster
    from cluster_kit.cli.demo.show import View

_REFRESH_HZ = 8.0
_STYLE = {"node_up": "green", "node_down": "red"}


def make_view(cluster: DemoCluster) -> AbstractContextManager[View]:
    """Return the best view that standard output allows."""
    if sys.stdout.isatty():
        try:
            return LiveView(cluster)
        except ImportError:
            click.echo("for a live table: pip install 'cluster-kit[cli]'", err=True)
    return nullcontext(PlainView())


class PlainView:
    """A line for each thing done, and one for what came of it."""

    def say(self, text: str) -> None:
        """Print what is done."""
        click.echo(text)

    def result(self, text: str, seconds: float) -> None:
        """Print how long it took."""
        click.echo(_result(text, seconds))


class LiveView:
    """The same lines, above a live table of which node sees which."""

    def __init__(self, cluster: DemoCluster) -> None:
        from rich.live import Live

        self._cluster = cluster
        self._live = Live(get_renderable=self._table, refresh_per_second=_REFRESH_HZ)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """Print what is done."""
        self._live.console.print(text, highlight=False)

    def result(self, text: str, seconds: float) -> None:
        """Print how long it took."""
        self._live.console.print(_result(text, seconds), style="bold", highlight=False)

    def _table(self) -> Table:
        from rich.table import Table

        table = Table("node", "process", "links", "last event")
        for member in self._cluster.members:
            table.add_row(member.name, member.state, *self._sight(member))
        return table

    def _sight(self, member: Member) -> tuple[str, str]:
        """Return which nodes a node sees, and its last event; nothing once it has ended."""
        told = (
            self._cluster.board.view_of(member.name)
            if member.state in (State.RUNNING, State.FROZEN)
            else {}
        )
        if not told:
            return "", ""
        names = (
            f"[{_STYLE[told[node].event]}]{node.partition('@')[0]}[/]" for node in sorted(told)
        )
        node, last = max(told.items(), key=lambda item: item[1].at_s)
        return " ".join(
            names
        ), f"{node.partition('@')[0]} {last.event.removeprefix('node_')} {last.reason}"


def _result(text: str, seconds: float) -> str:
    return f"  {text:<32}{seconds:8.3f} s"
