"""The link protocol, as one end of a connection sees it: bytes in, frames out.

A connection has one state, and both ends track it by one table, ``TRANSITIONS``: each frame that is
sent or received moves it in the same way::

              Hello            Welcome              Confirm        Goodbye
    SILENT ----------> GREETED ---------> ANSWERED ----------> UP ---------> CLOSED
            (dialler)     |    (acceptor)     |     (dialler)     (either)      ^
                          |                   |                                 |
                          '-- Refusal --------'--------- Goodbye ---------------'
                            (acceptor)                   (either)

The acceptor may send ``Greeting`` frames before its welcome, and the dialler before it confirms.
Once the link is up, both ends are equals. An acceptor sends nothing before a valid hello, so a port
scanner learns nothing.

This module has no socket and no clock, and does not decide which peers to link to; that is up to
``cluster_kit.connectors.tcp.table``.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, StrEnum, auto

from cluster_kit.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from cluster_kit.wire.frames import (
    MAX_FRAME_BYTES,
    MAX_HANDSHAKE_BYTES,
    App,
    Confirm,
    Frame,
    FrameReader,
    Goodbye,
    Greeting,
    Hello,
    Hints,
    Payload,
    Ping,
    Pong,
    Refusal,
    Secrets,
    Update,
    Want,
    Welcome,
    decode,
    encode,
)


class Role(Enum):
    """Who opened the connection."""

    DIALLER = auto()
    ACCEPTOR = auto()

    @property
    def other(self) -> Role:
        """The role of the other end."""
        return Role.ACCEPTOR if self is Role.DIALLER else Role.DIALLER


class LinkState(Enum):
    """How far the two ends have come."""

    __hash__ = object.__hash__  # in C, unlike that of ``Enum``: each frame is looked up by state

    SILENT = auto()
    GREETED = auto()
    ANSWERED = auto()
    UP = auto()
    CLOSED = auto()


class Farewell(StrEnum):
    """Why the sender of a ``Goodbye`` closes the link."""

    LEAVING = "leaving"
    """It stops."""
    UNWANTED = "unwanted"
    """Neither end wants the link."""
    CONFLICT = "conflict"
    """The receiver's name belongs to another live process, which the sender is linked to."""


# tuples rather than sets: each frame is looked up here, and an ``Enum`` hashes in Python
_BOTH = (Role.DIALLER, Role.ACCEPTOR)
_DIALLER = (Role.DIALLER,)
_ACCEPTOR = (Role.ACCEPTOR,)

TRANSITIONS: dict[tuple[LinkState, type[Frame]], tuple[tuple[Role, ...], LinkState]] = {
    # (the state, the frame): who may send it then, and the state after it
    (LinkState.SILENT, Hello): (_DIALLER, LinkState.GREETED),
    (LinkState.GREETED, Greeting): (_ACCEPTOR, LinkState.GREETED),
    (LinkState.GREETED, Welcome): (_ACCEPTOR, LinkState.ANSWERED),
    (LinkState.GREETED, Refusal): (_ACCEPTOR, LinkState.CLOSED),
    (LinkState.ANSWERED, Greeting): (_DIALLER, LinkState.ANSWERED),
    (LinkState.ANSWERED, Confirm): (_DIALLER, LinkState.UP),
    (LinkState.ANSWERED, Goodbye): (_BOTH, LinkState.CLOSED),
    (LinkState.UP, Ping): (_BOTH, LinkState.UP),
    (LinkState.UP, Pong): (_BOTH, LinkState.UP),
    (LinkState.UP, Want): (_BOTH, LinkState.UP),
    (LinkState.UP, Update): (_BOTH, LinkState.UP),
    (LinkState.UP, App): (_BOTH, LinkState.UP),
    (LinkState.UP, Hints): (_BOTH, LinkState.UP),
    (LinkState.UP, Secrets): (_BOTH, LinkState.UP),
    (LinkState.UP, Payload): (_BOTH, LinkState.UP),
    (LinkState.UP, Goodbye): (_BOTH, LinkState.CLOSED),
}

_NEVER: tuple[tuple[Role, ...], LinkState] = ((), LinkState.CLOSED)


class LinkProtocol:
    """The state machine of one end: checks and encodes what is sent, decodes what arrives.

    Attributes:
        role: Which end this is.
        state: How far the two ends have come.
    """

    def __init__(self, role: Role) -> None:
        self.role = role
        self.state = LinkState.SILENT
        self._reader = FrameReader()

    def send(self, frame: Frame) -> bytes:
        """Return the bytes to send for ``frame``.

        Raises:
            LocalProtocolError: It must not be sent now.
        """
        data = encode(frame)
        self._move(frame, self.role, LocalProtocolError)
        return data

    def receive(self, data: bytes | memoryview) -> Iterator[Frame]:
        """Yield the frames that ``data`` completes, until the link is closed by either end.

        Handle each frame before asking for the next: what may follow depends on the state after it.
        ``data`` must not change before the iterator is exhausted.

        Raises:
            RemoteProtocolError: The peer broke the protocol; close the connection.
        """
        self._reader.feed(data)
        while self.state is not LinkState.CLOSED:
            limit = MAX_FRAME_BYTES if self.state is LinkState.UP else MAX_HANDSHAKE_BYTES
            body = self._reader.next(limit)
            if body is None:
                return
            frame = decode(body)
            if frame is not None:
                self._move(frame, self.role.other, RemoteProtocolError)
                yield frame

    def close(self) -> None:
        """Refuse to send or receive any more."""
        self.state = LinkState.CLOSED

    def _move(self, frame: Frame, sender: Role, error: type[ProtocolError]) -> None:
        senders, state = TRANSITIONS.get((self.state, type(frame)), _NEVER)
        if sender not in senders:
            name, end, now = type(frame).__name__, sender.name.lower(), self.state.name.lower()
            raise error(f"link: {name} from the {end} while {now}: out of order")
        self.state = state
