"""Shows lines on a terminal and reads keys; restores the terminal at the end.

Source: ECMA-48, 5.4, for the form of control sequences; xterm, "PC-Style Function Keys".
"""

from __future__ import annotations

import os
import re
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Literal

from cluster_kit.cli.streams import STDIN, STDOUT

# xterm's private modes: the alternate screen, the cursor, and the wrapping of long lines
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _END_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"
_READ_BYTES = 1024
_USUAL_SIZE = (80, 24)  # for a terminal that does not know its size
_BOTTOM = 10**9


class Screen:
    """Shows lines on standard output, and reads keys from standard input, if that is a terminal."""

    def __init__(self) -> None:
        self.has_keys = sys.stdin is not None and sys.stdin.isatty()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, as they are now."""
        columns, lines = os.get_terminal_size(STDOUT)
        return columns or _USUAL_SIZE[0], lines or _USUAL_SIZE[1]

    def draw(self, lines: Sequence[str]) -> None:
        """Show ``lines`` instead of the earlier ones."""
        rows = "\r\n".join(f"{line}{_END_OF_LINE}" for line in lines)
        sys.stdout.write(f"{_HOME}{rows}{_REST}")
        sys.stdout.flush()

    def read_keys(self) -> str:
        """Wait for keys, and return them as the terminal sends them."""
        data = os.read(STDIN, _READ_BYTES)
        self.has_keys = bool(data)
        return data.decode(errors="replace")


@contextmanager
def screen() -> Iterator[Screen]:
    """Yield the terminal, with keys read as they are typed, and not echoed."""
    shown = Screen()
    before = termios.tcgetattr(STDIN) if shown.has_keys else None
    try:
        if before is not None:
            tty.setcbreak(STDIN)
        sys.stdout.write(_ENTER)
        yield shown
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        if before is not None:
            termios.tcsetattr(STDIN, termios.TCSADRAIN, before)


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
    """Return the moves that the typed keys mean; other keys are ignored."""
    return [_KEYS[key] for key in _KEY.findall(typed) if key in _KEYS]


class Viewport:
    """The part of the lines that fits the screen; it stays in place when the lines change."""

    def __init__(self) -> None:
        self._top = 0
        self._height = 1

    def move(self, move: Move) -> None:
        """Scroll; ``window`` keeps the viewport within the lines."""
        page = max(1, self._height - 1)
        steps: Mapping[Move, Callable[[int], int]] = {
            "up": lambda top: top - 1,
            "down": lambda top: top + 1,
            "page up": lambda top: top - page,
            "page down": lambda top: top + page,
            "top": lambda _: 0,
            "bottom": lambda _: _BOTTOM,
        }
        if move in steps:
            self._top = max(0, steps[move](self._top))

    def window(
        self, head: Sequence[str], body: Sequence[str], width: int, height: int
    ) -> list[str]:
        """Return ``height`` lines of ``width`` characters: ``head``, then part of ``body``."""
        head = head[: max(0, height - 2)]
        room = max(1, height - len(head))
        if len(body) <= room:
            self._top, self._height = 0, room
            return [line[:width] for line in (*head, *body)][:height]
        self._height = max(1, room - 1)  # one line is for the position
        self._top = min(self._top, len(body) - self._height)
        shown = body[self._top : self._top + self._height]
        where = f"-- {self._top + 1} to {self._top + len(shown)} of {len(body)} lines"
        where += ": arrows, PgUp, PgDn; q ends --"
        return [line[:width] for line in (*head, *shown, where)][:height]
