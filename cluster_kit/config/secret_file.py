"""A file of secrets, one on each line: the first is used, the others are also accepted.

Edits of the file take a cluster from an old secret to a new one: ``old`` and ``new``, then ``new``
and ``old``, then ``new``. A binary secret has no lines, so it must be alone in its file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cluster_kit.config.guarded_file import UnusableFileError, read_guarded
from cluster_kit.config.secret import Secret

MAX_BYTES = 8192  # of the file; a secret has a few dozen
MAX_SECRETS = 8  # each takes a tenth of a second to stretch


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A secret file as it was when it was read.

    Attributes:
        path: Absolute; symlinks aren't resolved.
        secrets: Its secrets, at least one.
        exposed: Whether users other than its owner and group can read it.
    """

    path: Path
    secrets: tuple[Secret, ...]
    exposed: bool = field(default=False, compare=False)


def read_secret_file(path: Path) -> SecretFile:
    """Read the secrets in a file.

    Raises:
        ConfigError: There are none, or others can replace them; no message shows the content.
    """
    file = read_guarded(
        path,
        MAX_BYTES,
        what="the secret",
        missing="make one: cluster-kit secret --output '{path}'",
        large="write one secret on each line, and nothing else",
    )
    file.check_writers("choose the secret")
    return SecretFile(file.path, _secrets_in(file.path, file.content), exposed=file.is_exposed)


def _secrets_in(path: Path, content: bytes) -> tuple[Secret, ...]:
    lines = [line for each in content.split(b"\n") if (line := each.removesuffix(b"\r")).strip()]
    if not lines:
        raise UnusableFileError(path, "it is empty", "write the output of 'cluster-kit secret'")
    if len(lines) > MAX_SECRETS:
        why = f"it has more than {MAX_SECRETS} lines, each a secret"
        raise UnusableFileError(path, why, "remove those that nobody uses")
    if len(lines) > 1 and not all(map(_is_text, lines)):
        why = "it is binary and has a newline, which ends a secret"
        raise UnusableFileError(path, why, "write the output of 'cluster-kit secret'")
    return tuple(dict.fromkeys(Secret(line.decode(errors="surrogateescape")) for line in lines))


def _is_text(line: bytes) -> bool:
    try:
        return line.decode().isprintable()
    except UnicodeDecodeError:
        return False
