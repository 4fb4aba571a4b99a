"""What the link table decides: values that the hub carries out in order.

``conn`` numbers a connection. A dialled connection has the number of the ``connect`` that asked for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluster_kit.errors import ConnectError
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Node
from cluster_kit.wire.frames import Frame


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a connection to ``node``."""

    conn: int
    node: Node


@dataclass(frozen=True, slots=True)
class Send:
    """Say ``frame``."""

    conn: int
    frame: Frame


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask for a sign of life, and tell the table when anything is heard."""

    conn: int


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection once everything said is sent; or give up dialling."""

    conn: int


@dataclass(frozen=True, slots=True)
class Up:
    """Report the link up."""

    conn: int
    peer: Node


@dataclass(frozen=True, slots=True)
class Changed:
    """Report that the peer changed its metadata."""

    conn: int
    peer: Node


@dataclass(frozen=True, slots=True)
class PeerLeaving:
    """Report that the peer is about to leave."""

    peer: Node


@dataclass(frozen=True, slots=True)
class Down:
    """Report the link down."""

    peer: Node
    reason: Reason


@dataclass(frozen=True, slots=True)
class Linked:
    """Let a ``connect`` return ``peer``."""

    attempt: int
    peer: Node


@dataclass(frozen=True, slots=True)
class Failed:
    """Let a ``connect`` raise ``error``."""

    attempt: int
    error: ConnectError


@dataclass(frozen=True, slots=True)
class Conflict:
    """Report that two live processes use ``name``; ``rival`` is the boot of one of them, of the other one if we are one."""

    name: str
    rival: BootId | None


Action = Dial | Send | Probe | Close | Up | Changed | PeerLeaving | Down | Linked | Failed | Conflict
