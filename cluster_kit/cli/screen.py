"""A terminal as a screen of lines and a source of keys, put back as it was at the end."""

from __future__ import annotations

import os
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cluster_kit.cli.streams import STDIN, STDOUT

# ECMA-48, and xterm's private modes: the alternate screen, the cursor, and the wrapping of long lines
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _END_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"
_READ_BYTES = 1024
_USUAL = (80, 24)  # for one that does not know its size


class Screen:
    """Shows lines on standard output, and reads keys from standard input, if that is a terminal."""

    def __init__(self) -> None:
        self.has_keys = sys.stdin is not None and sys.stdin.isatty()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, as they are now."""
        columns, lines = os.get_terminal_size(STDOUT)
        return columns or _USUAL[0], lines or _USUAL[1]

    def show(self, lines: Sequence[str]) -> None:
        """Show ``lines`` in place of those before."""
        rows = "\r\n".join(f"{line}{_END_OF_LINE}" for line in lines)
        sys.stdout.write(f"{_HOME}{rows}{_REST}")
        sys.stdout.flush()

    def typed(self) -> str:
        """Return what was typed; waits for it."""
        data = os.read(STDIN, _READ_BYTES)
        self.has_keys = bool(data)
        return data.decode(errors="replace")


@contextmanager
def screen() -> Iterator[Screen]:
    """Yield the terminal as a screen; keys come as they are typed, and are not shown."""
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
