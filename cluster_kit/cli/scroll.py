"""Which part of a long text a small terminal shows, and how keys move it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

Move = Literal["up", "down", "page up", "page down", "top", "bottom", "quit"]

_KEYS: Mapping[str, Move] = MappingProxyType(
    {
        "\x1b[A": "up",
        "\x1bOA": "up",
        "k": "up",
        "\x1b[B": "down",
        "\x1bOB": "down",
        "j": "down",
        "\n": "down",
        "\r": "down",
        "\x1b[5~": "page up",
        "b": "page up",
        "\x1b[6~": "page down",
        " ": "page down",
        "\x1b[H": "top",
        "\x1bOH": "top",
        "\x1b[1~": "top",
        "g": "top",
        "\x1b[F": "bottom",
        "\x1bOF": "bottom",
        "\x1b[4~": "bottom",
        "G": "bottom",
        "q": "quit",
        "Q": "quit",
    }
)
_KEY = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]|.", re.DOTALL)


def moves(typed: str) -> list[Move]:
    """Return what the keys mean that were typed, as terminals send them; others mean nothing.

    Source: ECMA-48, 5.4, for the form of control sequences; xterm, "PC-Style Function Keys", for which is which.
    """
    return [_KEYS[key] for key in _KEY.findall(typed) if key in _KEYS]


class Scroll:
    """A window onto lines: it stays where it is when they change, as far as there are so many."""

    def __init__(self) -> None:
        self._top = 0
        self._height = 1

    def move(self, move: Move) -> None:
        """Move the window; ``window`` sees to it that it stays within the lines."""
        page = max(1, self._height - 1)
        steps: Mapping[Move, Callable[[int], int]] = {
            "up": lambda top: top - 1,
            "down": lambda top: top + 1,
            "page up": lambda top: top - page,
            "page down": lambda top: top + page,
            "top": lambda _: 0,
            "bottom": lambda _: _FAR,
        }
        if move in steps:
            self._top = max(0, steps[move](self._top))

    def window(self, head: Sequence[str], body: Sequence[str], width: int, height: int) -> list[str]:
        """Return at most ``height`` lines of at most ``width`` characters: ``head``, then what is to be seen of ``body``."""
        head = head[: max(0, height - 2)]
        room = max(1, height - len(head))
        if len(body) <= room:
            self._top, self._height = 0, room
            return [line[:width] for line in (*head, *body)][:height]
        self._height = max(1, room - 1)  # one line for the position
        self._top = min(self._top, len(body) - self._height)
        shown = body[self._top : self._top + self._height]
        where = f"-- {self._top + 1} to {self._top + len(shown)} of {len(body)} lines: arrows, PgUp, PgDn; q ends --"
        return [line[:width] for line in (*head, *shown, where)][:height]


_FAR = 10**9
