"""``cluster-kit plugins``: what is installed, and what is broken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from cluster_kit.cli.columns import columns
from cluster_kit.cli.teaching import TaughtCommand

if TYPE_CHECKING:
    from cluster_kit.plugins import PluginInfo


@click.command(
    cls=TaughtCommand,
    example="CLUSTER_KIT_BLOCK_PLUGINS=acme cluster-kit plugins",
    exit_codes={0: "shown, those that fail included", 1: "a plugin fails and CLUSTER_KIT_STRICT_PLUGINS is set"},
)
def plugins() -> None:
    """Show the installed plugins, what they offer, and what is broken.

    The names offered are what 'strategy:', 'connector:' and 'topology:' take in a configuration. A plugin that fails is left
    out, and does no harm until a configuration names something of it.
    """
    import logging

    from cluster_kit.plugins import PluginRegistry

    logging.getLogger("cluster_kit.plugins").setLevel(logging.CRITICAL)  # the table tells
    infos = PluginRegistry.load().plugins
    click.echo(columns([("PLUGIN", "DISTRIBUTION", "STATUS", "OFFERS"), *map(_row, infos)]))
    for info in infos:
        if info.error:
            click.echo(f"\n{info.name} failed: {info.error}")


def _row(info: PluginInfo) -> tuple[str, str, str, str]:
    return info.name, info.distribution, info.status, "; ".join(_offers(info)) or "-"


def _offers(info: PluginInfo) -> Iterator[str]:
    from cluster_kit.plugins import OFFERS

    for kind, names in sorted(info.offers.items()):
        yield f"{kind}: {', '.join(names)}"
    notices = [hook for hook in info.hooks if hook not in OFFERS.values()]
    if notices:
        yield f"hears: {', '.join(notices)}"
