"""``cluster-kit schema``: prints the JSON Schema of configuration files, for editors."""

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
    """Print a JSON Schema of configuration files.

    It has the options of all installed plugins. With it, an editor completes keys and explains
    them. Most editors find it by a first line in the file: '# yaml-language-server:
    $schema=cluster-kit.schema.json'. 'cluster-kit check' finds more faults than a schema can.
    """
    from cluster_kit.config.schema import json_schema
    from cluster_kit.plugins import PluginRegistry

    click.echo(json.dumps(json_schema(PluginRegistry.load()), indent=2))
