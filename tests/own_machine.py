"""Makes a pytest-xdist worker a machine of its own, as far as tests can tell.

It gets a network namespace with nothing but loopback, so that ports and multicast groups are its
own, and a folder for control sockets and temporary files. Processors and the table of processes are
shared.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
import threading
from functools import cache

_CLONE_NEWNET = 0x40000000  # from linux/sched.h; Python has it, and unshare(), since 3.12


@cache
def possible() -> bool:
    """Whether this user may have them on this system; root in a container often may not."""
    if (
        not hasattr(os, "geteuid")
        or os.geteuid() != 0
        or not all(map(shutil.which, ("ip", "unshare")))
    ):
        return False
    return subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode == 0


def enter(folder: str) -> None:
    """Move this thread and its future children there; ``folder`` holds what lives in folders."""
    assert threading.current_thread() is threading.main_thread(), (
        "tests would run in another namespace than /proc shows"
    )
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.environ["XDG_RUNTIME_DIR"] = os.environ["TMPDIR"] = tempfile.tempdir = folder
