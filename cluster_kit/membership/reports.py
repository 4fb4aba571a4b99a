"""The inputs of ``Membership.step``: what sources say, what links do, and how commands end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cluster_kit.abc import Observation
from cluster_kit.errors import ConnectError
from cluster_kit.events import Reason
from cluster_kit.node import Node

# -- discovery -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Observed:
    """The strategy called ``source`` reports something, or linked peers do: ``EXCHANGE``."""

    source: str
    observation: Observation


@dataclass(frozen=True, slots=True)
class SourceFails:
    """A source has stopped working: its claims stay until it works again."""

    source: str


@dataclass(frozen=True, slots=True)
class SourceWorks:
    """A source works again: its claims lapse again unless it renews them."""

    source: str


# -- links -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LinkUp:
    """A link is up, dialled or accepted; ``node`` is the peer as it introduced itself."""

    node: Node


@dataclass(frozen=True, slots=True)
class LinkDown:
    """A link is down."""

    node: Node
    reason: Reason


@dataclass(frozen=True, slots=True)
class LinkUpdated:
    """A linked peer has new metadata."""

    node: Node


@dataclass(frozen=True, slots=True)
class LinkLeaving:
    """A linked peer is about to leave."""

    node: Node


# -- ends of commands ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connected:
    """``Connect(node)`` succeeded; ``peer`` may have a name where ``node`` had only an address."""

    node: Node
    peer: Node


@dataclass(frozen=True, slots=True)
class ConnectFailed:
    """``Connect(node)`` failed.

    Attributes:
        node: The node of the command.
        error: The cause, which decides when the next dial is due.
        jitter: From 0 to 1; how much of the back-off to wait.
    """

    node: Node
    error: ConnectError
    jitter: float


@dataclass(frozen=True, slots=True)
class Disconnected:
    """``Disconnect(node)`` was carried out; the link is still up if the peer wants it."""

    node: Node


# -- this node -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LocalChanged:
    """This node has a new address or new metadata."""

    node: Node


@dataclass(frozen=True, slots=True)
class Inherited:
    """The previous worker of this topology knew these nodes.

    That counts for ``ttl_s`` seconds in which no source fails, or until one reports the node.
    """

    known: Iterable[Node]
    ttl_s: float


@dataclass(frozen=True, slots=True)
class Draining:
    """This node is about to leave, and dials no more."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """This node leaves now: no more commands."""


Report = (
    Observed
    | SourceFails
    | SourceWorks
    | LinkUp
    | LinkDown
    | LinkUpdated
    | LinkLeaving
    | Connected
    | ConnectFailed
    | Disconnected
    | LocalChanged
    | Inherited
    | Draining
    | Stopping
)
