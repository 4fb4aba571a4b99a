"""``${NAME}`` and its forms with defaults, as in a POSIX shell; ``$${`` is a plain ``${``.

The value of a variable is inserted as it is: it is neither expanded again nor parsed as YAML. A
``${`` in any other form is an error rather than text, so that a misspelt reference never runs.

Source: POSIX.1-2024, Shell Command Language, 2.6.2 "Parameter Expansion".
Differs: no assignment, lengths, patterns or quotes; an unset variable needs a default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MAX_DEPTH = 16  # more than anybody writes, and far from the interpreter's recursion limit

_TOKEN = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(:?[-?+]|\}))?|\}")
_MALFORMED = (
    "malformed '${': expected ${NAME}, ${NAME:-default}, ${NAME:?message} or ${NAME:+text}, "
    "the last three also without the colon; write $${ for a plain ${"
)


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Return ``text`` with its references replaced.

    ``-`` gives a default, ``?`` an error message, and ``+`` a text that replaces the value of a
    variable that is set; after a colon, an empty variable counts as unset. Defaults, messages and
    texts may contain references, whose variables must be set only if they are used.

    Raises:
        ValueError: A variable without a default is not set, or a ``${`` is malformed.
    """
    return _Expander(text, environ).expand(used=True)


class _Expander:
    """Expands one text, from left to right."""

    def __init__(self, text: str, environ: Mapping[str, str]) -> None:
        self._text = text
        self._environ = environ
        self._at = 0

    def expand(self, *, used: bool, depth: int = 0) -> str:
        """Expand from here to the end of the text, or of the reference around it.

        Args:
            used: Whether the result is used; otherwise the text is only checked.
            depth: The number of references around it.
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
        inner = self.expand(used=used and is_set == operator.endswith("+"), depth=depth + 1)
        if operator.endswith("?") and used and not is_set:
            message = " ".join(inner.split()) or "is not set"
            raise ValueError(f"environment variable {name!r}: {message}")
        if operator.endswith("+"):
            return inner if is_set else ""
        return (value or "") if is_set else inner
