"""``cluster-kit run``: runs a node until it is asked to leave.

The main thread starts the supervisor and waits for its end. Another thread stops it on request,
even during start-up. A third one prints events; it may block for ever if the output is not read.
Each SIGHUP is handled by a fourth.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

import click

from cluster_kit.cli.click_types import FAULTY_FILE, DocumentedCommand
from cluster_kit.cli.configuration import read_configuration, see_modules_beside
from cluster_kit.cli.failure import Failure
from cluster_kit.cli.interruption import INTERRUPTED

if TYPE_CHECKING:
    from cluster_kit.config import ClusterConfig
    from cluster_kit.supervisor.bus import Subscription
    from cluster_kit.supervisor.child import SpareWorker
    from cluster_kit.supervisor.keychain import Keychain
    from cluster_kit.supervisor.supervisor import Supervisor

Ending = SimpleQueue[OSError | None]
"""Each item is a request to leave, with its cause if that is an error. Signal handlers use it."""

_PRINT_S = 1.0  # to have the last lines read


@click.command(
    cls=DocumentedCommand,
    example="cluster-kit run cluster.yaml --name b@127.0.0.1 --events json",
    exit_codes={
        0: "the node left on request",
        1: "cannot serve or print, or a topology with 'escalate: true' failed too often",
        2: FAULTY_FILE,
        INTERRUPTED: "interrupted during start-up",
    },
)
@click.argument("file")
@click.option(
    "--name",
    metavar="NAME",
    help="Name of this node, instead of the one in FILE: basename@host, or a basename alone.",
)
@click.option(
    "--events",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print events.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="The lowest level to log, of the node and its workers.",
)
@click.option("--until-eof", is_flag=True, hidden=True, help="Also leave when standard input ends.")
def run(file: str, name: str | None, form: str, log_level: str, *, until_eof: bool) -> None:
    """Run the topologies of FILE as one node, and print events.

    Runs until SIGINT (Ctrl-C) or SIGTERM, then says goodbye and exits; a second Ctrl-C exits at
    once. SIGHUP reloads FILE: topologies whose configuration has not changed continue undisturbed,
    and a file with faults changes nothing. With --name, one file serves many nodes; a basename
    alone keeps the host of the file's node. With --events json, each event is printed at once as a
    JSON object on a line; the event 'ready' means that a topology serves. Logs go to standard
    error.
    """
    ending: Ending = SimpleQueue()
    _leave_on_sigterm(ending)
    sighup = SighupHandler()
    see_modules_beside(file)
    from cluster_kit.supervisor.child import SpareWorker

    with SpareWorker() as spare:
        _log_to_stderr(log_level)
        config, plugins = read_configuration(file, name)
        keychain = _keychain(config, spare)
        from cluster_kit.supervisor.supervisor import Supervisor

        supervisor = Supervisor(
            config, plugins=plugins, spare=spare, keychain=keychain, control=True
        )
        if until_eof:
            _start_thread(_leave_at_eof, ending)
        sighup.follow(partial(_reload, supervisor, file, name), partial(ending.put, None))
        _serve(supervisor, form, ending)


def _start_thread(target: Callable[..., None], *args: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    return thread


def _keychain(config: ClusterConfig, spare: SpareWorker) -> Keychain:
    """Begin to derive keys, which takes as long as the imports that follow."""
    from cluster_kit.supervisor.keychain import Keychain

    keychain = Keychain(config.cluster)
    if config.secrets or config.certificates is not None:
        spare.prepare()
        with suppress(RuntimeError):  # no thread can be started: start() tries again and raises
            keychain.begin(config)
    return keychain


def _serve(supervisor: Supervisor, form: str, ending: Ending) -> None:
    cause: Ending = SimpleQueue()
    printer = _start_thread(_print_events, supervisor.subscribe(), form, ending)
    _start_thread(_leave_on_request, supervisor, ending, cause)
    _leave_on_interrupt(ending)
    try:
        supervisor.start()
        supervisor.join()
    finally:
        supervisor.stop()
        printer.join(_PRINT_S)
        ending.put(None)
    error = cause.get()
    if error is not None:
        raise Failure(f"run: cannot print events: {error.strerror}")


def _leave_on_request(supervisor: Supervisor, ending: Ending, cause: Ending) -> None:
    """Stop the supervisor, even while it is starting."""
    cause.put(ending.get())
    supervisor.stop()


def _leave_on_sigterm(ending: Ending) -> None:
    """Make SIGTERM request to leave; a second one is ignored."""

    def leave(*_: object) -> None:
        # not by a handler: Python drops handlers at its very end, and a late SIGTERM would kill it
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ending.put(None)

    signal.signal(signal.SIGTERM, leave)


def _leave_on_interrupt(ending: Ending) -> None:
    """Make Ctrl-C request to leave, instead of ending the process."""

    def leave(*_: object) -> None:
        # a second Ctrl-C ends the process; its workers then say goodbye by themselves
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        ending.put(None)

    signal.signal(signal.SIGINT, leave)


def _reload(supervisor: Supervisor, file: str, name: str | None) -> None:
    """Apply the current content of the file; a file with faults changes nothing."""
    import logging

    from cluster_kit.cli.failure import FaultyFile
    from cluster_kit.errors import ClusterKitError, ConfigError

    log = logging.getLogger("cluster_kit.cli")
    try:
        config, _ = read_configuration(file, name)
        log.info("reload: %s: %s", file, supervisor.reload(config))
    except (FaultyFile, ClusterKitError) as exc:
        error = exc.error if isinstance(exc, FaultyFile) else exc
        for each in error.errors if isinstance(error, ConfigError) else [error]:
            log.error("reload: %s", each)  # noqa: TRY400 - a fault in a file needs no traceback


class SighupHandler:
    """Queues each SIGHUP: reload the file, or leave because the terminal was closed.

    The main thread must create it, early, as SIGHUP would otherwise end the process.
    """

    def __init__(self) -> None:
        self._received = SimpleQueue[None]()
        self._had_terminal = _has_terminal()
        signal.signal(signal.SIGHUP, lambda *_: self._received.put(None))

    def follow(self, reload: Callable[[], None], leave: Callable[[], None]) -> None:
        """Call one or the other for each signal, in a separate thread."""
        _start_thread(self._follow, reload, leave)

    def _follow(self, reload: Callable[[], None], leave: Callable[[], None]) -> None:
        while True:
            self._received.get()
            while not self._received.empty():  # one reload serves all earlier signals
                self._received.get()
            if self._had_terminal and not _has_terminal():
                leave()
            else:
                reload()


def _has_terminal() -> bool:
    """Whether a standard stream is a terminal; one that has hung up no longer is."""
    return any(os.isatty(stream) for stream in (0, 1, 2))


def _leave_at_eof(ending: Ending) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    ending.put(None)


def _log_to_stderr(level: str) -> None:
    import logging

    from cluster_kit.cli.streams import StderrHandler

    handler = StderrHandler()
    form = "%(asctime)s %(levelname)s %(topology)s: %(message)s"
    handler.setFormatter(logging.Formatter(form, defaults={"topology": "cluster-kit"}))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("cluster_kit").setLevel(level.upper())


def _print_events(subscription: Subscription, form: str, ending: Ending) -> None:
    """Print events until the last one; a closed pipe ends that quietly."""
    from cluster_kit.cli.event_lines import as_json, as_text
    from cluster_kit.cli.streams import STDOUT, write

    line_of = as_json if form == "json" else as_text
    try:
        for event in subscription:
            if event.seq:  # the snapshot before the first event is empty
                write(STDOUT, f"{line_of(event)}\n")
    except OSError as exc:
        ending.put(None if isinstance(exc, BrokenPipeError) else exc)
    else:
        ending.put(None)
