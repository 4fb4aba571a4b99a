"""The folder of an authority and its certificates, which changes as a whole or not at all.

New files are written to a staging folder within it, and moved to their places when all are there.
"""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from cluster_kit.cli.failure import Failure

AUTHORITY, AUTHORITY_KEY = "ca.crt", "ca.key"
CERTIFICATE, KEY = "tls.crt", "tls.key"  # as cert-manager names them, together with ca.crt

_MAX_BYTES = 1 << 20  # far more than a bundle of authorities has
_PUBLIC, _PRIVATE = 0o644, 0o600


class AuthorityFolder:
    """The locked folder, with the changes to be made in it.

    Attributes:
        path: Its path, as it was given.
    """

    def __init__(self, path: Path, stage: Path) -> None:
        self.path = path
        self._stage = stage
        self._moves: list[tuple[Path, Path]] = []

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[Self]:
        """Yield the folder, which is made if needed, and removed again if it stays empty.

        Raises:
            Failure: Everybody can write to it, or another process is changing it.
            OSError: It can't be made or written to.
        """
        is_new = _make(path)
        try:
            with _locked(path), tempfile.TemporaryDirectory(prefix=".new-", dir=path) as stage:
                yield cls(path, Path(stage))
        finally:
            if is_new:
                with suppress(OSError):  # it has content
                    path.rmdir()

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; ``None`` if there is no such file.

        Raises:
            Failure: It can't be read.
        """
        path = self.path / name
        try:
            with path.open("rb") as stream:
                content = stream.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as exc:
            why = (exc.strerror or str(exc)).lower()
            raise Failure(f"certs: cannot read '{path}': {why}") from None
        if len(content) > _MAX_BYTES:
            raise Failure(f"certs: cannot use '{path}': it has more than {_MAX_BYTES} bytes")
        return content

    def machines(self) -> list[str]:
        """Return the names of the folders that have a certificate."""
        return sorted(each.parent.name for each in self.path.glob(f"*/{CERTIFICATE}"))

    def put(self, name: str, content: bytes, *, is_private: bool = False) -> None:
        """Add or replace a file."""
        _write(self._stage / name, content, _PRIVATE if is_private else _PUBLIC)
        self._moves.append((self._stage / name, self.path / name))

    def put_machine(self, name: str, contents: Mapping[str, bytes]) -> None:
        """Add the folder of a machine, or replace its files in the order of ``contents``.

        A node that reads the folder meanwhile may see the new key beside the old certificate for a
        moment, but never an incomplete file.
        """
        staged, target = self._stage / name, self.path / name
        staged.mkdir(mode=0o700)
        for file, content in contents.items():
            _write(staged / file, content, _PRIVATE if file == KEY else _PUBLIC)
        _sync(staged)
        if target.is_dir():
            self._moves += [(staged / file, target / file) for file in contents]
        else:
            self._moves.append((staged, target))

    def commit(self) -> None:
        """Make all changes in order, with Ctrl-C blocked meanwhile."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for source, target in self._moves:
                source.rename(target)
            for folder in dict.fromkeys(target.parent for _, target in self._moves):
                _sync(folder)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _make(path: Path) -> bool:
    """Make the folder; return whether it is new."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return False
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_mode & stat.S_IWOTH:
            why = "everybody can write to it, and so plant an authority"
            raise Failure(f"certs: cannot use '{path}': {why}; name a folder of your own")
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy = f"certs: another 'cluster-kit certs' is writing to '{path}'"
            raise Failure(f"{busy}: wait until it has ended") from None
        except OSError:
            pass  # a file system without locks on folders, such as NFS
        yield
    finally:
        os.close(fd)


def _write(path: Path, content: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(fd)


def _sync(folder: Path) -> None:
    """Flush the entries of a folder to disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
