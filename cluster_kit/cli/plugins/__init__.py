"""``cluster-kit plugins``: shows which plugins are installed, and what is broken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from cluster_kit.cli.click_types import DocumentedCommand
from cluster_kit.cli.text import columns, printable

if TYPE_CHECKING:
    from cluster_kit.cli.plugins.survey import SurveyedPlugin
    from cluster_kit.plugins import PluginInfo


@click.command(
    cls=DocumentedCommand,
    example="CLUSTER_KIT_BLOCK_PLUGINS=acme cluster-kit plugins",
    exit_codes={
        0: "everything in use works",
        1: "something is broken; each fault is printed on a line",
    },
)
@click.pass_context
def plugins(ctx: click.Context) -> None:
    """Show the installed plugins, what they offer, and what is broken.

    A configuration can use the offered names as 'strategy:', 'connector:', 'topology:' and 'use:'.
    Imports and checks everything that is offered, whereas an application imports only what its
    configuration names. A failed plugin is not used at all; a broken one works, except for the
    listed faults.
    """
    import logging
    import os

    from cluster_kit.cli import COMMANDS
    from cluster_kit.cli.plugins.survey import survey

    logging.getLogger("cluster_kit.plugins").setLevel(logging.CRITICAL)  # faults are printed below
    surveyed = survey(os.environ, COMMANDS)
    click.echo(columns([("PLUGIN", "DISTRIBUTION", "STATUS", "OFFERS"), *map(_row, surveyed)]))
    broken = [each for each in surveyed if each.faults]
    for each in broken:
        click.echo()
        for fault in each.faults:
            click.echo(printable(f"{each.plugin}: {fault}"))
    if broken:
        names = ",".join(dict.fromkeys(each.plugin.name for each in broken))
        block = printable(f"CLUSTER_KIT_BLOCK_PLUGINS={names}")
        click.echo()
        click.echo(f"repair or uninstall what is broken, or block it: {block}")
        ctx.exit(1)


def _row(surveyed: SurveyedPlugin) -> tuple[str, str, str, str]:
    info = surveyed.plugin
    status = "broken" if surveyed.faults and not info.error else info.status
    return info.name, info.distribution, status, "; ".join(_offers(info)) or "-"


def _offers(info: PluginInfo) -> Iterator[str]:
    from cluster_kit.plugins import OFFERS

    for kind, names in sorted(info.offers.items()):
        yield f"{kind}: {', '.join(names)}"
    notices = [hook for hook in info.hooks if hook not in OFFERS.values()]
    if notices:
        yield f"observes: {', '.join(notices)}"
