"""``Channel``: one end of the pipe between a worker and its supervisor.

It carries whole messages, in order. Neither end ever blocks on the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import asyncio


class Parcel(NamedTuple):
    """A payload between two applications, on its way between an application and its worker.

    Attributes:
        link: The number of the link; see ``LinkOpened``.
        payload: Opaque; at most ``MAX_PAYLOAD_BYTES``.
        forwarded: From the worker: how many more of the application's parcels for this link have
            been forwarded to the peer. The parcel carries the number along to spare the application
            a separate ``Forwarded``.
    """

    link: int
    payload: bytes
    forwarded: int = 0


class Channel(ABC):
    """One end of the pipe; whoever creates it owns it, and closes it."""

    @abstractmethod
    def attach(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        hear: Callable[[Any], None],
        ended: Callable[[str | None], None],
        relieved: Callable[[], None],
    ) -> None:
        """Start to receive, and to send what is pending, in ``loop``.

        Call this once. No callback is called before it returns.

        Args:
            loop: Where the callbacks are called.
            hear: Called with each message, including those that have arrived before.
            ended: Called once, after the last message: with ``None`` if the other end has closed,
                with a text if it has sent something malformed.
            relieved: Called when everything that was pending has been sent.
        """

    @abstractmethod
    def send(self, message: Any) -> None:
        """Send ``message`` in order, without blocking.

        Raises:
            OSError: The other end is gone.
        """

    @abstractmethod
    def send_parcel(self, link: int, payload: bytes, forwarded: int = 0) -> None:
        """Send a ``Parcel`` in order, without blocking and without pickling.

        Raises:
            OSError: The other end is gone.
        """

    @property
    @abstractmethod
    def pending_bytes(self) -> int:
        """Bytes that were sent, but are still held here until the other end has room."""

    @abstractmethod
    def drain(self, timeout_s: float | None = None) -> None:
        """Block until nothing is pending, nothing moves for ``timeout_s``, or the pipe breaks."""

    @abstractmethod
    def close(self) -> None:
        """Stop receiving and close; what is pending is lost."""
