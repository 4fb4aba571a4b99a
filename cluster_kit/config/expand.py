"""``${NAME}`` and its forms with defaults, as in a POSIX shell; ``$${`` is a plain ``${``.

What a variable holds is inserted as it is: it is neither expanded again nor read as YAML structure.
A ``${`` in any other form is an error, never text: a configuration that is not understood must not
run.

Source: POSIX.1-2024, Shell Command Language, 2.6.2 "Parameter Expansion".
Differs: no assignment, lengths, patterns or quotes; an unset variable without a default is an
error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MAX_DEPTH = 16  # more than anybody reads, and far from the interpreter's own bound

_TOKEN = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(:?[-?+]|\}))?|\}")
_MALFORMED = (
    "malformed '${': expected ${NAME}, ${NAME:-default}, ${NAME:?message} or ${NAME:+text}, "
    "the last three also without the colon; write $${ for a plain ${"
)


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Return ``text`` with its references replaced.

    ``-`` gives a default, ``?`` the message of an error, and ``+`` a text that replaces the value
    of a variable that is set; with a colon in front, an empty variable counts as unset. Defaults,
    messages and texts may hold references themselves, which count only where they are used.

    Raises:
        ValueError: A variable without a default is not set, or a ``${`` is malformed.
    """
    return _Reader(text, environ).read(used=True)


class _Reader:
    """Reads one text from left to right."""

    def __init__(self, text: str, environ: Mapping[str, str]) -> None:
        self._text = text
        self._environ = environ
        self._at = 0

    def read(self, *, used: bool, depth: int = 0) -> str:
        """Return what stands from here to the end of the text, or of the reference around it.

        Args:
            used: Whether anybody uses it; otherwise it is only checked.
            depth: How many references it is in.
        """
        pieces = []
        plain_braces = 0
        while match := _TOKEN.search(self._text, self._at):
            pieces.append(self._text[self._at : match.start()])
            self._at = match.end()
            if match[0] == "$${":
                pieces.append("${")
                plain_braces += 1
            elif match[0] != "}":
                pieces.append(self._reference(match, used=used, depth=depth))
            elif depth and not plain_braces:
                return "".join(pieces)
            else:
                pieces.append("}")
                plain_braces -= plain_braces > 0
        if depth:
            raise ValueError("malformed '${': its '}' is missing")
        return "".join([*pieces, self._text[self._at :]])

    def _reference(self, match: re.Match[str], *, used: bool, depth: int) -> str:
        name, operator = match.groups()
        if name is None:
            raise ValueError(_MALFORMED)
        if depth == MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} references within each other")
        value = self._environ.get(name)
        if operator == "}":
            if value is None and used:
                cure = f"set it, or write ${{{name}:-default}}"
                raise ValueError(f"environment variable {name!r} is not set: {cure}")
            return value or ""
        is_set = bool(value) if operator.startswith(":") else value is not None
        inner = self.read(used=used and is_set == operator.endswith("+"), depth=depth + 1)
        if operator.endswith("?") and used and not is_set:
            message = " ".join(inner.split()) or "is not set"
            raise ValueError(f"environment variable {name!r}: {message}")
        if operator.endswith("+"):
            return inner if is_set else ""
        return (value or "") if is_set else inner
