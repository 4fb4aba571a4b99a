"""The output of the demo: a live table on a terminal with ``rich``, and plain lines elsewhere."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Self

import click

from cluster_kit.cli.demo.cluster import DemoCluster, DemoNode, NodeState

if TYPE_CHECKING:
    from rich.table import Table

    from cluster_kit.cli.demo.show import DemoView

_REFRESH_HZ = 8.0
_STYLE = {"node_up": "green", "node_down": "red"}


def make_view(cluster: DemoCluster) -> AbstractContextManager[DemoView]:
    """Return the best view that standard output allows."""
    if sys.stdout.isatty():
        try:
            return LiveView(cluster)
        except ImportError:
            click.echo("for a live table: pip install 'cluster-kit[cli]'", err=True)
    return nullcontext(PlainView())


class PlainView:
    """A line for each action, and one for its outcome."""

    def notice(self, text: str) -> None:
        """Print what is being done."""
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

    def notice(self, text: str) -> None:
        """Print what is being done."""
        self._live.console.print(text, highlight=False)

    def result(self, text: str, seconds: float) -> None:
        """Print how long it took."""
        self._live.console.print(_result(text, seconds), style="bold", highlight=False)

    def _table(self) -> Table:
        from rich.table import Table

        table = Table("node", "process", "links", "last event")
        for node in self._cluster.nodes:
            table.add_row(node.name, node.state, *self._links(node))
        return table

    def _links(self, node: DemoNode) -> tuple[str, str]:
        """Return the links of a node, and its last event; nothing once it has ended."""
        if node.state not in (NodeState.RUNNING, NodeState.FROZEN):
            return "", ""
        links = {
            name.partition("@")[0]: change
            for name, change in self._cluster.board.links_of(node.name).items()
        }
        if not links:
            return "", ""
        names = [f"[{_STYLE[links[name].event]}]{name}[/]" for name in sorted(links)]
        name, last = max(links.items(), key=lambda item: item[1].at_s)
        return " ".join(names), f"{name} {last.event.removeprefix('node_')} {last.reason}"


def _result(text: str, seconds: float) -> str:
    return f"  {text:<32}{seconds:8.3f} s"
