"""How a worker and its supervisor talk to each other: whole messages, in order, and neither ever waits for the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import asyncio


class Parcel(NamedTuple):
    """What two applications say to each other, on its way between an application and its worker: nobody looks inside.

    Attributes:
        link: The number of the link; see ``LinkOpened``.
        payload: At most ``MAX_PAYLOAD_BYTES``.
        forwarded: From the worker: how many more of the application's parcels for this link are on
            their way to the peer. What comes over the link carries the number along, so that it
            need not wake the application by itself as ``Forwarded`` does.
    """

    link: int
    payload: bytes
    forwarded: int = 0


class Channel(ABC):
    """One end; it belongs to whoever made it, who closes it."""

    @abstractmethod
    def attach(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        hear: Callable[[Any], None],
        ended: Callable[[str | None], None],
        relieved: Callable[[], None],
    ) -> None:
        """Begin to hear, and to send what has to wait; once, and never calling back within this call.

        Args:
            loop: Where the others are called.
            hear: Takes each message of the other end, also those that came before.
            ended: Told once, after the last message: the other end has closed, or, with a text, sent what can't be read.
            relieved: Called when the other end has taken all that had to wait.
        """

    @abstractmethod
    def send(self, message: Any) -> None:
        """Send ``message`` in its turn, without waiting.

        Raises:
            OSError: The other end is gone.
        """

    @abstractmethod
    def send_parcel(self, link: int, payload: bytes, forwarded: int = 0) -> None:
        """Send a ``Parcel`` in its turn, without waiting; it is heard as one, and never pickled.

        Raises:
            OSError: The other end is gone.
        """

    @property
    @abstractmethod
    def pending_bytes(self) -> int:
        """What was sent and has to wait, as the other end has not taken what came before."""

    @abstractmethod
    def drain(self, timeout_s: float | None = None) -> None:
        """Block until nothing has to wait any more, or the other end takes nothing for ``timeout_s``, or is gone."""

    @abstractmethod
    def close(self) -> None:
        """Hear nothing more, and let the other end know; what has to wait is lost."""
