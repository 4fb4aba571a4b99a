"""Finds the commands, and turns their errors into a line and an exit code."""

from __future__ import annotations

import errno
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from cluster_kit._version import __version__
from cluster_kit.cli import COMMANDS
from cluster_kit.cli.failure import Failure
from cluster_kit.cli.interruption import INTERRUPTED, quiet, raising
from cluster_kit.cli.streams import fill_standard_streams, give_up_stdout
from cluster_kit.errors import ClusterKitError, PluginError

if TYPE_CHECKING:
    from cluster_kit.plugins import PluginRegistry

_CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class _Commands(click.Group):
    """Finds each command in the module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        try:
            offered = _plugins(ctx).names("command")
        except ClusterKitError:  # CLUSTER_KIT_STRICT_PLUGINS is set, but help must work
            offered = ()
        return [*COMMANDS, *(name for name in offered if name not in COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return _of_plugin(_plugins(ctx), cmd_name)
        command: click.Command = getattr(import_module(f"{__package__}.{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        found = super().resolve_command(ctx, args)
        if found[0] not in COMMANDS:
            ctx.with_resource(raising())  # as authors of click commands expect
        return found

    def main(self, *args: Any, **kwargs: Any) -> Any:
        with quiet():
            return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        fill_standard_streams()
        try:
            return super().invoke(ctx)
        except ClusterKitError as exc:
            raise Failure(str(exc)) from exc
        except OSError as exc:
            if exc.errno not in _CANNOT_WRITE:
                raise  # a bug of ours, or EPIPE, which click ends quietly
            give_up_stdout()
            raise Failure(f"cannot print: {exc.strerror}") from exc
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


def _plugins(ctx: click.Context) -> PluginRegistry:
    """Return the installed plugins, which are loaded once per command line."""
    import logging

    from cluster_kit.plugins import PluginRegistry

    if ctx.obj is None:
        # quiet: 'cluster-kit plugins' shows which plugins fail
        logging.getLogger("cluster_kit.plugins").setLevel(logging.CRITICAL)
        ctx.obj = PluginRegistry.load()
    plugins: PluginRegistry = ctx.obj
    return plugins


def _of_plugin(plugins: PluginRegistry, name: str) -> click.Command | None:
    """Return a command that a plugin offers; a broken one says why when it is called."""
    if name not in plugins.names("command"):
        return None
    try:
        command = plugins.command(name)
        if not isinstance(command, click.Command):
            from cluster_kit.config.document import type_name

            why = f"command {name!r} is a {type_name(command)}, not a click command"
            raise PluginError(why, plugin=name)
    except ClusterKitError as exc:
        short_help = "(broken: see cluster-kit plugins)"
        return click.Command(name, callback=partial(_fail, str(exc)), short_help=short_help)
    return command


def _fail(why: str) -> None:
    raise Failure(why)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cluster-kit", message="%(prog)s %(version)s")
def main() -> None:
    """Form self-healing clusters: find peers, link to them, report which join and leave.

    To see a cluster at work, run 'cluster-kit demo'. To start your own, write the line
    'topologies: {lan: {strategy: gossip}}' to a file cluster.yaml, and run
    'cluster-kit run cluster.yaml' in each of two terminals.
    """
