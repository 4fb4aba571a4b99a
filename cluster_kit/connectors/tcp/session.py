"""One open connection: moves bytes between its stream and its end of the link protocol."""

from __future__ import annotations

import asyncio
from typing import Protocol

from cluster_kit.connectors.tcp.heartbeat import Heartbeat
from cluster_kit.errors import ConnectError, ConnectReason, RemoteProtocolError
from cluster_kit.network import Certified, Stream, StreamReader
from cluster_kit.node import Node
from cluster_kit.wire.frames import Frame, Payload
from cluster_kit.wire.link import LinkProtocol, LinkState, Role

MAX_UNSENT_BYTES = 128 * 1024  # beyond this messages wait, so little is ahead of a heartbeat
MAX_OUTGOING_BYTES = 1024 * 1024  # unsent: a peer that leaves more than this does not read


class SessionHandler(Protocol):
    """The hub, as its sessions see it."""

    def received(self, session: Session, data: memoryview) -> None:
        """Bytes arrived; they are overwritten after the call."""

    def lost(self, session: Session) -> None:
        """The stream has ended; called once."""


class Session(StreamReader):
    """A connection whose stream is open.

    Args:
        owner: Handles what is received.
        conn: The number of the connection.
        stream: Its stream, which the session owns from now on.
        protocol: The link protocol on it.
        heartbeat: Judges whether the peer is alive.
        deadline_s: When the handshake must be over, in attended time.

    Attributes:
        peer: The other end, once the link is up.
        carries: Whether the link carries messages.
        host: The address of the other end.
        here: Our end.
    """

    def __init__(
        self,
        owner: SessionHandler,
        conn: int,
        stream: Stream,
        *,
        protocol: LinkProtocol,
        heartbeat: Heartbeat,
        deadline_s: float,
    ) -> None:
        self.conn = conn
        self.protocol = protocol
        self.heartbeat = heartbeat
        self.peer: Node | None = None
        self.carries = False
        self.host = stream.there.host
        self.here = stream.here
        self._owner = owner
        self._stream = stream
        self._deadline_s = deadline_s
        self._is_started = False
        self._room: asyncio.Future[None] | None = None  # set while messages wait for room

    def start(self) -> None:
        """Begin to receive. Idempotent."""
        if not self._is_started:
            self._is_started = True
            self._stream.start(self)

    @property
    def is_up(self) -> bool:
        """Whether it is a link that is up."""
        return self.protocol.state is LinkState.UP

    @property
    def is_dialled(self) -> bool:
        """Whether we dialled; otherwise we accepted."""
        return self.protocol.role is Role.DIALLER

    @property
    def certified(self) -> Certified | None:
        """What the other end has proved to be, where streams are protected."""
        return self._stream.certified

    @property
    def distrust(self) -> RemoteProtocolError | None:
        """Why the stream was lost before both ends had proved themselves."""
        return self._stream.distrust

    @property
    def overdue_at_s(self) -> float:
        """When to give up, in attended time: at silence for a link, else at the deadline."""
        return self.heartbeat.silent_at_s if self.is_up else self._deadline_s

    def send(self, frame: Frame) -> None:
        """Send ``frame``; as ``write``."""
        self.write(self.protocol.send(frame))

    def write(self, data: bytes) -> None:
        """Send ``data`` without waiting; abort the connection if the peer doesn't read."""
        self._stream.send(data)
        if self._stream.unsent_bytes > MAX_OUTGOING_BYTES:
            self._stream.abort()

    async def carry(self, payload: bytes) -> None:
        """Send a message in its turn, and return once there is room for the next.

        Raises:
            ConnectError: The link is lost.
        """
        await self._wait_for_room()  # there is none if an earlier sender gave up waiting
        self.send(Payload(payload))
        await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        while self._stream.unsent_bytes > MAX_UNSENT_BYTES and self.is_up:
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)
        if not self.is_up:
            raise no_link_to(self.peer)

    def relieved(self) -> None:
        """Wake the senders that wait for room."""
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    def close(self, deadline_s: float) -> None:
        """Receive nothing more, and close once everything is sent, or at the deadline."""
        self.protocol.close()
        self._deadline_s = deadline_s
        self._stream.close()
        self.relieved()
        self.start()  # a stream that was never started doesn't report its end

    def abort(self) -> None:
        """Close now."""
        self.protocol.close()
        self._stream.abort()
        self.relieved()
        self.start()

    def received(self, data: memoryview) -> None:
        """Pass on received bytes."""
        self._owner.received(self, data)

    def lost(self) -> None:
        """Pass on that the stream has ended."""
        self._owner.lost(self)
        self.protocol.close()
        self.relieved()


def no_link_to(node: Node | None) -> ConnectError:
    """Return the error for a message to ``node`` that can't be sent."""
    key = node.key if node else None
    why = "there is no link to it that carries messages, or it is lost"
    message = f"tcp: cannot send to {key!r}: {why}"
    return ConnectError(message, node=key, reason=ConnectReason.RESET)
