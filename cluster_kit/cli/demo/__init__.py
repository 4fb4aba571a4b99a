"""``cluster-kit demo``: real processes form a cluster; some are killed, frozen and thawed.

``cluster`` runs the nodes, ``board`` records what they report, ``show`` has the steps, ``view`` the
output.
"""

from __future__ import annotations

import signal

import click

from cluster_kit.cli.click_types import DocumentedCommand
from cluster_kit.cli.failure import Failure
from cluster_kit.cli.interruption import raising


@click.command(
    cls=DocumentedCommand,
    example="cluster-kit demo --nodes 8 --once",
    exit_codes={
        0: "every step was observed",
        1: "a step was not; prints which one, and the last log lines of the nodes",
    },
)
@click.option(
    "--nodes",
    "size",
    metavar="N",
    type=click.IntRange(2, 64),
    default=5,
    show_default=True,
    help="Number of nodes.",
)
@click.option(
    "--once", is_flag=True, help="Exit after the last step, instead of running on until Ctrl-C."
)
def demo(size: int, once: bool) -> None:
    """Show a cluster form and heal, without any setup.

    Starts some nodes, each a 'cluster-kit run' process with its worker, which find each other by
    gossip on the loopback interface. One is killed and restarted, one is frozen and thawed, one
    leaves; each time, the demo shows how long it took until all others had noticed. It leaves
    nothing behind, however it ends.
    """
    from cluster_kit.cli.demo.board import NotSeen
    from cluster_kit.cli.demo.cluster import DemoCluster
    from cluster_kit.cli.demo.show import show
    from cluster_kit.cli.demo.view import make_view

    # end as by Ctrl-C, with everything cleaned up
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    complete = False
    try:
        with raising(), DemoCluster(size) as cluster, make_view(cluster) as view:
            try:
                show(cluster, view)
            except NotSeen as exc:
                raise Failure(f"demo: not seen: {exc}\n{cluster.error_lines()}") from exc
            complete = True
            if not once:
                view.notice("all steps were observed; the cluster keeps running until Ctrl-C")
                signal.pause()
    except (KeyboardInterrupt, RuntimeError) as exc:
        if not _is_interrupt(exc):
            raise
        if not complete:
            raise Failure("demo: interrupted before the last step") from exc
    click.echo("all steps were observed; all processes have ended")


def _is_interrupt(exc: BaseException) -> bool:
    """Whether a signal caused ``exc``; during a wait for a lock it may surface as another error."""
    return isinstance(exc, KeyboardInterrupt) or isinstance(exc.__context__, KeyboardInterrupt)
