"""Reads a file that others write, replace and remove at any time.

Reading blocks for as long as the file system takes, so it belongs in a thread.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from cluster_kit.errors import cause_of
from cluster_kit.strategies.hosts_file.parser import FileFault

MAX_BYTES = 2**20  # some 20 000 nodes
GRANULE_S = 2.0  # of FAT, whose times of change are the coarsest of all file systems in use

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


class FileReader:
    """Reads again only what may have changed since it was last read."""

    def __init__(self, path: Path, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic_s = monotonic_s
        self._stamp: Stamp | None = None
        self._since_s = 0.0
        self._settled = False

    def read(self) -> bytes | FileFault | None:
        """Return the content, or why it can't be read; ``None`` if it is certainly unchanged."""
        content: bytes | FileFault | None
        try:
            content = self._read()
        except OSError as exc:
            cure = _CURES.get(exc.errno or 0, _CORRECT)
            content = FileFault(f"cannot be read: {cause_of(exc)}", cure)
        if isinstance(content, FileFault):
            self._stamp = None
        return content

    def _read(self) -> bytes | FileFault | None:
        """Follow symlinks and open the file each time: NFS may answer a mere stat from a cache."""
        refusal = _refusal(self._path.stat())  # opening a pipe or a device has side effects
        if refusal is not None:
            return refusal
        # without blocking: it may be a pipe by now
        fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            now_s = self._monotonic_s()
            found = os.fstat(fd)
            refusal = _refusal(found)
            if refusal is not None:
                return refusal
            if self._is_unchanged(_stamp(found), now_s):
                return None
            return _content(fd)
        finally:
            os.close(fd)

    def _is_unchanged(self, stamp: Stamp, now_s: float) -> bool:
        """Trust the stamp once it is so old that no other change can have the same one."""
        if stamp != self._stamp:
            self._stamp, self._since_s, self._settled = stamp, now_s, False
        elif self._settled:
            return True
        self._settled = now_s - self._since_s > GRANULE_S
        return False


def _stamp(found: os.stat_result) -> Stamp:
    """Return what an edit changes; ctime can't be set back, as mtime can."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _refusal(found: os.stat_result) -> FileFault | None:
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFREG:
        return None
    return FileFault(f"is {_KINDS.get(kind, 'a device')}: expected a file", _CORRECT)


def _content(fd: int) -> bytes | FileFault:
    content = b""
    while len(content) <= MAX_BYTES:
        chunk = os.read(fd, MAX_BYTES + 1 - len(content))
        if not chunk:
            return content
        content += chunk
    cure = "is it the right file? If so, split the cluster into several topologies"
    return FileFault(f"has more than {MAX_BYTES} bytes", cure)


def place_of(path: Path) -> str:
    """Return the name of the file in messages: its absolute path, printable."""
    try:
        place = str(path.absolute())
    except OSError:  # the current directory is gone
        place = str(path)
    return place if place.isprintable() else repr(place)
