"""The link protocol, as one end of a connection sees it: bytes in, frames out.

A connection has one state, and both ends track it by one table, ``TRANSITIONS``, since each frame
moves it in the same way, whoever sent it::

              Hello             Answer              Confirm        Goodbye
    SILENT ----------> GREETED ---------> ANSWERED ----------> UP ---------> CLOSED
            (dialler)     |    (acceptor)     |     (dialler)     (either)      ^
                          |                   |                                 |
                          '-- Refusal --------'--------- Goodbye ---------------'
                            (acceptor)                   (either)

The acceptor may send ``Greeting`` frames before its answer, and the dialler before it confirms.
Once the link is up, both ends are equals. An acceptor sends nothing before a valid hello, so a port
scanner learns nothing.

This module has no socket and no clock, and no opinion on whom to link to; that is
``cluster_kit.connectors.tcp.table``.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, StrEnum, auto

from cluster_kit.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from cluster_kit.wire.frames import (
    MAX_FRAME_BYTES,
    MAX_HANDSHAKE_BYTES,
    Answer,
    App,
    Confirm,
    Frame,
    FrameReader,
    Goodbye,
    Greeting,
    Hello,
    Message,
    Peers,
    Ping,
    Pong,
    Refusal,
    Secrets,
    Update,
    Want,
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


class State(Enum):
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

TRANSITIONS: dict[tuple[State, type[Frame]], tuple[tuple[Role, ...], State]] = {
    # (the state, the frame): who may send it then, and the state after it
    (State.SILENT, Hello): (_DIALLER, State.GREETED),
    (State.GREETED, Greeting): (_ACCEPTOR, State.GREETED),
    (State.GREETED, Answer): (_ACCEPTOR, State.ANSWERED),
    (State.GREETED, Refusal): (_ACCEPTOR, State.CLOSED),
    (State.ANSWERED, Greeting): (_DIALLER, State.ANSWERED),
    (State.ANSWERED, Confirm): (_DIALLER, State.UP),
    (State.ANSWERED, Goodbye): (_BOTH, State.CLOSED),
    (State.UP, Ping): (_BOTH, State.UP),
    (State.UP, Pong): (_BOTH, State.UP),
    (State.UP, Want): (_BOTH, State.UP),
    (State.UP, Update): (_BOTH, State.UP),
    (State.UP, App): (_BOTH, State.UP),
    (State.UP, Peers): (_BOTH, State.UP),
    (State.UP, Secrets): (_BOTH, State.UP),
    (State.UP, Message): (_BOTH, State.UP),
    (State.UP, Goodbye): (_BOTH, State.CLOSED),
}

_NEVER: tuple[tuple[Role, ...], State] = ((), State.CLOSED)


class Link:
    """The protocol as seen from one end.

    Attributes:
        role: Which end this is.
        state: How far the two ends have come.
    """

    def __init__(self, role: Role) -> None:
        self.role = role
        self.state = State.SILENT
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
        while self.state is not State.CLOSED:
            limit = MAX_FRAME_BYTES if self.state is State.UP else MAX_HANDSHAKE_BYTES
            body = self._reader.next(limit)
            if body is None:
                return
            frame = decode(body)
            if frame is not None:
                self._move(frame, self.role.other, RemoteProtocolError)
                yield frame

    def close(self) -> None:
        """Neither send nor receive any more."""
        self.state = State.CLOSED

    def _move(self, frame: Frame, sender: Role, error: type[ProtocolError]) -> None:
        senders, state = TRANSITIONS.get((self.state, type(frame)), _NEVER)
        if sender not in senders:
            name, end, now = type(frame).__name__, sender.name.lower(), self.state.name.lower()
            raise error(f"link: {name} from the {end} while {now}: out of order")
        self.state = state
