"""What the link table knows about each connection, and how it finds the connections of a peer.

A connection has one state, that of its ``LinkProtocol``. Its meaning depends on which end we are:

============  ===================================  ===========================================
state         we dialled                           we accepted
============  ===================================  ===========================================
``SILENT``    the stream is not open yet           no hello yet
``GREETED``   our hello is out                     the hello is in, and judged or held
``ANSWERED``  the answer is in, and held           our answer is out, no confirmation yet
``UP``        linked                               linked
``CLOSED``    over                                 over
============  ===================================  ===========================================
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cluster_kit.abc import MAX_GREETING_BYTES
from cluster_kit.connectors.tcp.arbitration import Case, Name, PeerRun, Sign
from cluster_kit.connectors.tcp.handshake import Presence
from cluster_kit.errors import RemoteProtocolError
from cluster_kit.node import Node
from cluster_kit.wire.frames import MAX_GREETING_FRAMES, Frame, Identity, Secrets, Update, Want
from cluster_kit.wire.link import LinkProtocol, LinkState, Role

MESSAGES = "messages"  # in the identity of a node whose links carry messages


@dataclass(slots=True, eq=False)
class Connection:
    """One connection to a peer.

    Attributes:
        number: Its number.
        protocol: The link protocol as seen from our end, with the state.
        peer: The other end as it introduced itself; before that, the node that we dial.
        sent: What the peer knows about us: our identity as we sent it last.
        dialled_at: The address that we dialled; ``None`` if we accepted.
        wanted: Whether we want the link for ourselves. That is settled when the link comes up:
            before, the ``connect`` that wants it may be given up.
        peer_wants: Whether the peer wanted the link when it introduced itself.
        peer_leaves: Whether the peer is about to leave.
        features: What the peer can do beyond the protocol's version.
        sent_secrets: The secrets that the peer knows us to hold, by id.
        sent_greeting: The greeting that we sent, until the link is up.
        echoed: Whether our own hello came in while this dial waited for its answer.
    """

    number: int
    protocol: LinkProtocol
    peer: Node
    sent: Identity
    dialled_at: str | None = None
    wanted: bool = False
    peer_wants: bool = False
    peer_leaves: bool = False
    features: tuple[str, ...] = ()
    sent_secrets: tuple[bytes, ...] = ()
    sent_greeting: bytes = b""
    echoed: bool = False
    _greeting: list[bytes] = field(default_factory=list)  # the peer's, as far as it was received

    @property
    def name(self) -> str:
        """The peer's name; its address while the name is unknown."""
        return self.peer.key

    @property
    def is_dialled(self) -> bool:
        """Whether we dialled; otherwise we accepted."""
        return self.protocol.role is Role.DIALLER

    @property
    def awaits_answer(self) -> bool:
        """Whether we dialled, our hello is out, and nothing has come back yet."""
        return self.is_dialled and self.protocol.state is LinkState.GREETED

    @property
    def is_unanswered(self) -> bool:
        """Whether we dialled, and no answer has come back, or the stream isn't even open."""
        return self.is_dialled and self.protocol.state in (LinkState.SILENT, LinkState.GREETED)

    def introduce(self, identity: Identity) -> None:
        """Record how the peer introduces itself; without an address it has the one we dialled."""
        peer = identity.node()
        self.peer = peer if peer.address else peer.evolve(address=self.dialled_at)
        self.peer_wants = identity.wanted
        self.peer_leaves = identity.leaving
        self.features = tuple(identity.features)

    def carries_messages(self, us: Presence) -> bool:
        """Whether the link can carry messages: both ends have the feature."""
        return MESSAGES in us.features and MESSAGES in self.features

    def add_greeting(self, data: bytes) -> None:
        """Add a piece of the peer's greeting.

        Raises:
            RemoteProtocolError: The greeting is too long.
        """
        self._greeting.append(data)
        pieces, size_bytes = len(self._greeting), sum(map(len, self._greeting))
        if pieces > MAX_GREETING_FRAMES or size_bytes > MAX_GREETING_BYTES:
            most = f"{MAX_GREETING_BYTES} bytes, or {MAX_GREETING_FRAMES} pieces"
            raise RemoteProtocolError(f"link: greeting of more than {most}")

    def take_greetings(self, us: Presence) -> tuple[bytes | None, bytes]:
        """Return the peer's greeting, ``None`` if the link carries no messages, and ours.

        Neither is kept.
        """
        greeting = b"".join(self._greeting) if self.carries_messages(us) else None
        sent = self.sent_greeting
        self._greeting, self.sent_greeting = [], b""
        return greeting, sent

    def same_process(self, other: Connection) -> bool:
        """Whether both lead to the same run of the peer."""
        return self.peer.boot_id == other.peer.boot_id

    def leads_to(self, node: Node) -> bool:
        """Whether it is a connection with ``node``, as discovery knows it.

        If only the address of ``node`` is known, then it is the peer that answered our dial to it.
        What a peer says about its own address proves nothing.
        """
        if node.name is not None:
            return self.name == node.name
        return self.dialled_at == node.address

    def changes(self, us: Presence) -> Iterator[Frame]:
        """Yield the frames that inform the peer of changes of this node and of our wish."""
        was, self.sent = self.sent, us.introduction(wanted=self.wanted)
        if (self.sent.metadata, self.sent.leaving) != (was.metadata, was.leaving):
            yield Update(metadata=self.sent.metadata, leaving=self.sent.leaving)
        if self.sent.wanted != was.wanted:
            yield Want(wanted=self.wanted)
        if us.secrets != self.sent_secrets:
            self.sent_secrets = us.secrets
            yield Secrets(list(us.secrets))


class Connections:
    """All connections, and for each name those that play a part in arbitration.

    Attributes:
        unintroduced: Connections that we accepted, and that brought no hello yet, by number.
        by_number: All others, by number.
        links: The links, by the peer's name. Links and ``answered`` are the incumbents: at most one
            connection for each name.
        answered: Connections whose confirmation is outstanding, by the peer's name.
        held: Newcomers that wait for news of an incumbent, by the peer's name.
    """

    def __init__(self) -> None:
        self.unintroduced: dict[int, LinkProtocol] = {}
        self.by_number: dict[int, Connection] = {}
        self.links: dict[str, Connection] = {}
        self.answered: dict[str, Connection] = {}
        self.held: dict[str, Connection] = {}

    def accept(self, number: int) -> LinkProtocol:
        """Add a connection that a peer opened to us, and return its protocol."""
        protocol = self.unintroduced[number] = LinkProtocol(Role.ACCEPTOR)
        return protocol

    def introduced(self, number: int, identity: Identity, sent: Identity) -> Connection:
        """Return the connection of a peer that has now introduced itself."""
        connection = Connection(number, self.unintroduced.pop(number), identity.node(), sent)
        connection.introduce(identity)
        self.by_number[number] = connection
        return connection

    def dial(self, number: int, target: Node, sent: Identity) -> None:
        """Add a connection that we dial."""
        self.by_number[number] = Connection(
            number, LinkProtocol(Role.DIALLER), target, sent, dialled_at=target.address
        )

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
        """Return our dials to ``peer``, by its name, that have no answer yet."""
        peers = [each for each in self.by_number.values() if each.peer.name == peer.name]
        return [each for each in peers if each.is_unanswered]

    @property
    def has_unrecognized_dial(self) -> bool:
        """Whether we await an answer at an address, without knowing whose it is.

        It may be that of a peer that dials us, and gives up its own dial for the sake of ours.
        """
        unrecognized = (each for each in self.by_number.values() if each.peer.name is None)
        return any(each.awaits_answer for each in unrecognized)

    def case(self, newcomer: Connection, sign: Sign, own_name: str) -> Case:
        """Return the case to judge ``newcomer`` by.

        Args:
            newcomer: A connection whose peer has introduced itself.
            sign: What has been learnt about the incumbent since then.
            own_name: The name of this node.
        """
        incumbent, dials = self.incumbent(newcomer.name), self.dials_to(newcomer.peer)
        state = process = our_dial = None
        if incumbent:
            state = LinkState.UP if self.is_link(incumbent) else LinkState.ANSWERED
            process = PeerRun.SAME if incumbent.same_process(newcomer) else PeerRun.OTHER
        if dials:
            our_dial = (
                LinkState.GREETED if any(dial.awaits_answer for dial in dials) else LinkState.SILENT
            )
        lower = Name.OURS if own_name < newcomer.name else Name.THEIRS
        return Case(newcomer.protocol.role, state, process, sign, our_dial, lower)

    def echo(self) -> None:
        """Note that our own hello came in, so one of our dials has reached this node."""
        for each in self.by_number.values():
            each.echoed |= each.awaits_answer

    def forget(self, connection: Connection) -> None:
        """Remove ``connection`` from every index."""
        self.by_number.pop(connection.number, None)
        for index in (self.links, self.answered, self.held):
            if index.get(connection.name) is connection:
                del index[connection.name]
