"""The steps by which links come up, are kept and go down, as actions that the hub carries out in order. Pure.

``conn`` numbers a connection. A dialled connection has the number of the ``connect`` that asked for it.
Structs rather than dataclasses, each of which would cost a worker a millisecond to define when it starts.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from cluster_kit.connectors.tcp.arbitration import Sign, Verdict, judge
from cluster_kit.connectors.tcp.connection import Connection, Connections
from cluster_kit.connectors.tcp.handshake import Presence, connect_error
from cluster_kit.errors import ConnectError, ConnectReason, NameConflict
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Node
from cluster_kit.wire.frames import GREETING_BYTES, Answer, Confirm, Frame, Goodbye, Greeting, plain_boot
from cluster_kit.wire.link import Farewell


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
    """Report the link up; ``features`` are the peer's, ``greeting`` as well, and ``told`` is ours.

    ``greeting`` is ``None`` where the link can't carry messages.
    """

    conn: int
    peer: Node
    features: tuple[str, ...] = ()
    greeting: bytes | None = None
    told: bytes = b""


class Changed(Struct, frozen=True):
    """Report that the peer changed its metadata."""

    conn: int
    peer: Node


class Rekeyed(Struct, frozen=True):
    """Report which secrets the peer holds, by id, the one that it uses first."""

    peer: Node
    secrets: tuple[bytes, ...]


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


Action = Dial | Send | Probe | Close | Up | Changed | Rekeyed | PeerLeaving | Down | Linked | Failed | Echo | Conflict


class Links:
    """The links of one node, with the connections that may become links and each ``connect`` that waits for one.

    Args:
        us: This node.
        greeting: Returns what the application greets with now.

    Attributes:
        us: This node as it is now.
        connections: All of them.
        attempts: Whom each ``connect`` wants, by its number.
    """

    def __init__(self, us: Presence, greeting: Callable[[], bytes] = bytes) -> None:
        self.us = us
        self._greeting = greeting
        self.connections = Connections()
        self.attempts: dict[int, Node] = {}
        self._actions: list[Action] = []

    # -- which of several connections ------------------------------------------------------------------------------------------

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
        """Decide on whoever is held behind ``incumbent``, of which something is known now."""
        if newcomer := self.connections.held.pop(incumbent.name, None):
            self.decide(newcomer, sign)

    def _turn_away(self, newcomer: Connection, reason: ConnectReason, rival: BootId | None = None) -> None:
        """Refuse a connection whose peer has introduced itself, whichever end opened it."""
        if newcomer.target is None:
            self.say(newcomer, self.us.refusal(reason, rival))
        elif reason is ConnectReason.CONFLICT:
            self.say(newcomer, Goodbye(reason=Farewell.CONFLICT, rival=plain_boot(rival)))
        self.drop(newcomer)
        if newcomer.target:
            self.fail(newcomer.number, connect_error(newcomer.target, reason))

    def defer(self, dial: Connection, peer: Node) -> bool:
        """Let the ``connect`` behind a dropped dial have the connection that ``peer`` has already, if there is one."""
        link = self.connections.links.get(peer.key)
        if link and link.peer.boot_id == peer.boot_id:
            self.settle(dial.number, link)
        elif peer.key in self.connections.answered and dial.number in self.attempts:
            self.attempts[dial.number] = peer
        else:
            return False
        return True

    # -- up, kept, down --------------------------------------------------------------------------------------------------------

    def refuse(self, conn: int, reason: ConnectReason) -> None:
        """Turn away a stranger."""
        rival = self.us.local.boot_id if reason is ConnectReason.CONFLICT else None
        link = self.connections.strangers.pop(conn)
        self.do(Send(conn, link.send(self.us.refusal(reason, rival))))
        self.do(Close(conn))

    def _answer(self, newcomer: Connection) -> None:
        for dial in self.connections.dials_to(newcomer.peer):
            self.drop(dial)
        newcomer.told = self.us.introduction(wanted=bool(self._waiting_for(newcomer)))
        self.connections.answered[newcomer.name] = newcomer
        self._greet(newcomer)
        self.say(newcomer, Answer(identity=newcomer.told))

    def _greet(self, connection: Connection) -> None:
        """Greet by what is to be said now; nothing takes no word."""
        if connection.carries_messages(self.us) and (greeting := self._greeting()):
            connection.told_greeting = greeting
            for start in range(0, len(greeting), GREETING_BYTES):
                self.say(connection, Greeting(greeting[start : start + GREETING_BYTES]))

    def bring_up(self, link: Connection) -> None:
        """Bring the link up."""
        self.connections.answered.pop(link.name, None)
        self.connections.links[link.name] = link
        if link.target:
            self._greet(link)
            self.say(link, Confirm())
        self.do(Up(link.number, link.peer, link.features, *link.take_greetings(self.us)))
        if link.peer_leaves:
            self.do(PeerLeaving(link.peer))
        for attempt, node in list(self.attempts.items()):
            if attempt == link.number or link.leads_to(node):
                self.settle(attempt, link)
        self.reconsider(link, Sign.CONFIRMED)
        if link.wanted or link.peer_wants:
            self.tell(link)
        else:
            self.part(link)

    def tell(self, link: Connection) -> None:
        """Bring the peer up to date about this node and its wish for the link."""
        for frame in link.news(self.us):
            self.say(link, frame)

    def part(self, link: Connection) -> None:
        """Close a link that neither end wants."""
        self.say(link, Goodbye(reason=Farewell.UNWANTED))
        self.do(Close(link.number))
        self.lose(link, Reason.UNWANTED)

    def lose(self, lost: Connection, reason: Reason) -> None:
        """Forget a connection, and let those who counted on it, or stood behind it, know."""
        was_link = self.connections.is_link(lost)
        was_incumbent = self.connections.incumbent(lost.name) is lost
        self.connections.forget(lost)
        if not was_incumbent:
            return
        successor = self.connections.held.get(lost.name)
        if was_link:
            restarted = successor and not successor.same_process(lost) and reason in (Reason.CLOSED, Reason.SILENT)
            self.do(Down(lost.peer, Reason.REPLACED if restarted else reason))
        self.reconsider(lost, Sign.NONE)
        if self.connections.incumbent(lost.name) is None:  # else those who waited wait for that one now
            for attempt, node in self._waiting_for(lost):
                self.fail(attempt, connect_error(node, ConnectReason.RESET))

    # -- who waits for a link --------------------------------------------------------------------------------------------------

    def _waiting_for(self, connection: Connection) -> list[tuple[int, Node]]:
        """Return each ``connect`` to the peer of ``connection``, be it that it waits for this or for a dial of its own."""
        return [(attempt, node) for attempt, node in self.attempts.items() if connection.leads_to(node)]

    def settle(self, attempt: int, link: Connection) -> None:
        """Let a ``connect`` have ``link``."""
        self.attempts.pop(attempt, None)
        dial = self.connections.by_number.get(attempt)
        if dial and dial is not link:
            self.drop(dial)
        link.wanted = True
        self.do(Linked(attempt, link.peer))
        self.tell(link)

    def fail(self, attempt: int, error: ConnectError, rival: BootId | None = None) -> None:
        """Let a ``connect`` fail, if it still waits, and report who has our name where that is why."""
        if self.attempts.pop(attempt, None):
            self.do(Failed(attempt, error))
        if isinstance(error, NameConflict):
            self.do(Conflict(self.us.local.key, rival))

    # -- single actions --------------------------------------------------------------------------------------------------------

    def drop(self, connection: Connection) -> None:
        """Close a connection that is no link."""
        self.connections.forget(connection)
        connection.link.close()
        self.do(Close(connection.number))

    def say(self, connection: Connection, frame: Frame) -> None:
        """Send ``frame``."""
        self.do(Send(connection.number, connection.link.send(frame)))

    def do(self, action: Action) -> None:
        """Have ``action`` carried out next."""
        self._actions.append(action)

    def take(self) -> list[Action]:
        """Return what is to be done, in order, once."""
        taken, self._actions = self._actions, []
        return taken
