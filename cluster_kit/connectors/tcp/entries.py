"""What the link table remembers of each connection, and where it looks a peer up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from cluster_kit.node import Node
from cluster_kit.wire.frames import Identity


class Stage(Enum):
    """How far a connection has come."""

    DIALLING = auto()
    """The connection itself isn't there yet."""
    GREETED = auto()
    """Our hello is out."""
    MET = auto()
    """The peer has introduced itself, by hello or answer; what becomes of the connection is open."""
    ANSWERED = auto()
    """Our answer is out, the confirmation isn't in."""
    UP = auto()


@dataclass(slots=True, eq=False)
class Entry:
    """One connection.

    Attributes:
        conn: Its number.
        stage: How far it has come.
        peer: The other end as it introduced itself; until then whom we dial.
        told: How we introduced ourselves last.
        target: Whom we dialled, ``None`` if we accepted.
        wanted: Whether we want the link for ourselves; only known once it is up, since a ``connect`` may be given up.
        peer_wants: Whether the peer wanted it when it introduced itself.
        peer_leaves: Whether the peer is about to leave.
        features: What the peer can do beyond the protocol's version.
        echoed: Whether our own hello came in while this dial waited for its answer.
    """

    conn: int
    stage: Stage
    peer: Node
    told: Identity
    target: Node | None = None
    wanted: bool = False
    peer_wants: bool = False
    peer_leaves: bool = False
    features: tuple[str, ...] = ()
    echoed: bool = False

    @property
    def name(self) -> str:
        """The peer's name; its address while the name is unknown."""
        return self.peer.key

    def introduce(self, identity: Identity) -> None:
        """Take in how the peer introduces itself."""
        peer = identity.node()
        self.peer = peer if peer.address or self.target is None else peer.evolve(address=self.target.address)
        self.peer_wants = identity.wanted
        self.peer_leaves = identity.leaving
        self.features = tuple(identity.features)
        self.stage = Stage.MET

    def same_process(self, other: Entry) -> bool:
        """Whether both lead to the same run of the peer."""
        return self.peer.boot_id == other.peer.boot_id


class Entries:
    """All connections, by number, and by the peer's name those that it is linked by, was answered on, or is held on."""

    def __init__(self) -> None:
        self.by_conn: dict[int, Entry] = {}
        self.links: dict[str, Entry] = {}
        self.answered: dict[str, Entry] = {}
        self.held: dict[str, Entry] = {}

    def link_to(self, node: Node) -> Entry | None:
        """Return the link to ``node``."""
        return _find(self.links, node)

    def answered_to(self, node: Node) -> Entry | None:
        """Return the connection on which ``node`` was answered."""
        return _find(self.answered, node)

    def dials_to(self, peer: Node) -> list[Entry]:
        """Return our dials to ``peer`` by its name that have no answer yet."""
        undecided = (Stage.DIALLING, Stage.GREETED)
        return [entry for entry in self.by_conn.values() if entry.stage in undecided and entry.peer.name == peer.name]

    def echo(self) -> None:
        """Note that our own hello has come in: one of those who wait for an answer reached ourselves."""
        for entry in self.by_conn.values():
            entry.echoed |= entry.stage is Stage.GREETED

    def forget(self, entry: Entry) -> None:
        """Take ``entry`` out everywhere."""
        self.by_conn.pop(entry.conn, None)
        for index in (self.links, self.answered, self.held):
            if index.get(entry.name) is entry:
                del index[entry.name]


def leads_to(entry: Entry, node: Node) -> bool:
    """Whether ``entry`` is a connection with ``node`` as discovery knows it.

    While only an address is known, that is whoever answered when we dialled it: a peer can claim any address as its own.
    """
    if node.name is not None:
        return entry.name == node.name
    return entry.target is not None and entry.target.address == node.address


def _find(index: Mapping[str, Entry], node: Node) -> Entry | None:
    if node.name is not None:
        return index.get(node.name)
    return next((entry for entry in index.values() if leads_to(entry, node)), None)
