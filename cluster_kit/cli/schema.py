"""``cluster-kit schema``: what editors have to know of a configuration."""

from __future__ import annotations

import json

import click

from cluster_kit.cli.click_types import DocumentedCommand


@click.command(
    cls=DocumentedCommand,
    example="cluster-kit schema > cluster-kit.schema.json",
    exit_codes={0: "printed", 1: "a plugin fails and CLUSTER_KIT_STRICT_PLUGINS is set"},
)
def schema() -> None:
    """Print a JSON Schema of configuration files, with the options of every plugin that is installed.

    An editor that has it completes keys and shows what they mean. Most take it from the first line of the file, which is then
    '# yaml-language-server: $schema=cluster-kit.schema.json'. 'cluster-kit check' finds more than a schema can say.
    """
    from cluster_kit.config.schema import json_schema
    from cluster_kit.plugins import PluginRegistry

    click.echo(json.dumps(json_schema(PluginRegistry.load()), indent=2))
