"""Reads the files that a node's trust rests on, and refuses those that others can write."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cluster_kit.errors import ConfigError
from cluster_kit.fault import Fault

_BY_GROUP_OR_OTHERS = stat.S_IWGRP | stat.S_IWOTH

Identity = tuple[int, ...]
"""Differs between two files, and between two states of one file."""


@dataclass(frozen=True, slots=True)
class GuardedFile:
    """A file as it was when it was read.

    Attributes:
        path: Absolute; symlinks aren't resolved.
        content: The whole content.
        mode: Its permissions and type.
        identity: The identity of the file that ``path`` led to.
    """

    path: Path
    content: bytes = field(repr=False)
    mode: int
    identity: Identity

    @property
    def is_exposed(self) -> bool:
        """Whether users other than its owner and group can read it."""
        return bool(self.mode & stat.S_IROTH)

    def check_writers(self, harm: str) -> None:
        """Raise ``ConfigError`` if group or others can write the file, which lets them ``harm``."""
        if self.mode & _BY_GROUP_OR_OTHERS:
            who = "everybody" if self.mode & stat.S_IWOTH else "its group"
            why = f"{who} can write it (mode {stat.S_IMODE(self.mode):04o}), and so {harm}"
            raise UnusableFileError(self.path, why, f"chmod go-w '{self.path}'")


def read_guarded(path: Path, limit: int, *, what: str, missing: str, large: str) -> GuardedFile:
    """Read a file, without blocking on a pipe or device.

    Args:
        path: Its path.
        limit: The most bytes that it may have.
        what: What it should contain, for messages.
        missing: The cure if there is no such file; ``{path}`` in it is replaced.
        large: The cure if it is larger.

    Raises:
        ConfigError: It can't be read, or others can replace it; no message shows its content.
    """
    try:
        path = path.absolute()
        file = _read(path, limit, what, large)
        _check_folders(path)
    except (OSError, ValueError) as exc:
        if isinstance(exc, ConfigError):
            raise
        raise _unreadable(path, exc, missing) from None
    return file


def identity_of(path: Path) -> Identity | None:
    """Return the identity of the file that ``path`` leads to now; ``None`` if that is unknown."""
    try:
        return _identity(path.stat())
    except OSError:
        return None


class UnusableFileError(ConfigError):
    """A file can't be used.

    Attributes:
        culprit: Its path.
    """

    def __init__(self, path: Path, why: str, cure: str) -> None:
        super().__init__(Fault((), f"cannot use '{str(path)[:200]}': {why}", cure))
        self.culprit = path


def _read(path: Path, limit: int, what: str, large: str) -> GuardedFile:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if stat.S_ISDIR(found.st_mode):
            raise UnusableFileError(path, "it is a folder", "name the file in it")
        if not stat.S_ISREG(found.st_mode):
            raise UnusableFileError(path, "it is not a regular file", f"write {what} to one")
        content = os.read(fd, limit + 1)
    finally:
        os.close(fd)
    if len(content) > limit:
        raise UnusableFileError(path, f"it has more than {limit} bytes", large)
    return GuardedFile(path, content, found.st_mode, _identity(found))


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _check_folders(path: Path) -> None:
    """Check the folders of the file and of a symlink to it: a writable one lets it be replaced."""
    for folder in dict.fromkeys((path.parent, Path(os.path.realpath(path)).parent)):
        mode = folder.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            why = f"everybody can write to its folder '{folder}' (mode {stat.S_IMODE(mode):04o})"
            raise UnusableFileError(path, f"{why} and replace it", f"chmod o-w '{folder}'")


def _unreadable(path: Path, exc: OSError | ValueError, missing: str) -> ConfigError:
    number = exc.errno if isinstance(exc, OSError) else None
    if number in (errno.ENOENT, errno.ENOTDIR):
        return UnusableFileError(path, "there is no such file", missing.format(path=path))
    if number in (errno.EACCES, errno.EPERM):
        why = f"user {os.geteuid()} has no permission to read it"
        cure = "let that user or its group read it; in Kubernetes, set fsGroup"
        return UnusableFileError(path, why, cure)
    why = str(getattr(exc, "strerror", None) or exc).lower()
    return UnusableFileError(path, why, "name a readable file")
