"""``cluster-kit watch``: a live view of ``cluster-kit status``."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import click

from cluster_kit.cli.failure import Failure
from cluster_kit.cli.seconds import Seconds
from cluster_kit.cli.status import supervisors
from cluster_kit.cli.teaching import TaughtCommand

_CLEAR = "\x1b[H\x1b[J"  # to the top left, and nothing below; ECMA-48


@click.command(
    cls=TaughtCommand,
    example="cluster-kit watch web@10.0.0.5",
    exit_codes={0: "you have seen enough, and pressed Ctrl-C", 1: "standard output is no terminal"},
)
@click.argument("node", required=False)
@click.option(
    "--interval", "interval_s", metavar="S", type=Seconds(), default=1.0, show_default=True, help="Seconds from view to view."
)
def watch(node: str | None, interval_s: float) -> None:
    """Show what 'cluster-kit status' tells, again and again, until Ctrl-C.

    Supervisors that start or end while you look come and go in the view.
    """
    if not sys.stdout.isatty():
        raise Failure("watch: standard output is no terminal: use 'cluster-kit status', with --json for programs")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as by Ctrl-C, with the terminal as it was
    with suppress(KeyboardInterrupt), _screen() as show:
        while True:
            show(_view(node))
            time.sleep(interval_s)


def _view(node: str | None) -> str:
    from cluster_kit.cli.overview import overview

    mute: list[int] = []
    try:
        parts = list(map(overview, supervisors(node, mute)))
    except Failure as nobody:
        parts = [nobody.format_message()]
    return "\n\n".join([*parts, *(f"process {pid} does not answer: it hangs, or is stopped" for pid in mute)])


@contextmanager
def _screen() -> Iterator[Callable[[str], object]]:
    """Yield how to show a view in place of the one before."""
    try:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text
    except ImportError:
        yield lambda view: click.echo(f"{_CLEAR}{view}")
        return
    with Live(console=Console(), screen=True, auto_refresh=False) as live:
        yield lambda view: live.update(Text(view), refresh=True)
