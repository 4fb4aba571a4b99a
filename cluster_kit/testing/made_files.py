"""Sees which files this process makes, wherever they lie, by what the interpreter audits.

Source: PEP 578; the table of audit events in Python's library reference.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

_Args = tuple[Any, ...]

_watching: list[set[str]] = []
_is_hooked = False


@contextmanager
def made_files() -> Iterator[set[str]]:
    """Yield a set that gets the path of each file, directory or socket file that is made during the
    block.

    A file that is there already isn't made by being opened, and one in a folder of compiled modules
    counts as none.
    """
    global _is_hooked
    if not _is_hooked:
        sys.addaudithook(_hear)
        _is_hooked = True
    made: set[str] = set()
    _watching.append(made)
    try:
        yield made
    finally:
        _watching[:] = [each for each in _watching if each is not made]


def _hear(event: str, args: _Args) -> None:
    if _watching and event in _PATH_OF and (path := _made(_PATH_OF[event](args))):
        for made in _watching:
            made.add(path)


def _made(given: object) -> str | None:
    """Return the path of what is about to be made, ``None`` if that is nothing of interest."""
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
