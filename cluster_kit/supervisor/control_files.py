"""The files of control sockets: in which folder they are, what their names say, and who may remove one.

A socket's name begins with its process. Three pairs of characters follow that depend on the node, the node's basename and the
cluster, so that whoever asks for one node need not ask all: a process that is stopped answers nobody. Two nodes with the same
characters cost a question in vain, no more.
"""

from __future__ import annotations

import base64
import fcntl
import os
import stat
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUFFIX = ".sock"
_LOCK_S = 1.0  # others hold the lock for moments, unless they were stopped just then
_LOCK_RETRY_S = 0.01


def control_folders() -> Iterator[Path]:
    """Yield where this user's control sockets may be, the first place first; a service may not have what a shell has.

    The second is worked out only when it is asked for: finding the folder for temporary files writes to it.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isdir(runtime):  # noqa: PTH112 - Path.is_dir raises where we may not enter
        yield Path(runtime, "cluster-kit")
    with suppress(FileNotFoundError):  # no temporary folder can be written to
        yield Path(tempfile.gettempdir(), f"cluster-kit-{os.getuid()}")


def new_path(folder: Path, node: str, cluster: str) -> Path:
    """Return a path for the socket of ``node`` in this process."""
    return folder / f"{os.getpid()}-{_marks(node, cluster)}{_mark(os.urandom(4).hex())}{SUFFIX}"


def sockets_in(folder: Path) -> list[Path]:
    """Return the paths in ``folder`` that are called like control sockets."""
    return sorted(path for path in folder.glob(f"*-*{SUFFIX}") if path.name.partition("-")[0].isdecimal())


def pid_of(path: Path) -> int:
    """Return the process that a socket is of."""
    return int(path.name.partition("-")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which supervisors are asked for; by default all.

    Attributes:
        names: A node's name, its basename, or a process id each; empty for any.
        cluster: Only those of this cluster.
    """

    names: tuple[str, ...] = ()
    cluster: str | None = None

    def may_be(self, path: Path) -> bool:
        """Whether the supervisor with this socket may be one of them."""
        pid, _, marks = path.name.partition("-")
        if self.cluster is not None and marks[4:6] != _mark(self.cluster):
            return False
        return not self.names or any(name == pid or _mark(name) in (marks[:2], marks[2:4]) for name in self.names)

    def includes(self, answer: Mapping[str, Any]) -> bool:
        """Whether the supervisor that answered so is one of them."""
        if self.cluster is not None and answer["cluster"] != self.cluster:
            return False
        return not self.names or any(is_called(answer, name) for name in self.names)


ANY = Wanted()


def is_called(answer: Mapping[str, Any], name: str) -> bool:
    """Whether ``name`` stands for the supervisor that answered so."""
    return name in (answer["node"], answer["node"].partition("@")[0], str(answer["pid"]))


def _marks(node: str, cluster: str) -> str:
    return _mark(node) + _mark(node.partition("@")[0]) + _mark(cluster)


def _mark(text: str) -> str:
    """Return two characters that depend on ``text``: a path to a socket has little more than 100 in all; unix(7)."""
    return base64.urlsafe_b64encode(zlib.crc32(text.encode()).to_bytes(4, "big")).decode()[:2]


def make_private(folder: Path) -> None:
    """Make sure that there is ``folder``, and that it is ours alone."""
    folder.mkdir(mode=0o700, exist_ok=True)
    check_private(folder)


def check_private(folder: Path) -> None:
    """Raise ``PermissionError`` unless only this user can enter ``folder``."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(1, "it is not a folder that only its user can enter")


@contextmanager
def locked(folder: Path, patience_s: float = _LOCK_S) -> Iterator[bool]:
    """Hold the lock of ``folder`` inside the block, if it can be had in time; yield whether it is held.

    A socket that is bound but does not listen yet looks like one that a killed process left behind. It must be bound under its
    final name, because cleaners of old files look that up among the kernel's sockets; so nobody may look meanwhile. Cleaners
    take this lock, too.

    Source: tmpfiles.d(5), on sockets and on BSD file locks; flock(2).
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        held = _lock(fd, time.monotonic() + patience_s)
        try:
            yield held
        finally:
            if held:
                fcntl.flock(fd, fcntl.LOCK_UN)  # a child that was forked meanwhile has it open as well
    finally:
        os.close(fd)


def _lock(fd: int, deadline_s: float) -> bool:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(_LOCK_RETRY_S)
        except OSError:  # not every file system has locks
            return False
        else:
            return True
