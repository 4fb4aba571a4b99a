"""One connection as asyncio sees it: bytes between its socket and its end of the link protocol."""

from __future__ import annotations

import asyncio
from typing import Protocol

from cluster_kit.connectors.tcp.dial import End, end_of
from cluster_kit.connectors.tcp.heartbeat import Heartbeat
from cluster_kit.node import Node
from cluster_kit.wire.frames import Frame
from cluster_kit.wire.link import Link, State

MAX_OUTGOING_BYTES = 1024 * 1024  # far more than heartbeats: a peer that lets this much lie does not read


class Owner(Protocol):
    """Whom a session serves."""

    inbox: memoryview
    """Where bytes are received into, by one session at a time: nothing stays in it between two calls."""

    def made(self, session: Session) -> None:
        """The connection is there."""

    def received(self, session: Session, data: memoryview) -> None:
        """Bytes came in; they are overwritten after the call."""

    def lost(self, session: Session) -> None:
        """The connection is gone and its socket closed; exactly once after ``made``."""


class Session(asyncio.BufferedProtocol):
    """A connection.

    Args:
        owner: Whom to tell.
        conn: Its number.
        link: The protocol on it.
        heartbeat: Judges it.

    Attributes:
        peer: The other end, once the link is up.
        deadline_s: When the handshake must have been done, or the last bytes sent, in attended time.
    """

    _transport: asyncio.Transport

    def __init__(self, owner: Owner, conn: int, link: Link, heartbeat: Heartbeat) -> None:
        self.conn = conn
        self.link = link
        self.heartbeat = heartbeat
        self.peer: Node | None = None
        self.deadline_s = 0.0
        self._owner = owner

    @property
    def is_up(self) -> bool:
        """Whether it is a link, and open."""
        return self.link.state is State.UP

    @property
    def host(self) -> str:
        """The address at the other end, without the port; an IPv4 one as such, also where we listen on both."""
        peername = self._transport.get_extra_info("peername")
        return str(peername[0]).removeprefix("::ffff:") if peername else ""

    @property
    def here(self) -> End:
        """The address and port at our end."""
        return end_of(self._transport.get_extra_info("sockname"))

    @property
    def overdue_at_s(self) -> float:
        """When the other end will have been waited for long enough, in attended time."""
        return self.heartbeat.silent_at_s if self.is_up else self.deadline_s

    def send(self, frame: Frame) -> None:
        """Say ``frame``; as ``write``."""
        self.write(self.link.send(frame))

    def write(self, data: bytes) -> None:
        """Send ``data``, without waiting; break the connection if the peer doesn't read."""
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MAX_OUTGOING_BYTES:
            self._transport.abort()

    def close(self, deadline_s: float) -> None:
        """Receive nothing more, and close once everything is sent."""
        self.link.close()
        self.deadline_s = deadline_s
        self._transport.close()

    def abort(self) -> None:
        """Close now."""
        self.link.close()
        self._transport.abort()

    # -- called by asyncio -----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._owner.made(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to receive."""
        return self._owner.inbox

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what was received."""
        self._owner.received(self, self._owner.inbox[:nbytes])

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._owner.lost(self)
