"""``cluster-kit watch``: a live view of ``cluster-kit status``.

A thread asks, again and again; the main thread shows what it hears and follows the keys, so that a supervisor that does not
answer holds up neither.
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

from cluster_kit.cli.failure import Failure
from cluster_kit.cli.interruption import raising
from cluster_kit.cli.seconds import Seconds
from cluster_kit.cli.teaching import TaughtCommand

if TYPE_CHECKING:
    from cluster_kit.cli.screen import Screen
    from cluster_kit.supervisor.control_files import Wanted
    from cluster_kit.supervisor.wakeup import WakeupPipe

_ANSWER_S = 2.0  # for an answer; a worker that doesn't answer its supervisor is given a second


@click.command(
    cls=TaughtCommand,
    example="cluster-kit watch web@10.0.0.5",
    exit_codes={0: "you have seen enough, and pressed Ctrl-C or q", 1: "standard output is no terminal"},
)
@click.argument("nodes", metavar="[NODE]...", nargs=-1)
@click.option("--cluster", metavar="CLUSTER", help="Only nodes of this cluster.")
@click.option(
    "--interval", "interval_s", metavar="S", type=Seconds(), default=1.0, show_default=True, help="Seconds from view to view."
)
def watch(nodes: tuple[str, ...], cluster: str | None, interval_s: float) -> None:
    """Show what 'cluster-kit status' tells, again and again, until Ctrl-C.

    The first line sums up. Arrows, PgUp, PgDn, Home and End move through what is longer than the terminal. Who goes is shown
    for a minute, with when and why; supervisors that start or end while you look come and go in the view.
    """
    if not sys.stdout.isatty():
        raise Failure("watch: standard output is no terminal: use 'cluster-kit status', with --json for programs")
    from cluster_kit.cli.asking import those
    from cluster_kit.cli.screen import screen
    from cluster_kit.supervisor.wakeup import WakeupPipe

    wakeup = WakeupPipe()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as by Ctrl-C, with the terminal as it was
    signal.signal(signal.SIGWINCH, lambda *_: wakeup.wake())
    view = _View(those(nodes, cluster), wakeup)
    with suppress(KeyboardInterrupt), raising(), screen() as shown:
        threading.Thread(target=view.keep, args=(interval_s,), daemon=True).start()
        _show(shown, view, wakeup)


class _View:
    """What is to be shown, as lines, the newest each time ``wakeup`` is readable."""

    def __init__(self, wanted: Wanted, wakeup: WakeupPipe) -> None:
        from cluster_kit.cli.scene import Scene

        self.lines = ["", ""]
        self._scene = Scene()
        self._wanted = wanted
        self._wakeup = wakeup

    def keep(self, interval_s: float) -> None:
        """Keep it up to date, for ever."""
        while True:
            self.lines = self._now()
            self._wakeup.wake()
            time.sleep(interval_s)

    def _now(self) -> list[str]:
        from cluster_kit.cli.asking import ask, why_missing
        from cluster_kit.errors import ClusterKitError

        try:
            asked = ask(self._wanted, _ANSWER_S)
            lines = self._scene.lines(asked, time.monotonic())
            if not asked.complete and not asked.mute:
                lines += ["", why_missing(asked, self._wanted)]
        except ClusterKitError as exc:
            return [*self.lines[:2], str(exc)]
        return lines


def _show(shown: Screen, view: _View, wakeup: WakeupPipe) -> None:
    """Show the view, and follow the keys, until one says that it is enough."""
    from cluster_kit.cli.scroll import Scroll, moves
    from cluster_kit.cli.streams import STDIN

    scroll = Scroll()
    while True:
        width, height = shown.size
        head, body = view.lines[:2], [part for line in view.lines[2:] for part in _folded(line, width)]
        shown.show(scroll.window(head, body, width, height))
        ready, _, _ = select.select([wakeup.fileno(), *([STDIN] if shown.has_keys else [])], [], [])
        if wakeup.fileno() in ready:
            wakeup.drain()
        for move in moves(shown.typed()) if STDIN in ready else ():
            if move == "quit":
                return
            scroll.move(move)


def _folded(line: str, width: int) -> list[str]:
    """Return a sentence as several lines where it is too long; a row of a table stays one."""
    return [line] if line.startswith(" ") else textwrap.wrap(line, max(20, width)) or [""]
