"""Reads a file that others write, replace and remove at any time.

Blocks, for as long as the file's system takes: to be called in a thread.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

from cluster_kit.strategies.hosts_file.parser import Fault

MAX_BYTES = 2**20  # some 20 000 nodes
GRANULE_S = 2.0  # FAT's; of all file systems in use its times of change are the coarsest

_CORRECT = "correct path"
_CURES = {
    errno.ENOENT: "write the file, or correct path",
    errno.ENOTDIR: "write the file, or correct path",
    errno.EACCES: "let the user of this process read it and enter its folders",
    errno.EPERM: "let the user of this process read it and enter its folders",
    errno.EMFILE: "raise the limit of open files of this process (ulimit -n)",
    errno.ESTALE: "its file system was exported anew; mount it again",
    errno.EIO: "look at the disk, or at the file server",
}
_KINDS = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}

Stamp = tuple[int, ...]


class Reader:
    """Reads again only what may have changed since it was last read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: Stamp | None = None
        self._since_s = 0.0
        self._settled = False

    def read(self) -> bytes | Fault | None:
        """Return what the file holds, or why that can't be had; ``None`` if it is surely what it was the last time."""
        content: bytes | Fault | None
        try:
            content = self._read()
        except OSError as exc:
            cure = _CURES.get(exc.errno or 0, _CORRECT)
            content = Fault(f"cannot be read: {(exc.strerror or str(exc)).lower()}", cure)
        if isinstance(content, Fault):
            self._stamp = None
        return content

    def _read(self) -> bytes | Fault | None:
        """Follow symlinks anew and open the file each time: to ask for its state alone may be answered from a cache (NFS)."""
        refusal = _refusal(
            self._path.stat()
        )  # before it is opened, which does something to a pipe or a device
        if refusal is not None:
            return refusal
        fd = os.open(
            self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        )  # it may be a pipe by now
        try:
            now_s = time.monotonic()
            found = os.fstat(fd)
            refusal = _refusal(found)
            if refusal is not None:
                return refusal
            if self._is_as_it_was(_stamp(found), now_s):
                return None
            return _content(fd)
        finally:
            os.close(fd)

    def _is_as_it_was(self, stamp: Stamp, now_s: float) -> bool:
        """Judge by the stamp, once it is so old that another change can't have the same one any more."""
        if stamp != self._stamp:
            self._stamp, self._since_s, self._settled = stamp, now_s, False
        elif self._settled:
            return True
        self._settled = now_s - self._since_s > GRANULE_S
        return False


def _stamp(found: os.stat_result) -> Stamp:
    """Return what an edit changes; the time of the last change can't be set back, as that of modification can."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _refusal(found: os.stat_result) -> Fault | None:
    kind = stat.S_IFMT(found.st_mode)
    return (
        None
        if kind == stat.S_IFREG
        else Fault(f"is {_KINDS.get(kind, 'a device')}: expected a file", _CORRECT)
    )


def _content(fd: int) -> bytes | Fault:
    content = b""
    while len(content) <= MAX_BYTES:
        chunk = os.read(fd, MAX_BYTES + 1 - len(content))
        if not chunk:
            return content
        content += chunk
    return Fault(
        f"has more than {MAX_BYTES} bytes",
        "is it the right file? If so, split the cluster into several topologies",
    )


def place_of(path: Path) -> str:
    """Return what messages call the file: its absolute path, in a form that can be printed."""
    try:
        place = str(path.absolute())
    except OSError:  # the current directory is gone
        place = str(path)
    return place if place.isprintable() else repr(place)
