"""What the link table decides: the actions that the hub carries out.

``conn`` is the number of a connection; a connection that we dial has the number of the ``connect``
that asked for it. Actions are structs: to define as many dataclasses would cost each worker some
milliseconds at its start.
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


class Write(Struct, frozen=True):
    """Send ``data``, a frame."""

    conn: int
    data: bytes


class Probe(Struct, frozen=True):
    """Ask the peer for a sign of life, and call ``LinkTable.heard`` when anything is received."""

    conn: int


class Close(Struct, frozen=True):
    """Close the connection once everything is sent; or give up dialling."""

    conn: int


class Up(Struct, frozen=True):
    """Report a link up.

    Attributes:
        conn: Its connection.
        peer: The other end, as it introduced itself.
        features: What the peer can do beyond the protocol's version.
        greeting: The peer's greeting; ``None`` where the link can't carry messages.
        sent: Our greeting.
    """

    conn: int
    peer: Node
    features: tuple[str, ...] = ()
    greeting: bytes | None = None
    sent: bytes = b""


class Changed(Struct, frozen=True):
    """Report that the peer changed its metadata."""

    conn: int
    peer: Node


class Rekeyed(Struct, frozen=True):
    """Report the ids of the secrets that the peer holds; it uses the first."""

    peer: Node
    secrets: tuple[bytes, ...]


class PeerLeaving(Struct, frozen=True):
    """Report that the peer is about to leave."""

    peer: Node


class Down(Struct, frozen=True):
    """Report a link down."""

    peer: Node
    reason: Reason


class Linked(Struct, frozen=True):
    """Let a ``connect`` return ``peer``."""

    attempt: int
    peer: Node


class AttemptFailed(Struct, frozen=True):
    """Let a ``connect`` raise ``error``."""

    attempt: int
    error: ConnectError


class Echo(Struct, frozen=True):
    """Note that our own hello arrived here: the connection leads from us to us."""

    conn: int


class Conflict(Struct, frozen=True):
    """Report that two live processes use ``name``.

    Attributes:
        name: Ours, or that of a peer.
        rival: The boot of one of the two; of the other one, if we are one of them.
    """

    name: str
    rival: BootId | None


ReportAction = Up | Changed | Rekeyed | PeerLeaving | Down | Conflict
Action = ReportAction | Dial | Write | Probe | Close | Linked | AttemptFailed | Echo
