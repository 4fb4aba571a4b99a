"""How a command fails: lines on standard error and an exit code."""

from __future__ import annotations

from typing import IO, Any

import click

from cluster_kit.cli.text import printable
from cluster_kit.errors import ConfigError


class Failure(click.ClickException):
    """The command failed: one line, exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line."""
        warn(self.format_message(), file)


def warn(message: str, file: IO[Any] | None = None) -> None:
    """Print ``message`` where failures are printed."""
    lines = map(printable, message.split("\n"))
    click.echo("cluster-kit: " + "\n".join(lines), file=file, err=True)


class FaultyFile(click.ClickException):
    """A file can't be used: a line for each fault, which begins with its place; exit code 2."""

    exit_code = 2

    def __init__(self, error: ConfigError) -> None:
        super().__init__(str(error))
        self.error = error

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the lines."""
        click.echo(self.format_message(), file=file, err=True)
