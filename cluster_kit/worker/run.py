"""The life of a worker process: hear what to run or to examine, do it, and never outlive the application.

A thread of its own watches for the application's end, since a plugin can block the event loop. The
pipe hangs up at once, also when the application's process goes on as another program (``os.execv``).
A forked child of the application may hold the pipe open; then the end of the parent process counts,
which a pidfd tells at once, and a look now and then where there is none. Where that thread can't run,
either, the kernel is left.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cluster_kit.errors import ConfigError
from cluster_kit.network.system import SystemNetwork
from cluster_kit.worker import last_resort
from cluster_kit.worker.channel import Channel
from cluster_kit.worker.foreign import as_config_error
from cluster_kit.worker.mark import become_worker
from cluster_kit.worker.messages import Beat, CannotServe, Start
from cluster_kit.worker.worker import EXIT_BROKEN, Worker

if TYPE_CHECKING:
    from cluster_kit.worker.examiner import Examiner

_ORPHAN_S = 0.75  # how long an orphaned worker may take to say goodbye
_LOOK_S = 0.2  # between two looks at who our parent is; with the goodbye, less than a second
EXIT_OK = 0
EXIT_CANNOT_SERVE = 78  # EX_CONFIG of sysexits.h
EXIT_ORPHANED = 75  # EX_TEMPFAIL: what we served is gone


def run(channel_fd: int) -> None:
    """Serve one topology until told to stop, or until the application is gone; then exit at once.

    Args:
        channel_fd: Our end of the pipe to the supervisor.
    """
    become_worker()
    last_resort.arm()
    channel = Channel(socket.socket(fileno=channel_fd))
    with suppress(OSError):  # the application is gone already: who reads the channel notices
        channel.send(Beat())
    loop = asyncio.new_event_loop()
    orphaned = threading.Event()
    leave = asyncio.Event()

    def leave_as_orphan() -> None:
        orphaned.set()
        loop.call_soon_threadsafe(leave.set)

    threading.Thread(target=_watch, args=(channel_fd, leave_as_orphan), name="cluster-kit-orphan-watch", daemon=True).start()
    try:
        worker = _take_up(_first_messages(channel), channel, loop, leave)
    except BaseException as exc:  # noqa: BLE001 - plugins are imported and built here
        channel.send(CannotServe(as_config_error(exc, "building the parts of a worker")))
        os._exit(EXIT_CANNOT_SERVE)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(_main(worker, orphaned))


async def _main(worker: Worker | Examiner, orphaned: threading.Event) -> None:
    try:
        served = await worker.main()
    except BaseException:  # noqa: BLE001 - a fault of ours; the supervisor starts another
        traceback.print_exc()
        os._exit(EXIT_BROKEN)
    code = EXIT_ORPHANED if orphaned.is_set() else EXIT_OK if served else EXIT_CANNOT_SERVE
    os._exit(code)  # tasks and threads of plugins must not keep us


def _take_up(messages: list[Any], channel: Channel, loop: asyncio.AbstractEventLoop, leave: asyncio.Event) -> Worker | Examiner:
    order, *early = messages
    if isinstance(order, Start):
        return Worker(order, early, channel, loop, leave, network=SystemNetwork())
    from cluster_kit.worker.examiner import Examiner

    return Examiner(order, channel, SystemNetwork())


def _first_messages(channel: Channel) -> list[Any]:
    """Return what to do, and what came right behind it."""
    while True:
        channel.wait()
        try:
            messages = channel.receive()
        except EOFError as exc:
            if exc.args:
                raise ConfigError(f"a worker cannot read what it is to run: {exc}") from exc
            os._exit(EXIT_ORPHANED)
        if messages:
            return messages


def _watch(channel_fd: int, orphaned: Callable[[], None]) -> None:
    """Wait for the application's end, then have the worker leave, and exit even if it can't."""
    parent = os.getppid()
    poller = select.poll()
    poller.register(channel_fd, 0)  # tells of a hang-up only
    look_ms: float | None = _LOOK_S * 1000
    with suppress(AttributeError, OSError):  # not Linux, or forbidden: then look now and then
        poller.register(os.pidfd_open(parent), select.POLLIN)  # ours until we exit
        look_ms = None
    while os.getppid() == parent and not poller.poll(look_ms):
        pass
    orphaned()
    threading.Event().wait(_ORPHAN_S)
    os._exit(EXIT_ORPHANED)
