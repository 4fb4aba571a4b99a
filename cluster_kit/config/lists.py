"""Lists of plain values, which may be one text with commas, as environment variables hold them.

``nodes: ${SEEDS}`` with ``SEEDS="a:4370, b:4370,"`` is a list of two. Blanks around an element and
empty elements don't count, so an empty variable gives an empty list. An element of a list proper is
never split, which is how an element that contains a comma is given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from cluster_kit.config.document import MisreadNumberError, Part, amended
from cluster_kit.config.secret import Secret
from cluster_kit.config.values import is_plain
from cluster_kit.errors import ConfigError

_CURE = "separate them by commas, without brackets or quotes"
# what separates or surrounds elements in other notations of a list
_FOREIGN = re.compile(r"""[]["';\s]""")
_IPV6_HOST = re.compile(r"\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?:%[^][\s]*)?\](?=:)")


def read_list(part: Part, kind: Any) -> list[Part]:
    """Return the elements of a list whose elements are of type ``kind``.

    Raises:
        ConfigError: It is neither a list nor a text that can be one.
    """
    if not is_separable(kind):
        return part.items()
    text = _text_of(part, kind)
    if text is not None:
        part = part.replaced(text)
    if isinstance(part.value, str):
        return part.replaced([_element(text, kind) for text in _split(part.value)]).items()
    if isinstance(part.value, int | float) and not _is_text(kind):
        # what YAML makes of a variable that holds a single number
        return part.replaced([part.value]).items()
    return part.items()


def with_separators_named(part: Part, errors: Iterable[ConfigError]) -> list[ConfigError]:
    """Return ``errors``, with the cure for elements of the list ``part`` whose commas are missing.

    Such a text makes many faults of one cause, so only the first of them is kept.
    """
    elements = _split(part.raw) if isinstance(part.raw, str) else []
    misread = {(*part.path, index) for index, text in enumerate(elements) if _is_misseparated(text)}
    kept = []
    is_named = False
    for error in errors:
        if error.fault.where not in misread:
            kept.append(error)
        elif not is_named:
            is_named = True
            kept.append(amended(error, cure=_CURE))
    return kept


def _split(text: str) -> list[str]:
    return [element for each in text.split(",") if (element := each.strip())]


def _is_misseparated(element: str) -> bool:
    return _FOREIGN.search(_IPV6_HOST.sub("", element)) is not None


def is_separable(kind: Any) -> bool:
    """Whether a list with elements of type ``kind`` can be given as text with commas."""
    return kind in (Path, Secret) or is_plain(kind)


def _text_of(part: Part, kind: Any) -> str | None:
    """Return the text of a scalar that YAML took for something else."""
    place = part.place
    if place is None or place.expanded is None or isinstance(part.raw, str):
        return None
    if part.raw is None:  # a blank variable, or one that says null; nothing at all is no list
        return place.expanded if "${" in (place.text or "") else None
    is_misread = isinstance(part.raw, MisreadNumberError)
    return (
        place.expanded
        if _is_text(kind) and (is_misread or isinstance(part.raw, int | float))
        else None
    )


def _is_text(kind: Any) -> bool:
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind in (str, Path, Secret) or any(isinstance(each, str) for each in get_args(kind))


def _element(text: str, kind: Any) -> Any:
    """Return an element as YAML would read it alone: a number, a switch or text."""
    if _is_text(kind):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) else text
