"""What the link table does, step by step: how links come up, are kept and go down. Pure.

Each step queues actions, which the hub carries out in order.

Who waits for a link
====================

A ``connect`` and the dial that it causes have the same number, but the ``connect`` does not wait
for that dial alone: any link to its node will do. So a dial may make way for another connection of
the same pair while its ``connect`` goes on waiting. Each ``connect`` ends once:

===========================  =======================================================================
``settle``                   A link to its node is up.
``fail``                     Its own dial has failed, or the connection that it waits for instead is
                             lost and nothing has taken its place.
``LinkTable.abandon``        Its caller has given up.
===========================  =======================================================================
"""

from __future__ import annotations

from collections.abc import Callable

from cluster_kit.connectors.tcp.actions import (
    Action,
    AttemptFailed,
    Close,
    Conflict,
    Down,
    Linked,
    PeerLeaving,
    Probe,
    Up,
    Write,
)
from cluster_kit.connectors.tcp.arbitration import Sign, Verdict, judge
from cluster_kit.connectors.tcp.connection import Connection, Connections
from cluster_kit.connectors.tcp.faults import DialFault, NameTaken
from cluster_kit.connectors.tcp.handshake import Presence
from cluster_kit.errors import ConnectReason
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


class LinkSteps:
    """The links of one node, the connections that may become links, and the waiting calls.

    Args:
        us: This node.
        greeting: Returns the application's greeting as it is now.

    Attributes:
        us: This node as it is now.
        connections: All connections.
        attempts: The node to which each waiting ``connect`` wants a link, by number.
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
            case Verdict.REPLACE:
                assert incumbent is not None
                self._replace(incumbent, newcomer)
            case Verdict.YIELD:
                self.drop(newcomer)
                self.defer(newcomer, newcomer.peer, DialFault.of(ConnectReason.CROSSED))
            case Verdict.HOLD:
                self._hold(newcomer)
            case Verdict.CROSSED:
                self._turn_away(newcomer, ConnectReason.CROSSED)
            case Verdict.CONFLICT:
                assert incumbent is not None
                self.do(Conflict(newcomer.name, newcomer.peer.boot_id))
                self._turn_away(newcomer, ConnectReason.CONFLICT, incumbent.peer.boot_id)

    def _replace(self, incumbent: Connection, newcomer: Connection) -> None:
        if self.connections.is_link(incumbent):
            self.do(Down(incumbent.peer, Reason.REPLACED))
        self.drop(incumbent)
        if newcomer.is_dialled:
            self.bring_up(newcomer)
        else:
            self._answer(newcomer)

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
        """Refuse a newcomer, or hang up if we dialled it."""
        if not newcomer.is_dialled:
            self.send(newcomer, self.us.refusal(reason, rival))
        elif reason is ConnectReason.CONFLICT:
            self.send(newcomer, Goodbye(reason=Farewell.CONFLICT, rival=plain_boot(rival)))
        self.drop(newcomer)
        self.fail(newcomer.number, DialFault.of(reason))

    def defer(self, dial: Connection, peer: Node, fault: DialFault) -> None:
        """Let the ``connect`` of a dropped dial wait for the connection that counts for ``peer``.

        It fails with ``fault`` if there is none, or a link to another process of that name.
        """
        link = self.connections.links.get(peer.key)
        if link and link.peer.boot_id == peer.boot_id:
            self.settle(dial.number, link)
        elif peer.key in self.connections.answered and dial.number in self.attempts:
            self.attempts[dial.number] = peer
        else:
            self.fail(dial.number, fault)

    # -- up, kept, down --------------------------------------------------------------------------

    def refuse(self, conn: int, reason: ConnectReason) -> None:
        """Turn away a connection whose hello was just received, before arbitration."""
        rival = self.us.local.boot_id if reason is ConnectReason.CONFLICT else None
        protocol = self.connections.unintroduced.pop(conn)
        self.do(Write(conn, protocol.send(self.us.refusal(reason, rival))))
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
        if link.is_dialled:
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
            self.do(Down(lost.peer, self._down_reason(lost, reason)))
        self.reconsider(lost, Sign.NONE)
        if self.connections.incumbent(lost.name) is None:  # else they wait for the new one
            may_cross = self.connections.has_unrecognized_dial
            fault = DialFault.of(ConnectReason.CROSSED if may_cross else ConnectReason.RESET)
            for attempt in self._waiting_for(lost):
                self.fail(attempt, fault)

    def _down_reason(self, lost: Connection, reason: Reason) -> Reason:
        """Return ``reason``, unless the link broke while another run of its peer was held."""
        successor = self.connections.held.get(lost.name)
        has_successor = successor is not None and not successor.same_process(lost)
        if has_successor and reason in (Reason.CLOSED, Reason.SILENT):
            return Reason.REPLACED
        return reason

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
        """Close a connection and forget it; the caller reports a link down."""
        self.connections.forget(connection)
        connection.protocol.close()
        self.do(Close(connection.number))

    def send(self, connection: Connection, frame: Frame) -> None:
        """Queue ``frame`` to be sent."""
        self.do(Write(connection.number, connection.protocol.send(frame)))

    def do(self, action: Action) -> None:
        """Queue ``action``."""
        self._actions.append(action)

    def take(self) -> list[Action]:
        """Return the queued actions in order, and empty the queue."""
        taken, self._actions = self._actions, []
        return taken
