"""``cluster-kit watch``: shows ``cluster-kit status`` live.

One thread queries the supervisors periodically; the main thread draws their state and reads the
keys, so that a supervisor that does not answer does not block the keys.
"""

from __future__ import annotations

import select
import signal
import sys
import textwrap
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from cluster_kit.cli.click_types import DocumentedCommand, Seconds
from cluster_kit.cli.failure import Failure
from cluster_kit.cli.interruption import raising

if TYPE_CHECKING:
    from cluster_kit.cli.watch.terminal import Screen
    from cluster_kit.supervisor.control_files import Wanted
    from cluster_kit.supervisor.wakeup import WakeupPipe

_ANSWER_S = 2.0  # twice the time that a supervisor grants its workers


@click.command(
    cls=DocumentedCommand,
    example="cluster-kit watch web@10.0.0.5",
    exit_codes={0: "ended by Ctrl-C or q", 1: "standard output is not a terminal"},
)
@click.argument("nodes", metavar="[NODE]...", nargs=-1)
@click.option("--cluster", metavar="CLUSTER", help="Only nodes of this cluster.")
@click.option(
    "--interval",
    "interval_s",
    metavar="S",
    type=Seconds(),
    default=1.0,
    show_default=True,
    help="Seconds between two updates.",
)
def watch(nodes: tuple[str, ...], cluster: str | None, interval_s: float) -> None:
    """Show 'cluster-kit status' live, until Ctrl-C.

    The first line is a summary. Arrows, PgUp, PgDn, Home and End scroll if the terminal is too
    small. A node that goes stays visible for a minute, with when and why it went; supervisors
    appear and disappear as they start and end.
    """
    if not sys.stdout.isatty():
        cure = "use 'cluster-kit status', with --json for programs"
        raise Failure(f"watch: standard output is not a terminal: {cure}")
    from cluster_kit.cli.supervisors import wanted_nodes
    from cluster_kit.cli.watch.terminal import screen
    from cluster_kit.supervisor.wakeup import WakeupPipe

    wakeup = WakeupPipe()
    # like Ctrl-C, so that the terminal is restored
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGWINCH, lambda *_: wakeup.wake())
    view = _StatusView(wanted_nodes(nodes, cluster), wakeup)
    with suppress(KeyboardInterrupt), raising(), screen() as shown:
        threading.Thread(target=view.update_forever, args=(interval_s,), daemon=True).start()
        _draw_forever(shown, view, wakeup)


class _StatusView:
    """Holds the lines to draw; wakes the drawing thread whenever they have changed."""

    def __init__(self, wanted: Wanted, wakeup: WakeupPipe) -> None:
        from cluster_kit.cli.watch.history import StatusHistory

        self.lines = ["", ""]
        self._history = StatusHistory()
        self._wanted = wanted
        self._wakeup = wakeup

    def update_forever(self, interval_s: float) -> None:
        """Query the supervisors every ``interval_s`` seconds."""
        while True:
            self.lines = self._updated()
            self._wakeup.wake()
            time.sleep(interval_s)

    def _updated(self) -> list[str]:
        from cluster_kit.cli.supervisors import query, why_missing
        from cluster_kit.errors import ClusterKitError

        try:
            answers = query(self._wanted, _ANSWER_S)
            lines = self._history.lines(answers, time.monotonic())
            if not answers.complete and not answers.unresponsive:
                lines += ["", why_missing(answers, self._wanted)]
        except ClusterKitError as exc:
            return [*self.lines[:2], str(exc)]
        return lines


def _draw_forever(shown: Screen, view: _StatusView, wakeup: WakeupPipe) -> None:
    """Draw the view and handle the keys, until one of them quits."""
    from cluster_kit.cli.streams import STDIN
    from cluster_kit.cli.watch.terminal import Viewport, moves

    viewport = Viewport()
    while True:
        width, height = shown.size
        head = view.lines[:2]
        body = [part for line in view.lines[2:] for part in _wrapped(line, width)]
        shown.draw(viewport.window(head, body, width, height))
        ready, _, _ = select.select([wakeup.fileno(), *([STDIN] if shown.has_keys else [])], [], [])
        if wakeup.fileno() in ready:
            wakeup.drain()
        for move in moves(shown.read_keys()) if STDIN in ready else ():
            if move == "quit":
                return
            viewport.move(move)


def _wrapped(line: str, width: int) -> list[str]:
    """Return a long sentence as several lines; the row of a table stays whole."""
    return [line] if line.startswith(" ") else textwrap.wrap(line, max(20, width)) or [""]
