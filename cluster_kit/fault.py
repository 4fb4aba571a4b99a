"""What is wrong with a configuration or a source of nodes, as a value.

The code that finds a fault says where it is, what it is, and how to cure it. On its way to the user
a fault only gains a place: nothing on that way parses its text. ``ConfigError`` carries the faults
of a configuration, and ``cluster_kit.config.document`` knows their lines in a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

KeyPath = tuple[str | int, ...]
"""Keys and list indexes that lead to a value, such as ``("nodes", 2)``."""

_PLAIN_KEY = re.compile(r"[\w-]{1,64}")
_MAX_LISTED = 20


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong; each text is one line.

    Attributes:
        where: Leads from the options that were checked to the one at fault; empty for all of them.
        what: What is wrong, with the offending value.
        cure: What to do about it; empty if ``what`` implies it, or it is unknown.
        missing: Whether a required value is absent.
        place: Outside a configuration, the place in words: an interface, a line, a failed action.
    """

    where: KeyPath
    what: str
    cure: str = ""
    missing: bool = False
    place: str = ""

    @property
    def reason(self) -> str:
        """What is wrong, and what to do about it."""
        return f"{self.what}; {self.cure}" if self.cure else self.what

    def under(self, path: KeyPath) -> Fault:
        """Return the fault as seen from ``path`` above."""
        return replace(self, where=(*path, *self.where))

    def __str__(self) -> str:
        place = self.place or format_path(self.where)
        return f"{place}: {self.reason}" if place else self.reason


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


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``: did you mean 'port'?``, or the known names if none is close to ``word``."""
    import difflib  # only a mistake needs it

    choices = sorted(known)
    if nearest := difflib.get_close_matches(word, choices, n=1):
        return f": did you mean {nearest[0]!r}?"
    if not choices:
        return ": there is none"
    more = ", ..." if len(choices) > _MAX_LISTED else ""
    return f": expected one of {', '.join(choices[:_MAX_LISTED])}{more}"
