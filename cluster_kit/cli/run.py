"""``cluster-kit run``: be a node until asked to leave.

The main thread starts the supervisor and waits for its end. Another thread stops it on request,
even during start-up. A third one prints events, and may be blocked for good by whoever reads the
output.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

import click

from cluster_kit.cli.click_types import FAULTY_FILE, DocumentedCommand
from cluster_kit.cli.configuration import read_configuration, see_modules_beside
from cluster_kit.cli.failure import Failure
from cluster_kit.cli.interruption import INTERRUPTED
from cluster_kit.cli.sighup import SighupHandler

if TYPE_CHECKING:
    from cluster_kit.config import ClusterConfig
    from cluster_kit.supervisor.bus import Subscription
    from cluster_kit.supervisor.child import SpareWorker
    from cluster_kit.supervisor.keychain import Keychain
    from cluster_kit.supervisor.supervisor import Supervisor

Ending = SimpleQueue[OSError | None]
"""Each item is a request to leave, with the error behind it, if any. Signal handlers put, too."""

_PRINT_S = 1.0  # how long the last lines may take to be read


@click.command(
    cls=DocumentedCommand,
    example="cluster-kit run cluster.yaml --name b@127.0.0.1 --events json",
    exit_codes={
        0: "the node left on request",
        1: (
            "cannot serve (port in use, no permission), cannot print, or a topology with "
            "'escalate: true' failed too often"
        ),
        2: FAULTY_FILE,
        INTERRUPTED: "interrupted during start-up",
    },
)
@click.argument("file")
@click.option(
    "--name",
    metavar="NAME",
    help="Name of this node, in place of the one in FILE: basename@host, or a basename alone.",
)
@click.option(
    "--events",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print events.",
)
@click.option("--until-eof", is_flag=True, hidden=True, help="Also leave when standard input ends.")
def run(file: str, name: str | None, form: str, until_eof: bool) -> None:
    """Run the topologies of FILE as one node, and print events.

    Runs until SIGINT (Ctrl-C) or SIGTERM, then says goodbye and exits; a second Ctrl-C exits at
    once. SIGHUP reloads FILE: topologies whose configuration has not changed continue undisturbed,
    and a file with faults changes nothing. With --name, one file serves many nodes; a basename
    alone keeps the host of the file's node. With --events json, standard output has one JSON object
    a line for each event, as it happens; the event 'ready' means that a topology serves. Logs go to
    standard error.
    """
    ending: Ending = SimpleQueue()
    signal.signal(signal.SIGTERM, lambda *_: ending.put(None))
    sighup = SighupHandler()
    see_modules_beside(file)
    from cluster_kit.supervisor.child import SpareWorker

    with SpareWorker() as spare:
        _log_to_stderr()
        config, plugins = read_configuration(file, name)
        keychain = _keychain(config, spare)
        from cluster_kit.supervisor.supervisor import Supervisor

        supervisor = Supervisor(
            config, plugins=plugins, spare=spare, keychain=keychain, control=True
        )
        if until_eof:
            threading.Thread(target=_end_at_eof, args=(ending,), daemon=True).start()
        sighup.follow(partial(_reload, supervisor, file, name), partial(ending.put, None))
        _serve(supervisor, form, ending)


def _keychain(config: ClusterConfig, spare: SpareWorker) -> Keychain:
    """Begin to make keys, which takes as long as the imports that follow."""
    from cluster_kit.supervisor.keychain import Keychain

    keychain = Keychain(config.cluster)
    if config.secrets or config.certificates is not None:
        spare.prepare()
        # there is no thread to be had: the start tries again, and says so
        with suppress(RuntimeError):
            keychain.begin(config)
    return keychain


def _serve(supervisor: Supervisor, form: str, ending: Ending) -> None:
    cause = SimpleQueue[OSError | None]()
    printer = threading.Thread(
        target=_print_events, args=(supervisor.subscribe(), form, ending), daemon=True
    )
    printer.start()
    threading.Thread(
        target=_leave_on_request, args=(supervisor, ending, cause), daemon=True
    ).start()
    _leave_on_interrupt(ending)
    try:
        supervisor.start()
        supervisor.join()
    finally:
        supervisor.stop()
        printer.join(_PRINT_S)
        ending.put(None)
    trouble = cause.get()
    if trouble is not None:
        raise Failure(f"run: cannot print events: {trouble.strerror}")


def _leave_on_request(supervisor: Supervisor, ending: Ending, cause: Ending) -> None:
    """Stop the supervisor, also while it still starts."""
    cause.put(ending.get())
    supervisor.stop()


def _leave_on_interrupt(ending: Ending) -> None:
    """Have Ctrl-C request to leave, where it ended the process before."""

    def leave(*_: object) -> None:
        # an impatient second one; the workers say goodbye by themselves
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        ending.put(None)

    signal.signal(signal.SIGINT, leave)


def _reload(supervisor: Supervisor, file: str, name: str | None) -> None:
    """Go over to what the file says now; a file with faults changes nothing."""
    import logging

    from cluster_kit.cli.failure import Faults
    from cluster_kit.errors import ClusterKitError, ConfigError

    log = logging.getLogger("cluster_kit.cli")
    try:
        config, _ = read_configuration(file, name)
        log.info("reload: %s: %s", file, supervisor.reload(config))
    except (Faults, ClusterKitError) as exc:
        error = exc.error if isinstance(exc, Faults) else exc
        for each in error.errors if isinstance(error, ConfigError) else [error]:
            log.error("reload: %s", each)  # noqa: TRY400 - a fault in a file needs no traceback


def _end_at_eof(ending: Ending) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    ending.put(None)


def _log_to_stderr() -> None:
    import logging

    from cluster_kit.cli.streams import StderrHandler

    handler = StderrHandler()
    form = "%(asctime)s %(levelname)s %(topology)s: %(message)s"
    handler.setFormatter(logging.Formatter(form, defaults={"topology": "cluster-kit"}))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("cluster_kit").setLevel(logging.INFO)


def _print_events(subscription: Subscription, form: str, ending: Ending) -> None:
    """Print events until the last; a closed pipe ends it quietly."""
    from cluster_kit.cli.event_lines import as_json, as_text
    from cluster_kit.cli.streams import STDOUT, write

    line_of = as_json if form == "json" else as_text
    try:
        for event in subscription:
            if event.seq:  # before the first event there is nothing to tell
                write(STDOUT, f"{line_of(event)}\n")
    except OSError as exc:
        ending.put(None if isinstance(exc, BrokenPipeError) else exc)
    else:
        ending.put(None)
