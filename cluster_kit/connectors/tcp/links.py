"""What the link table does, step by step: how links come up, are kept and go down. Pure.

Each step yields actions, which the hub carries out in order. ``conn`` is the number of a
connection; a connection that we dial has the number of the ``connect`` that asked for it.

Actions are structs: to define as many dataclasses would cost each worker some milliseconds at its
start.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from cluster_kit.connectors.tcp.arbitration import Sign, Verdict, judge
from cluster_kit.connectors.tcp.connection import Connection, Connections
from cluster_kit.connectors.tcp.faults import DialFault, NameTaken
from cluster_kit.connectors.tcp.handshake import Presence
from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Node
from cluster_kit.wire.frames import (
    GREETING_BYTES,
    Confirm,
    Frame,
    Goodbye,
    Greeting,
    Welcome,
    plain_boot,
)
from cluster_kit.wire.link import Farewell


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


Report = Up | Changed | Rekeyed | PeerLeaving | Down | Conflict
Action = Report | Dial | Write | Probe | Close | Linked | AttemptFailed | Echo


class LinkSteps:
    """The links of one node, the connections that may become links, and the calls that wait.

    Args:
        us: This node.
        greeting: Returns the application's greeting as it is now.

    Attributes:
        us: This node as it is now.
        connections: All connections.
        attempts: The node that each ``connect`` wants, by number.
    """

    def __init__(self, us: Presence, greeting: Callable[[], bytes] = bytes) -> None:
        self.us = us
        self.connections = Connections()
        self.attempts: dict[int, Node] = {}
        self._greeting = greeting
        self._actions: list[Action] = []

    # -- which of several connections counts -----------------------------------------------------

    def decide(self, newcomer: Connection, sign: Sign = Sign.NONE) -> None:
        """Carry out the verdict on a connection whose peer has introduced itself."""
        incumbent = self.connections.incumbent(newcomer.name)
        match judge(self.connections.case(newcomer, sign, self.us.local.key)):
            case Verdict.ANSWER:
                self._answer(newcomer)
            case Verdict.CONFIRM:
                self.bring_up(newcomer)
            case Verdict.REPLACE if incumbent:
                self.drop(incumbent)
                self.bring_up(newcomer)
            case Verdict.YIELD:
                self.drop(newcomer)
                self.defer(newcomer, newcomer.peer)
            case Verdict.HOLD:
                self._hold(newcomer)
            case Verdict.CROSSED:
                self._turn_away(newcomer, ConnectReason.CROSSED)
            case Verdict.CONFLICT if incumbent:
                self.do(Conflict(newcomer.name, newcomer.peer.boot_id))
                self._turn_away(newcomer, ConnectReason.CONFLICT, incumbent.peer.boot_id)

    def _hold(self, newcomer: Connection) -> None:
        if earlier := self.connections.held.get(newcomer.name):
            self._turn_away(earlier, ConnectReason.CROSSED)
        self.connections.held[newcomer.name] = newcomer
        if link := self.connections.links.get(newcomer.name):
            self.do(Probe(link.number))

    def reconsider(self, incumbent: Connection, sign: Sign) -> None:
        """Decide on the connection that is held behind ``incumbent``, if there is one."""
        if newcomer := self.connections.held.pop(incumbent.name, None):
            self.decide(newcomer, sign)

    def _turn_away(
        self, newcomer: Connection, reason: ConnectReason, rival: BootId | None = None
    ) -> None:
        """Refuse a connection whose peer has introduced itself, whichever end opened it."""
        if newcomer.target is None:
            self.send(newcomer, self.us.refusal(reason, rival))
        elif reason is ConnectReason.CONFLICT:
            self.send(newcomer, Goodbye(reason=Farewell.CONFLICT, rival=plain_boot(rival)))
        self.drop(newcomer)
        self.fail(newcomer.number, DialFault.of(reason))

    def defer(self, dial: Connection, peer: Node) -> bool:
        """Let the ``connect`` of a dropped dial use the connection that ``peer`` already has.

        Returns:
            Whether there is one.
        """
        link = self.connections.links.get(peer.key)
        if link and link.peer.boot_id == peer.boot_id:
            self.settle(dial.number, link)
        elif peer.key in self.connections.answered and dial.number in self.attempts:
            self.attempts[dial.number] = peer
        else:
            return False
        return True

    # -- up, kept, down --------------------------------------------------------------------------

    def refuse(self, conn: int, reason: ConnectReason) -> None:
        """Turn away a connection whose hello was just received, before arbitration."""
        rival = self.us.local.boot_id if reason is ConnectReason.CONFLICT else None
        link = self.connections.strangers.pop(conn)
        self.do(Write(conn, link.send(self.us.refusal(reason, rival))))
        self.do(Close(conn))

    def _answer(self, newcomer: Connection) -> None:
        for dial in self.connections.dials_to(newcomer.peer):
            self.drop(dial)
        newcomer.sent = self.us.introduction(wanted=bool(self._waiting_for(newcomer)))
        self.connections.answered[newcomer.name] = newcomer
        self._greet(newcomer)
        self.send(newcomer, Welcome(identity=newcomer.sent))

    def _greet(self, connection: Connection) -> None:
        """Send the application's greeting, in as many frames as it takes."""
        if connection.carries_messages(self.us) and (greeting := self._greeting()):
            connection.sent_greeting = greeting
            for start in range(0, len(greeting), GREETING_BYTES):
                self.send(connection, Greeting(greeting[start : start + GREETING_BYTES]))

    def bring_up(self, link: Connection) -> None:
        """Make ``link`` the link to its peer, and confirm it if we dialled it."""
        self.connections.answered.pop(link.name, None)
        self.connections.links[link.name] = link
        if link.target:
            self._greet(link)
            self.send(link, Confirm())
        self.do(Up(link.number, link.peer, link.features, *link.take_greetings(self.us)))
        if link.peer_leaves:
            self.do(PeerLeaving(link.peer))
        for attempt in self._waiting_for(link):
            self.settle(attempt, link)
        self.reconsider(link, Sign.CONFIRMED)
        if link.wanted or link.peer_wants:
            self.update(link)
        else:
            self.part(link)

    def update(self, link: Connection) -> None:
        """Send the peer what has changed about this node and its wish for the link."""
        for frame in link.changes(self.us):
            self.send(link, frame)

    def part(self, link: Connection) -> None:
        """Close a link that neither end wants."""
        self.send(link, Goodbye(reason=Farewell.UNWANTED))
        self.do(Close(link.number))
        self.lose(link, Reason.UNWANTED)

    def lose(self, lost: Connection, reason: Reason) -> None:
        """Forget a connection, and decide about those that waited for it or behind it."""
        was_link = self.connections.is_link(lost)
        was_incumbent = self.connections.incumbent(lost.name) is lost
        self.connections.forget(lost)
        if not was_incumbent:
            return
        if was_link:
            replaced = self._is_replaced(lost, reason)
            self.do(Down(lost.peer, Reason.REPLACED if replaced else reason))
        self.reconsider(lost, Sign.NONE)
        if self.connections.incumbent(lost.name) is None:
            # otherwise they wait for the new incumbent now
            may_cross = not was_link and self.connections.has_unrecognized_dial
            fault = DialFault.of(ConnectReason.CROSSED if may_cross else ConnectReason.RESET)
            for attempt in self._waiting_for(lost):
                self.fail(attempt, fault)

    def _is_replaced(self, lost: Connection, reason: Reason) -> bool:
        """Whether another run of the peer was held behind a link that ended without a goodbye."""
        successor = self.connections.held.get(lost.name)
        is_other = successor is not None and not successor.same_process(lost)
        return is_other and reason in (Reason.CLOSED, Reason.SILENT)

    # -- who waits for a link --------------------------------------------------------------------

    def _waiting_for(self, link: Connection) -> list[int]:
        """Return each ``connect`` to the peer of ``link``, whatever connection it waits for."""
        return [attempt for attempt, node in self.attempts.items() if link.leads_to(node)]

    def settle(self, attempt: int, link: Connection) -> None:
        """Let a ``connect`` return the peer of ``link``."""
        self.attempts.pop(attempt, None)
        dial = self.connections.by_number.get(attempt)
        if dial and dial is not link:
            self.drop(dial)
        link.wanted = True
        self.do(Linked(attempt, link.peer))
        self.update(link)

    def fail(self, attempt: int, fault: DialFault) -> None:
        """Let a ``connect`` fail, if it still waits, and report a process that has our name."""
        if target := self.attempts.pop(attempt, None):
            self.do(AttemptFailed(attempt, fault.error(target)))
        if isinstance(fault, NameTaken):
            self.do(Conflict(self.us.local.key, fault.rival))

    # -- single actions --------------------------------------------------------------------------

    def drop(self, connection: Connection) -> None:
        """Close a connection that is no link."""
        self.connections.forget(connection)
        connection.link.close()
        self.do(Close(connection.number))

    def send(self, connection: Connection, frame: Frame) -> None:
        """Have ``frame`` sent next."""
        self.do(Write(connection.number, connection.link.send(frame)))

    def do(self, action: Action) -> None:
        """Have ``action`` carried out next."""
        self._actions.append(action)

    def take(self) -> list[Action]:
        """Return what is to be done, in order, once."""
        taken, self._actions = self._actions, []
        return taken
