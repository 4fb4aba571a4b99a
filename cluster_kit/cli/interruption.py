"""Has Ctrl-C end a command quietly, with the exit code that shells expect.

``KeyboardInterrupt`` is no way to end what still imports: it comes anywhere, also where it is
printed and forgotten, as in a callback of the import system. So the process ends at once, which
leaves nothing behind: workers end with it. Only a command with something to put right says that it
wants the exception, for as long as it has.

Imports next to nothing itself, as a Ctrl-C that comes before is Python's.
"""

from __future__ import annotations

import signal
from os import _exit  # simulated code finds another one in its module

TYPE_CHECKING = False  # as in typing
if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = 130  # as shells tell that SIGINT ended a command


def end_quietly() -> None:
    """Have Ctrl-C end this process at once, unless whoever started it has other plans."""
    quiet().__enter__()


def quiet() -> Interruption:
    """Have Ctrl-C do so inside the block."""
    return Interruption(_end, instead_of=signal.default_int_handler)


def raising() -> Interruption:
    """Have Ctrl-C raise ``KeyboardInterrupt`` inside the block, where it would end the process."""
    return Interruption(signal.default_int_handler, instead_of=_end)


class Interruption:
    """What Ctrl-C does inside the block, where it would do ``instead_of``; a context manager."""

    def __init__(self, handler: Callable[..., object], instead_of: Callable[..., object]) -> None:
        self._handler = handler
        self._instead_of = instead_of
        self._applies = False

    def __enter__(self) -> None:
        self._applies = signal.getsignal(signal.SIGINT) is self._instead_of
        if self._applies:
            signal.signal(signal.SIGINT, self._handler)

    def __exit__(self, *_: object) -> None:
        if self._applies:
            signal.signal(signal.SIGINT, self._instead_of)


def _end(*_: object) -> None:
    _exit(INTERRUPTED)
