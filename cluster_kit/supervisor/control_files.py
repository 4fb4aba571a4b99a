"""What both ends of a control socket know: its file, and the form of question and answer.

A socket's name begins with its process id. Three pairs of characters follow, which are hashes of
the node's name, its basename and its cluster. So a client that looks for one node does not have to
ask all of them, some of which may be stopped and never answer. If hashes collide, it asks one node
too many.
"""

from __future__ import annotations

import base64
import fcntl
import os
import socket
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
QUESTION = b"status\n"
Answer = Mapping[str, Any]
"""The status of a supervisor; see ``control.describe``."""

_LOCK_S = 1.0  # others hold the lock for moments, unless they are stopped meanwhile
_LOCK_RETRY_S = 0.01


def control_folders() -> Iterator[Path]:
    """Yield the folders for this user's control sockets, the preferred one first.

    A service may have another environment than a shell, so clients look in all of them. A folder is
    worked out only when it is asked for: to find the one for temporary files is to write to it.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isdir(runtime):  # noqa: PTH112 - Path.is_dir may raise
        yield Path(runtime, "cluster-kit")
    with suppress(FileNotFoundError):  # no folder for temporary files is writable
        yield Path(tempfile.gettempdir(), f"cluster-kit-{os.getuid()}")


def new_path(folder: Path, node: str, cluster: str) -> Path:
    """Return a path for the socket of ``node`` in this process."""
    hashes = "".join(map(_hash, (node, node.partition("@")[0], cluster)))
    return folder / f"{os.getpid()}-{hashes}{_hash(os.urandom(4).hex())}{SUFFIX}"


def sockets_in(folder: Path) -> list[Path]:
    """Return the paths in ``folder`` that have the name of a control socket."""
    named = folder.glob(f"*-*{SUFFIX}")
    return sorted(path for path in named if path.name.partition("-")[0].isdecimal())


def pid_of(path: Path) -> int:
    """Return the id of the process that a socket belongs to."""
    return int(path.name.partition("-")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which supervisors a client asks for; by default all.

    Attributes:
        names: Each a node's name, its basename, or a process id; empty for all.
        cluster: Only those of this cluster.
    """

    names: tuple[str, ...] = ()
    cluster: str | None = None

    def may_be(self, path: Path) -> bool:
        """Whether the supervisor with this socket may be one of them, going by the file's name."""
        pid, _, hashes = path.name.partition("-")
        if self.cluster is not None and hashes[4:6] != _hash(self.cluster):
            return False
        node = hashes[:2], hashes[2:4]
        return not self.names or any(name == pid or _hash(name) in node for name in self.names)

    def includes(self, answer: Mapping[str, Any]) -> bool:
        """Whether the supervisor with this answer is one of them."""
        if self.cluster is not None and answer["cluster"] != self.cluster:
            return False
        return not self.names or any(is_called(answer, name) for name in self.names)


ANY = Wanted()


def is_called(answer: Mapping[str, Any], name: str) -> bool:
    """Whether ``name`` is the node, its basename or the process id in this answer."""
    return name in (answer["node"], answer["node"].partition("@")[0], str(answer["pid"]))


def system_text(exc: Exception) -> str:
    """Return the system's words for an error, else its text."""
    return str(getattr(exc, "strerror", None) or exc)


def _hash(text: str) -> str:
    """Return two characters, no more, as the path of a socket may have only 107; unix(7)."""
    return base64.urlsafe_b64encode(zlib.crc32(text.encode()).to_bytes(4, "big")).decode()[:2]


def make_private(folder: Path) -> None:
    """Make ``folder`` if it is missing, and check that only this user can enter it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    check_private(folder)


def check_private(folder: Path) -> None:
    """Raise ``PermissionError`` unless only this user can enter ``folder``."""
    found = folder.lstat()
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not is_ours or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(1, "it is not a folder that only its user can enter")


def sweep(folder: Path) -> None:
    """Remove the sockets of processes that were killed."""
    for path in sockets_in(folder):
        remove_if_dead(path)


def remove_if_dead(path: Path) -> None:
    """Remove a socket unless some process listens to it, or is about to."""
    with suppress(OSError), locked(path.parent, patience_s=0.0) as alone:
        if alone and _refuses(path):
            path.unlink()


def _refuses(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            sock.connect(str(path))
        except OSError as exc:
            return isinstance(exc, ConnectionRefusedError)
        return False


@contextmanager
def locked(folder: Path, patience_s: float = _LOCK_S) -> Iterator[bool]:
    """Hold the lock of ``folder`` inside the block; yield whether it could be taken in time.

    A socket that is bound, but does not listen yet, looks like one that a killed process left. It
    can't be bound under another name first, because cleaners of old files look up its name among
    the kernel's sockets. So no cleaner may look while it is bound. Cleaners take this lock, too.

    Source: tmpfiles.d(5), on sockets and on BSD file locks; flock(2).
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        held = _lock(fd, time.monotonic() + patience_s)
        try:
            yield held
        finally:
            if held:
                fcntl.flock(fd, fcntl.LOCK_UN)  # a forked child may have it open as well
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
        except OSError:  # the file system has no locks
            return False
        else:
            return True
