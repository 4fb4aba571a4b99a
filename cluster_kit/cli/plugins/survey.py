"""Examines all plugins in another process, so that a crash or a hang hides no other plugin.

The process says at each step that it begins it. Where it goes no further, another process begins
anew and leaves out that step, until one comes to the end; what a step is depends only on the steps
before it.
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

from cluster_kit.cli.plugins.examination import Examination
from cluster_kit.errors import ClusterKitError, PluginError
from cluster_kit.plugins import PluginInfo, PluginRegistry

STEP_S = 30.0  # to import one module; what takes longer keeps every application from starting
_STRICT = "CLUSTER_KIT_STRICT_PLUGINS"


class _Stuck(NamedTuple):
    """The step at which a process got no further, and why."""

    step: int
    why: str


class Examined(NamedTuple):
    """A plugin and everything that is wrong with it."""

    plugin: PluginInfo
    faults: tuple[str, ...]


def survey(environ: Mapping[str, str], commands: Collection[str]) -> list[Examined]:
    """Return all plugins that are installed.

    Args:
        environ: As for ``PluginRegistry.load``, yet a fault is never fatal.
        commands: Names of the command line's own commands.

    Raises:
        ClusterKitError: The system refuses a process.
    """
    lenient = {name: value for name, value in environ.items() if name != _STRICT}
    fatal: dict[int, str] = {}
    while True:
        outcome = _apart(partial(_examine, environ=lenient, commands=commands, fatal=fatal))
        if not isinstance(outcome, _Stuck):
            return outcome
        if outcome.step in fatal:
            raise ClusterKitError(f"plugins: cannot look at them: {outcome.why}")
        fatal[outcome.step] = outcome.why


def _apart(examine: Callable[[Connection], None]) -> list[Examined] | _Stuck:
    """Return what ``examine`` sends from a child process, or the step at which it got stuck."""
    ours, theirs = Pipe(duplex=False)
    with ours, theirs:
        try:
            pid = os.fork()
        except OSError as exc:
            raise ClusterKitError(
                f"plugins: cannot start a process to look at them: {exc.strerror}"
            ) from exc
        if pid == 0:
            try:
                os.dup2(2, 1)  # what plugins print is not our output
                examine(theirs)
            finally:
                os._exit(0)  # without a word, whatever was raised
        theirs.close()
        try:
            return _follow(ours)
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _examine(
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
    examination = Examination(registry, commands, before)
    pipe.send([Examined(plugin, examination.faults_of(plugin)) for plugin in registry.plugins])


def _follow(pipe: Connection) -> list[Examined] | _Stuck:
    step = 0
    while pipe.poll(STEP_S):
        try:
            message: int | list[Examined] = pipe.recv()
        except EOFError:
            return _Stuck(step, "its code ended the process")
        if not isinstance(message, int):
            return message
        step = message
    return _Stuck(
        step,
        f"its code was still running after {STEP_S:g} s: a module must do nothing slow when it is "
        "imported",
    )
