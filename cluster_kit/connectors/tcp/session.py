"""One connection at work: bytes between its stream and its end of the link protocol."""

from __future__ import annotations

from typing import Protocol

from cluster_kit.connectors.tcp.heartbeat import Heartbeat
from cluster_kit.errors import RemoteProtocolError
from cluster_kit.network import Certified, Stream, StreamReader
from cluster_kit.node import Node
from cluster_kit.wire.frames import Frame
from cluster_kit.wire.link import Link, State

MAX_OUTGOING_BYTES = 1024 * 1024  # far more than heartbeats: a peer that lets this much lie does not read


class Owner(Protocol):
    """Whom a session serves."""

    def received(self, session: Session, data: memoryview) -> None:
        """Bytes came in; they are overwritten after the call."""

    def lost(self, session: Session) -> None:
        """The stream has ended; called once."""


class Session(StreamReader):
    """A connection whose stream is open.

    Args:
        owner: Whom to tell.
        conn: Its number.
        stream: The stream, from now on the session's.
        link: The protocol on it.
        heartbeat: Judges it.
        deadline_s: When the handshake must have been done, in attended time.

    Attributes:
        peer: The other end, once the link is up.
        host: Where the other end is.
        here: Our end.
    """

    def __init__(self, owner: Owner, conn: int, stream: Stream, *, link: Link, heartbeat: Heartbeat, deadline_s: float) -> None:
        self.conn = conn
        self.link = link
        self.heartbeat = heartbeat
        self.peer: Node | None = None
        self.host = stream.there.host
        self.here = stream.here
        self._owner = owner
        self._stream = stream
        self._deadline_s = deadline_s
        self._is_started = False

    def start(self) -> None:
        """Begin to receive. Idempotent."""
        if not self._is_started:
            self._is_started = True
            self._stream.start(self)

    @property
    def is_up(self) -> bool:
        """Whether it is a link, and open."""
        return self.link.state is State.UP

    @property
    def certified(self) -> Certified | None:
        """Who the other end has proved to be, where streams are protected."""
        return self._stream.certified

    @property
    def distrust(self) -> RemoteProtocolError | None:
        """Why it was lost before both ends had proved themselves."""
        return self._stream.distrust

    @property
    def overdue_at_s(self) -> float:
        """When the other end will have been waited for long enough, in attended time."""
        return self.heartbeat.silent_at_s if self.is_up else self._deadline_s

    def send(self, frame: Frame) -> None:
        """Say ``frame``; as ``write``."""
        self.write(self.link.send(frame))

    def write(self, data: bytes) -> None:
        """Send ``data``, without waiting; break the connection if the peer doesn't read."""
        self._stream.send(data)
        if self._stream.unsent_bytes > MAX_OUTGOING_BYTES:
            self._stream.abort()

    def close(self, deadline_s: float) -> None:
        """Receive nothing more, and close once everything is sent, which must be done by ``deadline_s``."""
        self.link.close()
        self._deadline_s = deadline_s
        self._stream.close()
        self.start()  # else nobody is told of the end

    def abort(self) -> None:
        """Close now."""
        self.link.close()
        self._stream.abort()
        self.start()

    def received(self, data: memoryview) -> None:
        """Pass on what came in."""
        self._owner.received(self, data)

    def lost(self) -> None:
        """Tell that the stream has ended."""
        self._owner.lost(self)
