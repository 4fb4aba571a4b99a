"""``cluster-kit new``: begins a plugin, as a distribution that passes its own tests."""

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
        0: "written",
        1: "nothing written: the folder exists, or cannot be made",
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
    """Write a new plugin, ready to be installed and tested.

    It is a distribution that offers a KIND called NAME.     A registry is a strategy whose nodes
    announce themselves in a store; a plain strategy reads a list that others keep. An observer is
    notified of all events. A command extends 'cluster-kit'.

    The plugin can be installed and passes its tests, including the conformance suite if its KIND
    has one. Its README says what to change first. Its licence is MIT, under your name in git.
    """
    from cluster_kit.cli.new.distribution import distribution, fault_of, offered_name, write

    fault = fault_of(kind, name)
    if fault is not None:
        raise click.BadParameter(fault, param_hint="NAME")
    files = distribution(kind, name)
    folder = directory or Path(f"cluster-kit-{name.replace('_', '-')}")
    try:
        with raising():  # what is half written goes away
            write(folder, files)
    except OSError as exc:
        raise Failure(
            f"new: cannot write to '{folder}': {(exc.strerror or str(exc)).lower()}; see "
            "--directory"
        ) from exc
    click.echo(f"{kind} {offered_name(kind, name)!r} in {folder}:")
    for path in sorted(files):
        click.echo(f"  {path}")
    click.echo(f"next: cd {folder}, and what its README.md says under 'To make it yours'")
