"""Observes side effects of Python code through the interpreter's audit events.

Source: PEP 578; the table of audit events in Python's library reference.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

_Args = tuple[Any, ...]
_Observer = Callable[[str, _Args], None]

_SIDE_EFFECTS: Mapping[str, str] = MappingProxyType(
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

_observers: list[_Observer] = []
_is_hooked = False


def side_effects_of(code: Callable[[], object]) -> list[str]:
    """Call ``code`` twice, and return one line for each side effect of the second call.

    The first call does its imports. Other threads are ignored.
    """
    thread = threading.get_ident()
    effects: list[str] = []

    def observe(event: str, args: _Args) -> None:
        if event in _SIDE_EFFECTS and threading.get_ident() == thread:
            target = f" {args[0]!r:.200}" if args and isinstance(args[0], str | bytes) else ""
            effects.append(_SIDE_EFFECTS[event] + target)

    code()
    with _observed_by(observe):
        code()
    return effects


@contextmanager
def created_files() -> Iterator[set[str]]:
    """Yield a set that collects the path of each file, directory or socket created in the block.

    Compiled modules don't count.
    """
    created: set[str] = set()

    def observe(event: str, args: _Args) -> None:
        if event in _PATH_OF and (path := _new_path(_PATH_OF[event](args))):
            created.add(path)

    with _observed_by(observe):
        yield created


@contextmanager
def _observed_by(observe: _Observer) -> Iterator[None]:
    global _is_hooked
    if not _is_hooked:  # an audit hook can't be removed
        sys.addaudithook(_dispatch)
        _is_hooked = True
    _observers.append(observe)
    try:
        yield
    finally:
        _observers.remove(observe)


def _dispatch(event: str, args: _Args) -> None:
    for observe in tuple(_observers):
        observe(event, args)


def _new_path(given: object) -> str | None:
    """Return the absolute path of what is about to be created, ``None`` if it doesn't count."""
    if not isinstance(given, str | bytes | os.PathLike) or not os.fspath(given):
        return None
    path = os.fsdecode(given)
    if "\0" in path or "__pycache__" in path or os.path.lexists(path):
        return None
    return str(Path(path).absolute())


def _opened(args: _Args) -> object:
    path, _, flags = args
    return path if isinstance(flags, int) and flags & os.O_CREAT else None


_PATH_OF: Mapping[str, Callable[[_Args], object]] = MappingProxyType(
    {
        "open": _opened,
        "os.mkdir": lambda args: args[0],
        "os.link": lambda args: args[1],
        "os.symlink": lambda args: args[1],
        "os.rename": lambda args: args[1],
        "socket.bind": lambda args: args[1],
    }
)
