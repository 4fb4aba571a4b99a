"""Sees to it that a worker never outlives its application.

A thread of its own watches for the application's end, since a plugin can block the event loop. The
pipe hangs up at once, also when the application's process goes on as another program (``os.execv``).
A forked child of the application may hold the pipe open; then the end of the parent process counts,
which a pidfd tells at once, and a look now and then where there is none. Where that thread can't run,
either, the kernel is left: see ``last_resort``.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress

_GOODBYE_S = 0.75  # how long an orphaned worker may take to say it
_LOOK_S = 0.2  # between two looks at who our parent is; with the goodbye, less than a second


def leave_with_parent(channel_fd: int, leave: Callable[[], None], exit_code: int) -> None:
    """Have this process end once its application is gone.

    Args:
        channel_fd: Our end of the pipe to the application.
        leave: Called in a thread of its own when that happens.
        exit_code: Of this process where it is still there a short time later.
    """
    threading.Thread(target=_watch, args=(channel_fd, leave, exit_code), name="cluster-kit-orphan-watch", daemon=True).start()


def _watch(channel_fd: int, leave: Callable[[], None], exit_code: int) -> None:
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
    leave()
    threading.Event().wait(_GOODBYE_S)
    os._exit(exit_code)
