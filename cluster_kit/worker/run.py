"""Runs a worker process: receives one order, carries it out, never outlives the application.

Everything that concerns the process as a whole is here and in ``cluster_kit.pipe``. The rest knows
only the event loop, channel and network that it is given, so many workers can run in one process.
"""

from __future__ import annotations

import asyncio
import os
import threading
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cluster_kit.errors import ConfigError
from cluster_kit.network.system import SystemNetwork
from cluster_kit.pipe.messages import Beat, CannotServe, Prepare, Start
from cluster_kit.pipe.parent import arm_death_signal, leave_with_parent
from cluster_kit.pipe.socket_channel import SocketChannel
from cluster_kit.security.security import load
from cluster_kit.worker.environment import become_worker
from cluster_kit.worker.host_process import EXIT_BROKEN, OwnProcess
from cluster_kit.worker.plugin_calls import as_config_error
from cluster_kit.worker.worker import Worker

if TYPE_CHECKING:
    from cluster_kit.worker.examiner import Examiner

EXIT_OK = 0
EXIT_CANNOT_SERVE = 78  # EX_CONFIG of sysexits.h
EXIT_ORPHANED = 75  # EX_TEMPFAIL: the application is gone


def run(channel_fd: int) -> None:
    """Serve one topology until told to stop, or until the application is gone; then exit at once.

    Args:
        channel_fd: Our end of the pipe to the supervisor.
    """
    become_worker()
    arm_death_signal()
    channel = SocketChannel.from_fd(channel_fd)
    with suppress(OSError):  # the application is gone, as the first read will show
        channel.send(Beat())
    loop = asyncio.new_event_loop()
    orphaned = threading.Event()
    leave = asyncio.Event()

    def leave_as_orphan() -> None:
        orphaned.set()
        loop.call_soon_threadsafe(leave.set)

    leave_with_parent(channel_fd, leave_as_orphan, EXIT_ORPHANED)
    try:
        worker = _worker_for(_first_messages(channel), channel, loop, leave)
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


def _worker_for(
    messages: list[Any],
    channel: SocketChannel,
    loop: asyncio.AbstractEventLoop,
    leave: asyncio.Event,
) -> Worker | Examiner:
    order, *early = messages
    network, process = SystemNetwork(), OwnProcess(loop)
    if isinstance(order, Start):
        return Worker(order, early, channel, loop, leave, network=network, process=process)
    from cluster_kit.worker.examiner import Examiner

    return Examiner(order, channel, network=network, process=process)


def _first_messages(channel: SocketChannel) -> list[Any]:
    """Return the order, and the messages that came right behind it."""
    while True:
        channel.wait()
        try:
            messages = channel.receive()
        except EOFError as exc:
            if exc.args:
                raise ConfigError(f"a worker cannot read what it is to run: {exc}") from exc
            os._exit(EXIT_ORPHANED)
        while messages and isinstance(messages[0], Prepare):
            del messages[0]
            if not (messages or channel.wait(0)):  # the order isn't there yet: use the time
                load()
        if messages:
            return messages
