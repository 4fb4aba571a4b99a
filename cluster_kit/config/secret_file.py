"""A file of secrets: one on each line, the first of which is used, and the others accepted besides.

So one file takes a cluster from an old secret to a new one: ``old`` and ``new``, then ``new`` and ``old``, then ``new``. What
is no text has no lines, so a secret of arbitrary bytes is alone in its file.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cluster_kit.config.secret import Secret
from cluster_kit.errors import ConfigError

MAX_BYTES = 8192  # of the file; a secret has some dozens
MAX_SECRETS = 8  # each takes a tenth of a second to stretch

_BY_GROUP_OR_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file as it was when it was read.

    Attributes:
        path: Absolute, links not followed.
        secrets: What it holds, at least one.
        exposed: Whether others than its owner and group can read it.
    """

    path: Path
    secrets: tuple[Secret, ...]
    exposed: bool = field(default=False, compare=False)


def read_secret_file(path: Path) -> SecretFile:
    """Read the secrets in a file.

    Raises:
        ConfigError: There are none, or others could put theirs in their place; no message shows any of the content.
    """
    try:
        path = path.absolute()
        content, mode = _read(path)
        _check_folders(path)
    except (OSError, ValueError) as exc:
        if isinstance(exc, ConfigError):
            raise
        raise _unreadable(path, exc) from None
    return SecretFile(path, _secrets_in(path, content), exposed=bool(mode & stat.S_IROTH))


def _read(path: Path) -> tuple[bytes, int]:
    """Return content and mode of the file; what is no file, such as a pipe without a writer, doesn't hold us up."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(fd).st_mode
        _check_mode(path, mode)
        content = os.read(fd, MAX_BYTES + 1)
    finally:
        os.close(fd)
    if len(content) > MAX_BYTES:
        raise _error(path, f"it has more than {MAX_BYTES} bytes", "write one secret on each line, and nothing else")
    return content, mode


def _check_mode(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise _error(path, "it is a folder", "name the file in it")
    if not stat.S_ISREG(mode):
        raise _error(path, "it is no regular file", "write the secret to one")
    if mode & _BY_GROUP_OR_OTHERS:
        who = "everybody" if mode & stat.S_IWOTH else "its group"
        why = f"{who} can write it (mode {stat.S_IMODE(mode):04o}), and so choose the secret"
        raise _error(path, why, f"chmod go-w '{path}'")


def _check_folders(path: Path) -> None:
    """Check the folders of the file and of the link to it: who can write there can put another in its place."""
    for folder in dict.fromkeys((path.parent, Path(os.path.realpath(path)).parent)):
        mode = folder.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            why = f"everybody can write to its folder '{folder}' (mode {stat.S_IMODE(mode):04o}), and so replace it"
            raise _error(path, why, f"chmod o-w '{folder}'")


def _secrets_in(path: Path, content: bytes) -> tuple[Secret, ...]:
    lines = [line for each in content.split(b"\n") if (line := each.removesuffix(b"\r")).strip()]
    if not lines:
        raise _error(path, "it is empty", "write a secret to it, as 'cluster-kit secret' prints one")
    if len(lines) > MAX_SECRETS:
        raise _error(path, f"it has more than {MAX_SECRETS} lines, each a secret", "remove those that nobody uses any more")
    if len(lines) > 1 and not all(map(_is_text, lines)):
        why = "it has a newline amid bytes that are no text, and a newline ends a secret"
        raise _error(path, why, "write text, as 'cluster-kit secret' prints it")
    return tuple(dict.fromkeys(Secret(line.decode(errors="surrogateescape")) for line in lines))


def _is_text(line: bytes) -> bool:
    try:
        return line.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _unreadable(path: Path, exc: OSError | ValueError) -> ConfigError:
    number = exc.errno if isinstance(exc, OSError) else None
    if number in (errno.ENOENT, errno.ENOTDIR):
        return _error(path, "there is no such file", f"make one: cluster-kit secret --output '{path}'")
    if number in (errno.EACCES, errno.EPERM):
        cure = "give it to that user, or to a group of his; in Kubernetes, by fsGroup"
        return _error(path, f"no permission for user {os.geteuid()}, under whom this runs", cure)
    return _error(path, str(getattr(exc, "strerror", None) or exc).lower(), "name a file that can be read")


def _error(path: Path, why: str, cure: str) -> ConfigError:
    return ConfigError(f"cannot use '{str(path)[:200]}': {why}; {cure}")
