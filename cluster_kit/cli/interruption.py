"""Makes Ctrl-C end a command quietly, with the exit code that shells expect.

``KeyboardInterrupt`` is unreliable while modules are imported: it may be raised anywhere, even in a
callback of the import system, which prints and forgets it. So by default the process exits at once.
That leaves nothing behind, as workers end with it. A command that must clean up asks for the
exception by ``raising()``, for as long as it needs that.

This module imports next to nothing, as Python handles a Ctrl-C that comes earlier.
"""

from __future__ import annotations

import signal
from os import _exit  # bound now, as simulations replace os._exit

TYPE_CHECKING = False  # as in typing
if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = 130  # the exit code by which shells report SIGINT


def end_quietly() -> None:
    """Make Ctrl-C end this process at once, unless the parent process ignores SIGINT for it."""
    quiet().__enter__()


def quiet() -> Interruption:
    """Make Ctrl-C end the process inside the block, instead of raising ``KeyboardInterrupt``."""
    return Interruption(_end, instead_of=signal.default_int_handler)


def raising() -> Interruption:
    """Make Ctrl-C raise ``KeyboardInterrupt`` inside the block, instead of ending the process."""
    return Interruption(signal.default_int_handler, instead_of=_end)


class Interruption:
    """A context manager that replaces the SIGINT handler, if that is ``instead_of``."""

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
