"""What is wrong with a configuration, as a value.

Whoever finds a fault says where it is, what it is, and what to do about it. On its way to the user
it only gains a place, so nothing on that way reads its text: ``ConfigError`` carries it, and
``cluster_kit.config.document`` knows in which line of a file it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

KeyPath = tuple[str | int, ...]
"""Keys and list indexes that lead to a value, such as ``("nodes", 2)``."""

_PLAIN_KEY = re.compile(r"[\w-]{1,64}")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a configuration, from where it is found to where it is shown.

    Attributes:
        where: Leads from the options that were checked to the one at fault; empty for all of them.
        what: What is wrong, with the offending value.
        cure: What to do about it; empty where ``what`` implies it.
        missing: Whether something isn't given.
    """

    where: KeyPath
    what: str
    cure: str = ""
    missing: bool = False

    def under(self, path: KeyPath) -> Fault:
        """Return the fault as it is seen from ``path`` above."""
        return replace(self, where=(*path, *self.where))

    def __str__(self) -> str:
        text = f"{self.what}; {self.cure}" if self.cure else self.what
        return f"{format_path(self.where)}: {text}" if self.where else text


def format_path(path: KeyPath) -> str:
    """Return ``topologies.lan.strategy[0].port``; a key that isn't a plain word is quoted."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif _PLAIN_KEY.fullmatch(key):
            text += f".{key}" if text else key
        else:
            text += f"[{key[:64]!r}]"
    return text
