"""``${NAME}`` and ``${NAME:-default}`` in the text of a configuration, as a shell would read them; ``$${`` is a plain ``${``.

What a variable holds is put in as it is: it is neither expanded again nor read as YAML structure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:\$(?=\{)|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\{)")


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Return ``text`` with its references replaced; the default also stands in for an empty variable.

    Raises:
        ValueError: A variable without a default is not set, or a ``${`` is malformed.
    """

    def replacement(match: re.Match[str]) -> str:
        name, default = match.groups()
        if match[0] == "$$":
            return "$"
        if name is None:
            raise ValueError("malformed '${': expected ${NAME} or ${NAME:-default}; write $${ for a plain ${")
        if default is not None:
            return environ.get(name) or default
        if name not in environ:
            raise ValueError(f"environment variable {name!r} is not set: set it, or write ${{{name}:-default}}")
        return environ[name]

    return _REFERENCE.sub(replacement, text)
