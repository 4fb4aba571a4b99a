"""The end of a message about a name that doesn't exist: the nearest one that does."""

from __future__ import annotations

from collections.abc import Iterable

_MAX_LISTED = 20


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``: did you mean 'port'?``, else what there is to choose from."""
    import difflib  # only a mistake needs it

    choices = sorted(known)
    nearest = difflib.get_close_matches(word, choices, n=1)
    if nearest:
        return f": did you mean {nearest[0]!r}?"
    if not choices:
        return ": there is none"
    return (
        ": expected one of "
        f"{', '.join(choices[:_MAX_LISTED])}{', ...' if len(choices) > _MAX_LISTED else ''}"
    )
