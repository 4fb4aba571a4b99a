"""``cluster-kit new``: writes a new plugin, as a distribution that passes its own tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cluster_kit.cli.click_types import DocumentedCommand
from cluster_kit.cli.failure import Failure
from cluster_kit.cli.interruption import raising

if TYPE_CHECKING:
    from cluster_kit.cli.new.distribution import Kind

_KINDS = ("strategy", "registry", "connector", "topology", "observer", "command")


@click.command(
    cls=DocumentedCommand,
    example="cluster-kit new strategy inventory",
    exit_codes={
        0: "the plugin was written",
        1: "the folder is not empty, or cannot be made; nothing was written",
        2: "NAME is invalid",
    },
)
@click.argument("kind", type=click.Choice(_KINDS))
@click.argument("name")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="Folder to write to; it must be new or empty.  [default: cluster-kit-NAME]",
)
def new(kind: Kind, name: str, directory: Path | None) -> None:
    """Create a new plugin, ready to install and test.

    The plugin offers a KIND called NAME. A registry is a strategy whose nodes announce themselves
    in a store; a plain strategy reads a list that others keep. An observer is notified of all
    events. A command extends 'cluster-kit'.

    The plugin passes its tests, including the conformance suite if its KIND has one. Its README
    says what to change first. Its licence is MIT, in the name that git has for you.
    """
    from cluster_kit.cli.new.distribution import distribution, fault_of, offered_name, write

    fault = fault_of(kind, name)
    if fault is not None:
        raise click.BadParameter(fault, param_hint="NAME")
    files = distribution(kind, name)
    folder = directory or Path(f"cluster-kit-{name.replace('_', '-')}")
    try:
        with raising():  # so that incomplete files are removed
            write(folder, files)
    except OSError as exc:
        why = (exc.strerror or str(exc)).lower()
        raise Failure(f"new: cannot write to '{folder}': {why}; see --directory") from exc
    click.echo(f"{kind} {offered_name(kind, name)!r} in {folder}:")
    for path in sorted(files):
        click.echo(f"  {path}")
    click.echo(f"next: cd {folder}, and follow 'To make it yours' in README.md")
