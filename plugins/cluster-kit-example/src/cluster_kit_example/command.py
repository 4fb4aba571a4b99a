"""``cluster-kit directory``: whose files are in a directory."""

from __future__ import annotations

from pathlib import Path

import click

from cluster_kit_example.directory import SUFFIX


@click.command()
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
def directory(path: Path) -> None:
    """List the nodes that have a file in PATH."""
    for file in sorted(path.glob(f"*{SUFFIX}")):
        click.echo(file.name.removesuffix(SUFFIX))
