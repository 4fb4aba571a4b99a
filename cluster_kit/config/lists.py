"""Lists of plain values, which may be one text with commas, as environment variables hold them.

``nodes: ${SEEDS}`` with ``SEEDS="a:4370, b:4370,"`` is a list of two. Blanks around elements and
empty elements are ignored, so an empty variable gives an empty list. Elements of a YAML list are
never split, so they may contain commas.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from cluster_kit.config.document import MisreadNumberError, Piece, amended
from cluster_kit.config.secret import Secret
from cluster_kit.config.values import is_plain
from cluster_kit.errors import ConfigError

_CURE = "separate them by commas, without brackets or quotes"
_FOREIGN = re.compile(r"""[]["';\s]""")  # separators and brackets of other notations
_IPV6_HOST = re.compile(r"\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?:%[^][\s]*)?\](?=:)")


def read_list(piece: Piece, kind: Any) -> list[Piece]:
    """Return the elements of a list whose elements are of type ``kind``.

    Raises:
        ConfigError: It is neither a list nor text that can be one.
    """
    if not is_separable(kind):
        return piece.items()
    text = _text_of(piece, kind)
    if text is not None:
        piece = piece.replaced(text)
    if isinstance(piece.value, str):
        return piece.replaced([_element(text, kind) for text in _split(piece.value)]).items()
    if isinstance(piece.value, int | float) and not _is_text(kind):
        return piece.replaced([piece.value]).items()  # a variable with a single number
    return piece.items()


def with_separators_named(piece: Piece, errors: Iterable[ConfigError]) -> list[ConfigError]:
    """Return ``errors``, naming the cure for a text whose elements aren't separated by commas.

    Such a text causes many errors, of which only the first is kept.
    """
    elements = _split(piece.raw) if isinstance(piece.raw, str) else []
    suspects = [index for index, text in enumerate(elements) if _is_misseparated(text)]
    paths = {(*piece.path, index) for index in suspects}
    kept = []
    is_named = False
    for error in errors:
        if error.fault.where not in paths:
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


def _text_of(piece: Piece, kind: Any) -> str | None:
    """Return the text of a scalar that YAML resolved to something else."""
    place = piece.place
    if place is None or place.expanded is None or isinstance(piece.raw, str):
        return None
    if piece.raw is None:  # a variable that is blank or says null; a bare key is not a list
        return place.expanded if "${" in (place.text or "") else None
    is_number = isinstance(piece.raw, MisreadNumberError | int | float)
    return place.expanded if is_number and _is_text(kind) else None


def _is_text(kind: Any) -> bool:
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind in (str, Path, Secret) or any(isinstance(each, str) for each in get_args(kind))


def _element(text: str, kind: Any) -> Any:
    """Return an element as YAML would read it by itself: a number, a boolean or text."""
    if _is_text(kind):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) else text
