"""What ends an orphaned worker that can't end itself: a plugin's C code can hold the interpreter's lock as long as it likes.

The kernel sends SIGTRAP when the thread ends that started this process: the application's supervising thread, or the main
thread of ``cluster-kit run``. Both outlive their workers unless the application dies. The handler is the C library's own
``alarm``, which takes the number of the signal, 5, for seconds: so long there is for a goodbye, then SIGALRM kills. No Python
code takes part. A plugin that handles SIGALRM itself, and then holds the lock, escapes.

Source: prctl(2), PR_SET_PDEATHSIG; signal-safety(7), which lists ``alarm`` as safe in handlers.
"""

from __future__ import annotations

import signal

_PR_SET_PDEATHSIG = 1


def arm() -> None:
    """Have the kernel see to it; nobody does on other systems than Linux, or without ``ctypes``."""
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        alarm, prctl = ctypes.cast(libc.alarm, ctypes.c_void_p), libc.prctl
    except (ImportError, OSError, AttributeError):
        return
    libc.signal.restype = ctypes.c_void_p
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # whatever the application had made of it
    libc.signal(int(signal.SIGTRAP), alarm)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTRAP, signal.SIGALRM))
    prctl(_PR_SET_PDEATHSIG, int(signal.SIGTRAP))
