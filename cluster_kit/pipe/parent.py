"""Ends a worker whose application is gone.

There are two mechanisms, as a plugin can block the event loop, and its C code even the whole
interpreter, by holding the GIL.

``leave_with_parent`` runs a thread that waits for the end of the application. It polls the pipe,
which hangs up at once, even if the application's process goes on as another program
(``os.execv``). A forked child of the application may hold the pipe open, so the thread watches the
parent process as well: by a pidfd, or, where there is none, by polling the parent's id.

``arm_death_signal`` is for the case in which that thread can't run. The kernel sends SIGTRAP when
the thread that started this process ends: the application's supervising thread, or the main thread
of ``cluster-kit run``. Both outlive their workers unless the application dies. The handler is the C
library's own ``alarm``, which takes the number of the signal, 5, for seconds: after that grace
period for a goodbye, SIGALRM kills. No Python code takes part. A plugin that handles SIGALRM
itself, and then holds the GIL, escapes.

Source: prctl(2), PR_SET_PDEATHSIG; signal-safety(7), which lists ``alarm`` as safe in handlers.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable
from contextlib import suppress

_GOODBYE_S = 0.75  # how long an orphaned worker may take for its goodbye
_POLL_S = 0.2  # between two looks at the parent's id; with the goodbye, less than a second
_PR_SET_PDEATHSIG = 1


def arm_death_signal() -> None:
    """Make the kernel kill this process soon after its parent, if there is Linux and ctypes."""
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        alarm, prctl = ctypes.cast(libc.alarm, ctypes.c_void_p), libc.prctl
    except (ImportError, OSError, AttributeError):
        return
    libc.signal.restype = ctypes.c_void_p
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the application may have changed it
    libc.signal(int(signal.SIGTRAP), alarm)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTRAP, signal.SIGALRM))
    prctl(_PR_SET_PDEATHSIG, int(signal.SIGTRAP))


def leave_with_parent(channel_fd: int, leave: Callable[[], None], exit_code: int) -> None:
    """End this process once its application is gone.

    Args:
        channel_fd: Our end of the pipe to the application.
        leave: Called in a thread of its own when that happens.
        exit_code: The process's exit code, if it still runs a short time after ``leave``.
    """
    arguments = (channel_fd, leave, exit_code)
    name = "cluster-kit-orphan-watch"
    threading.Thread(target=_watch, args=arguments, name=name, daemon=True).start()


def _watch(channel_fd: int, leave: Callable[[], None], exit_code: int) -> None:
    parent = os.getppid()
    poller = select.poll()
    poller.register(channel_fd, 0)  # reports a hang-up only
    poll_ms: float | None = _POLL_S * 1000
    with suppress(AttributeError, OSError):  # not Linux, or forbidden: poll the parent's id
        poller.register(os.pidfd_open(parent), select.POLLIN)  # ours until we exit
        poll_ms = None
    while os.getppid() == parent and not poller.poll(poll_ms):
        pass
    leave()
    threading.Event().wait(_GOODBYE_S)
    os._exit(exit_code)
