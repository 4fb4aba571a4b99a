"""Sees what a piece of code does to the outside: files, sockets, processes and threads, by what the
interpreter audits.

Source: PEP 578; the table of audit events in Python's library reference.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

_DEEDS: Mapping[str, str] = MappingProxyType(
    {
        "open": "open file",
        "os.listdir": "list folder",
        "os.scandir": "list folder",
        "os.mkdir": "make folder",
        "os.remove": "remove file",
        "os.rename": "rename file",
        "os.system": "run command",
        "socket.__new__": "make socket",
        "socket.getaddrinfo": "resolve name",
        "sqlite3.connect": "open database",
        "subprocess.Popen": "start process",
        "_thread.start_new_thread": "start thread",
        "_thread.start_joinable_thread": "start thread",
    }
)

_watching: dict[int, list[str]] = {}
_is_hooked = False


def done_by(code: Callable[[], object]) -> list[str]:
    """Run ``code`` in this thread, twice; return a line for each thing that it does the second
    time, when all is imported.
    """
    global _is_hooked
    if not _is_hooked:
        sys.addaudithook(_hear)
        _is_hooked = True
    code()
    done = _watching[threading.get_ident()] = []
    try:
        code()
    finally:
        del _watching[threading.get_ident()]
    return done


def _hear(event: str, args: tuple[Any, ...]) -> None:
    if _watching and event in _DEEDS and (done := _watching.get(threading.get_ident())) is not None:
        done.append(
            f"{_DEEDS[event]} {args[0]!r:.200}"
            if args and isinstance(args[0], str | bytes)
            else _DEEDS[event]
        )
