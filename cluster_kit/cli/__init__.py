"""``cluster-kit``: the command line.

Each command is a module of its own that is imported when it is asked for, and imports what it needs when it runs: starting a
node should take no longer than it must. An error of ours ends a command with one line and an exit code, never a traceback.
"""

from __future__ import annotations

import errno
from importlib import import_module
from typing import Any

import click

from cluster_kit._version import __version__
from cluster_kit.cli.failure import Failure
from cluster_kit.cli.streams import fill_standard_streams, give_up_stdout
from cluster_kit.errors import ClusterKitError

_CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

COMMANDS = ("run", "demo", "check", "doctor", "nodes", "plugins", "manifest")


class _Commands(click.Group):
    """Finds each command in the module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{cmd_name}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        fill_standard_streams()
        try:
            return super().invoke(ctx)
        except ClusterKitError as exc:
            raise Failure(str(exc)) from exc
        except OSError as exc:
            if exc.errno not in _CANNOT_WRITE:  # a fault of ours, or EPIPE, which click ends quietly
                raise
            give_up_stdout()
            raise Failure(f"cannot print: {exc.strerror}") from exc


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cluster-kit", message="%(prog)s %(version)s")
def main() -> None:
    """Form clusters that heal themselves: find peers, link to them, tell who joined and who left.

    To see it work, run 'cluster-kit demo'. To begin, write the line 'topologies: {lan: {strategy: gossip}}' to a file
    cluster.yaml, and run 'cluster-kit run cluster.yaml' in each of two terminals.
    """
