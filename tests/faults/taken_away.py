"""Takes what only Linux has away from the process that runs it, and from its children.

``python taken_away.py WAY PROGRAM ...`` goes on as ``python PROGRAM ...``. With ``refused`` the
kernel refuses the system calls, as the seccomp profiles of older container runtimes do with calls
that they don't know; with ``missing`` Python lacks the names, as on macOS.
"""

import ctypes
import os
import platform
import struct
import sys
from pathlib import Path

CALLS = {  # x86_64, aarch64
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "eventfd2": (290, 19),
    "memfd_create": (319, 279),
    "inotify_init1": (294, 26),
    "signalfd4": (289, 74),
    "timerfd_create": (283, 85),
}
MISSING = {
    "os": "pidfd_open eventfd eventfd_read eventfd_write EFD_NONBLOCK EFD_CLOEXEC memfd_create "
    "waitid P_PIDFD pipe2 sched_getaffinity inotify_init posix_fadvise",
    "socket": (
        "SO_PEERCRED SOCK_NONBLOCK SOCK_CLOEXEC TCP_KEEPIDLE SO_BINDTODEVICE TCP_USER_TIMEOUT "
        "IP_RECVERR"
    ),
    "select": "epoll",
    "signal": "pidfd_send_signal sigtimedwait sigwaitinfo",
}
PATCH = f"""
import os, select, signal, socket
for module, names in {MISSING!r}.items():
    for name in names.split():
        vars(vars()[module] if module in vars() else __import__(module)).pop(name, None)
socket.TCP_KEEPALIVE = 0x10  # macOS's name for TCP_KEEPIDLE
"""
_EPERM, _ALLOW, _ERRNO = 1, 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2


def refuse() -> None:
    """Have the kernel refuse the calls, with EPERM."""
    machine = ("x86_64", "aarch64").index(platform.machine())
    numbers = [each[machine] for each in CALLS.values()]
    code = struct.pack("=HBBI", _LOAD, 0, 0, 0)  # the number of the call
    for left, number in zip(range(len(numbers), 0, -1), numbers, strict=True):
        code += struct.pack("=HBBI", _EQUAL, left, 0, number)
    code += struct.pack("=HBBI", _RETURN, 0, 0, _ALLOW) + struct.pack(
        "=HBBI", _RETURN, 0, 0, _ERRNO | _EPERM
    )
    instructions = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(
        struct.pack("@HP", len(code) // 8, ctypes.addressof(instructions))
    )
    libc = ctypes.CDLL(None, use_errno=True)
    for call in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0),
    ):
        if libc.prctl(*call):
            raise OSError(ctypes.get_errno(), "prctl")


def main(way: str, program: str, *arguments: str) -> None:
    """Take it away, and go on as ``program``."""
    if way == "refused":
        refuse()
    else:
        folder = Path(os.environ["TAKEN_AWAY_FOLDER"])
        Path(folder, "sitecustomize.py").write_text(PATCH)
        os.environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(folder), os.environ.get("PYTHONPATH")])
        )
    os.execv(sys.executable, [sys.executable, program, *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
