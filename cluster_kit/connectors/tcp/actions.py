"""What the link table decides: values that the hub carries out in order.

``conn`` numbers a connection. A dialled connection has the number of the ``connect`` that asked for it.
Structs rather than dataclasses, each of which would cost a worker a millisecond to define when it starts.
"""

from __future__ import annotations

from msgspec import Struct

from cluster_kit.errors import ConnectError
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Node


class Dial(Struct, frozen=True):
    """Open a connection to ``node``."""

    conn: int
    node: Node


class Send(Struct, frozen=True):
    """Send ``data``, a frame."""

    conn: int
    data: bytes


class Probe(Struct, frozen=True):
    """Ask for a sign of life, and tell the table when anything is heard."""

    conn: int


class Close(Struct, frozen=True):
    """Close the connection once everything said is sent; or give up dialling."""

    conn: int


class Up(Struct, frozen=True):
    """Report the link up; ``features`` are the peer's."""

    conn: int
    peer: Node
    features: tuple[str, ...] = ()


class Changed(Struct, frozen=True):
    """Report that the peer changed its metadata."""

    conn: int
    peer: Node


class PeerLeaving(Struct, frozen=True):
    """Report that the peer is about to leave."""

    peer: Node


class Down(Struct, frozen=True):
    """Report the link down."""

    peer: Node
    reason: Reason


class Linked(Struct, frozen=True):
    """Let a ``connect`` return ``peer``."""

    attempt: int
    peer: Node


class Failed(Struct, frozen=True):
    """Let a ``connect`` raise ``error``."""

    attempt: int
    error: ConnectError


class Echo(Struct, frozen=True):
    """Note that our own hello came in here: the connection leads from us to us."""

    conn: int


class Conflict(Struct, frozen=True):
    """Report that two live processes use ``name``; ``rival`` is the boot of one of them, of the other one if we are one."""

    name: str
    rival: BootId | None


Action = Dial | Send | Probe | Close | Up | Changed | PeerLeaving | Down | Linked | Failed | Echo | Conflict
