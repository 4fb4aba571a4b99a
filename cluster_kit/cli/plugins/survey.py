"""Checks all plugins in another process, so that a crash or a hang hides no other plugin.

The process reports each step before it begins it. If it gets stuck, another process starts again
and skips that step, until one reaches the end. Steps are numbered, which works because each depends
only on the steps before it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from itertools import count
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import NamedTuple

from cluster_kit.cli.plugins.offers import OfferChecker
from cluster_kit.errors import ClusterKitError, PluginError
from cluster_kit.plugins import PluginInfo, PluginRegistry

STEP_S = 30.0  # to import one module; a slower one would block every application
_STRICT = "CLUSTER_KIT_STRICT_PLUGINS"


class _Stuck(NamedTuple):
    """The step at which a process got no further, and why."""

    step: int
    why: str


class SurveyedPlugin(NamedTuple):
    """A plugin and everything that is wrong with it."""

    plugin: PluginInfo
    faults: tuple[str, ...]


def survey(environ: Mapping[str, str], commands: Collection[str]) -> list[SurveyedPlugin]:
    """Return all installed plugins.

    Args:
        environ: As for ``PluginRegistry.load``, but a fault is never fatal.
        commands: Names of the command line's own commands.

    Raises:
        ClusterKitError: No process can be started.
    """
    lenient = {name: value for name, value in environ.items() if name != _STRICT}
    fatal: dict[int, str] = {}
    while True:
        outcome = _run_apart(partial(_check_all, environ=lenient, commands=commands, fatal=fatal))
        if not isinstance(outcome, _Stuck):
            return outcome
        if outcome.step in fatal:
            raise ClusterKitError(f"plugins: cannot check them: {outcome.why}")
        fatal[outcome.step] = outcome.why


def _run_apart(check: Callable[[Connection], None]) -> list[SurveyedPlugin] | _Stuck:
    """Return what ``check`` sends from a child process, or the step at which it got stuck."""
    ours, theirs = Pipe(duplex=False)
    with ours, theirs:
        try:
            pid = os.fork()
        except OSError as exc:
            why = f"cannot start a process to check them: {exc.strerror}"
            raise ClusterKitError(f"plugins: {why}") from exc
        if pid == 0:
            try:
                os.dup2(2, 1)  # our output is a table, so plugins print to standard error
                check(theirs)
            finally:
                os._exit(0)  # quietly, whatever was raised
        theirs.close()
        try:
            return _follow(ours)
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _check_all(
    pipe: Connection,
    environ: Mapping[str, str],
    commands: Collection[str],
    fatal: Mapping[int, str],
) -> None:
    numbers = count(1)

    def before() -> None:
        number = next(numbers)
        if number in fatal:
            raise PluginError(fatal[number], plugin=str(number))
        pipe.send(number)

    registry = PluginRegistry.load(environ, before=before)
    checker = OfferChecker(registry, commands, before)
    pipe.send([SurveyedPlugin(plugin, checker.faults_of(plugin)) for plugin in registry.plugins])


def _follow(pipe: Connection) -> list[SurveyedPlugin] | _Stuck:
    step = 0
    while pipe.poll(STEP_S):
        try:
            message: int | list[SurveyedPlugin] = pipe.recv()
        except EOFError:
            return _Stuck(step, "its code ended the process")
        if not isinstance(message, int):
            return message
        step = message
    return _Stuck(step, f"its code still ran after {STEP_S:g} s: make its import fast")
