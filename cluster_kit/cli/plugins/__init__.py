"""``cluster-kit plugins``: what is installed, and what is broken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from cluster_kit.cli.click_types import DocumentedCommand
from cluster_kit.cli.text import columns, printable

if TYPE_CHECKING:
    from cluster_kit.cli.plugins.survey import Examined
    from cluster_kit.plugins import PluginInfo


@click.command(
    cls=DocumentedCommand,
    example="CLUSTER_KIT_BLOCK_PLUGINS=acme cluster-kit plugins",
    exit_codes={
        0: "everything in use works",
        1: "something is broken; prints each fault on a line",
    },
)
@click.pass_context
def plugins(ctx: click.Context) -> None:
    """Show the installed plugins, what they offer, and what is broken.

    The names offered can be used as 'strategy:', 'connector:', 'topology:' and 'use:' in a
    configuration. Imports and checks everything that is offered, where an application does so only
    for what its configuration names. A failed plugin is not used at all; a broken one works, except
    for the faults listed.
    """
    import logging
    import os

    from cluster_kit.cli import COMMANDS
    from cluster_kit.cli.plugins.survey import survey

    logging.getLogger("cluster_kit.plugins").setLevel(logging.CRITICAL)  # the table shows them
    all_examined = survey(os.environ, COMMANDS)
    click.echo(columns([("PLUGIN", "DISTRIBUTION", "STATUS", "OFFERS"), *map(_row, all_examined)]))
    broken = [examined for examined in all_examined if examined.faults]
    for examined in broken:
        click.echo()
        for fault in examined.faults:
            click.echo(printable(f"{examined.plugin}: {fault}"))
    if broken:
        names = ",".join(dict.fromkeys(examined.plugin.name for examined in broken))
        click.echo()
        click.echo(
            printable(
                "repair or uninstall what is broken, or leave it out: "
                f"CLUSTER_KIT_BLOCK_PLUGINS={names}"
            )
        )
        ctx.exit(1)


def _row(examined: Examined) -> tuple[str, str, str, str]:
    info = examined.plugin
    status = "broken" if examined.faults and not info.error else info.status
    return info.name, info.distribution, status, "; ".join(_offers(info)) or "-"


def _offers(info: PluginInfo) -> Iterator[str]:
    from cluster_kit.plugins import OFFERS

    for kind, names in sorted(info.offers.items()):
        yield f"{kind}: {', '.join(names)}"
    notices = [hook for hook in info.hooks if hook not in OFFERS.values()]
    if notices:
        yield f"hears: {', '.join(notices)}"
