"""What the link table keeps of each connection, and where it looks a peer up.

How far a connection has come is the state of its ``Link`` and nothing else: with the role, that tells everything.

====================  =========================================  ==============================================
state                 as dialler                                 as acceptor
====================  =========================================  ==============================================
``SILENT``            the stream is not open yet                 a stranger: the hello isn't in
``GREETED``           our hello is out                           the hello is in, a verdict is due or held back
``ANSWERED``          the answer is in, a verdict is held back   our answer is out, the confirmation isn't in
``UP``                linked                                     linked
``CLOSED``            over                                       over
====================  =========================================  ==============================================
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cluster_kit.abc import MAX_GREETING_BYTES
from cluster_kit.connectors.tcp.arbitration import Case, Name, Process, Sign
from cluster_kit.connectors.tcp.handshake import Presence
from cluster_kit.errors import RemoteProtocolError
from cluster_kit.node import Node
from cluster_kit.wire.frames import MAX_GREETING_FRAMES, Frame, Identity, Secrets, Update, Want
from cluster_kit.wire.link import Link, Role, State

MESSAGES = "messages"  # in the hello of those whose links carry them


@dataclass(slots=True, eq=False)
class Connection:
    """One connection to a peer.

    Attributes:
        number: Its number.
        link: The protocol as seen from our end, with the state.
        peer: The other end as it introduced itself; before that, whom we dial.
        told: How we introduced ourselves last.
        target: Whom we dialled, ``None`` if we accepted.
        wanted: Whether we want the link for ourselves; only known once it is up, since a ``connect`` may be given up.
        peer_wants: Whether the peer wanted it when it introduced itself.
        peer_leaves: Whether the peer is about to leave.
        features: What the peer can do beyond the protocol's version.
        told_secrets: Which secrets we have told that we hold.
        told_greeting: With what we have greeted, until the link is up.
        echoed: Whether our own hello came in while this dial waited for its answer.
    """

    number: int
    link: Link
    peer: Node
    told: Identity
    target: Node | None = None
    wanted: bool = False
    peer_wants: bool = False
    peer_leaves: bool = False
    features: tuple[str, ...] = ()
    told_secrets: tuple[bytes, ...] = ()
    told_greeting: bytes = b""
    echoed: bool = False
    _greeting: list[bytes] = field(default_factory=list)  # the pieces of the peer's

    @property
    def name(self) -> str:
        """The peer's name; its address while the name is unknown."""
        return self.peer.key

    @property
    def awaits_answer(self) -> bool:
        """Whether our hello is out on a connection that we dialled, and nothing came back yet."""
        return self.target is not None and self.link.state is State.GREETED

    def introduce(self, identity: Identity) -> None:
        """Take in how the peer introduces itself."""
        peer = identity.node()
        self.peer = peer if peer.address or self.target is None else peer.evolve(address=self.target.address)
        self.peer_wants = identity.wanted
        self.peer_leaves = identity.leaving
        self.features = tuple(identity.features)

    def carries_messages(self, us: Presence) -> bool:
        """Whether both ends can."""
        return MESSAGES in us.features and MESSAGES in self.features

    def greet(self, data: bytes) -> None:
        """Take in a piece of the peer's greeting.

        Raises:
            RemoteProtocolError: It has become longer than one may be.
        """
        self._greeting.append(data)
        if len(self._greeting) > MAX_GREETING_FRAMES or sum(map(len, self._greeting)) > MAX_GREETING_BYTES:
            most = f"{MAX_GREETING_BYTES} bytes, or {MAX_GREETING_FRAMES} pieces"
            raise RemoteProtocolError(f"link: greeting of more than {most}")

    def take_greetings(self, us: Presence) -> tuple[bytes | None, bytes]:
        """Return the peer's greeting, ``None`` where the link can't carry messages, and ours, and keep neither."""
        greeting, told = b"".join(self._greeting) if self.carries_messages(us) else None, self.told_greeting
        self._greeting, self.told_greeting = [], b""
        return greeting, told

    def same_process(self, other: Connection) -> bool:
        """Whether both lead to the same run of the peer."""
        return self.peer.boot_id == other.peer.boot_id

    def leads_to(self, node: Node) -> bool:
        """Whether it is a connection with ``node`` as discovery knows it.

        While only an address is known, that is whoever answered when we dialled it: a peer can claim any address as its own.
        """
        if node.name is not None:
            return self.name == node.name
        return self.target is not None and self.target.address == node.address

    def news(self, us: Presence) -> Iterator[Frame]:
        """Yield what the peer has not been told yet of ``us`` and of our wish for the link."""
        was, self.told = self.told, us.introduction(wanted=self.wanted)
        if (self.told.metadata, self.told.leaving) != (was.metadata, was.leaving):
            yield Update(metadata=self.told.metadata, leaving=self.told.leaving)
        if self.told.wanted != was.wanted:
            yield Want(wanted=self.wanted)
        if us.secrets != self.told_secrets:
            self.told_secrets = us.secrets
            yield Secrets(list(us.secrets))


class Connections:
    """All connections, each by its number: of strangers who have not introduced themselves yet, and of known peers.

    By the peer's name there is at most one that counts, the incumbent: it is a link, or was answered and waits for its
    confirmation. Behind it at most one other is held until it is known whether the incumbent is alive.
    """

    def __init__(self) -> None:
        self.strangers: dict[int, Link] = {}
        self.by_number: dict[int, Connection] = {}
        self.links: dict[str, Connection] = {}
        self.answered: dict[str, Connection] = {}
        self.held: dict[str, Connection] = {}

    def accept(self, number: int) -> Link:
        """Take in a connection that a stranger opened to us, and return its protocol."""
        link = self.strangers[number] = Link(Role.ACCEPTOR)
        return link

    def introduced(self, number: int, identity: Identity, told: Identity) -> Connection:
        """Return the connection of a stranger who has introduced itself by ``identity``."""
        connection = Connection(number, self.strangers.pop(number), identity.node(), told)
        connection.introduce(identity)
        self.by_number[number] = connection
        return connection

    def dial(self, number: int, target: Node, told: Identity) -> None:
        """Take in a connection that we dial."""
        self.by_number[number] = Connection(number, Link(Role.DIALLER), target, told, target=target)

    def incumbent(self, name: str) -> Connection | None:
        """Return the connection that counts for ``name``."""
        return self.links.get(name) or self.answered.get(name)

    def is_link(self, connection: Connection) -> bool:
        """Whether ``connection`` is the link to its peer."""
        return self.links.get(connection.name) is connection

    def link_to(self, node: Node) -> Connection | None:
        """Return the link to ``node``."""
        if node.name is not None:
            return self.links.get(node.name)
        return next((link for link in self.links.values() if link.leads_to(node)), None)

    def dials_to(self, peer: Node) -> list[Connection]:
        """Return our dials to ``peer`` by its name that have no answer yet."""
        return [each for each in self.by_number.values() if each.peer.name == peer.name and _has_no_answer(each)]

    def case(self, newcomer: Connection, sign: Sign, own_name: str) -> Case:
        """Return what there is to judge ``newcomer`` by.

        Args:
            newcomer: Its peer has introduced itself.
            sign: What is known of the incumbent since.
            own_name: Of this node.
        """
        incumbent, dials = self.incumbent(newcomer.name), self.dials_to(newcomer.peer)
        state = process = our_dial = None
        if incumbent:
            state = State.UP if self.is_link(incumbent) else State.ANSWERED
            process = Process.SAME if incumbent.same_process(newcomer) else Process.OTHER
        if dials:
            our_dial = State.GREETED if any(dial.awaits_answer for dial in dials) else State.SILENT
        lower = Name.OURS if own_name < newcomer.name else Name.THEIRS
        return Case(newcomer.link.role, state, process, sign, our_dial, lower)

    def echo(self) -> None:
        """Note that our own hello has come in: one of those who wait for an answer reached ourselves."""
        for each in self.by_number.values():
            each.echoed |= each.awaits_answer

    def forget(self, connection: Connection) -> None:
        """Take ``connection`` out everywhere."""
        self.by_number.pop(connection.number, None)
        for index in (self.links, self.answered, self.held):
            if index.get(connection.name) is connection:
                del index[connection.name]


def _has_no_answer(connection: Connection) -> bool:
    return connection.link.role is Role.DIALLER and connection.link.state in (State.SILENT, State.GREETED)
