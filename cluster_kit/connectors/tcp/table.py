"""Settles each pair of nodes on one link, however many connections were opened between them and by whom. Pure.

Frames and lost connections go in, actions come out. Which of several connections counts is a matter of ``arbitration``; here
the verdict is carried out, and each ``connect`` gets the link or an error.
"""

from __future__ import annotations

from msgspec.structs import replace

from cluster_kit.connectors.tcp.actions import (
    Action,
    Close,
    Conflict,
    Dial,
    Down,
    Echo,
    Failed,
    Linked,
    PeerLeaving,
    Probe,
    Send,
    Up,
)
from cluster_kit.connectors.tcp.arbitration import Sign, Verdict, judge
from cluster_kit.connectors.tcp.connection import Connection, Connections
from cluster_kit.connectors.tcp.handshake import HangUps, Presence, connect_error
from cluster_kit.errors import ConnectError, ConnectReason, NameConflict
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.wire.frames import (
    Answer,
    Confirm,
    Frame,
    Goodbye,
    Hello,
    Identity,
    Refusal,
    Update,
    Want,
    plain_boot,
    read_boot,
)
from cluster_kit.wire.link import Farewell, Link

_REASON_OF: dict[str, Reason] = {Farewell.UNWANTED: Reason.UNWANTED, Farewell.CONFLICT: Reason.REPLACED}


class LinkTable:
    """All connections of one node. Each method that returns actions tells what is to be done, in order.

    Args:
        local: This node, with name, boot and address.
        fence: What a peer must have in common with it.
        features: What it can do beyond the protocol's version.
    """

    def __init__(self, local: Node, fence: Fence, features: tuple[str, ...] = ()) -> None:
        self._us = Presence(local, fence, features=features)
        self._connections = Connections()
        self._attempts: dict[int, Node] = {}  # each ``connect`` that waits
        self._hang_ups = HangUps()
        self._actions: list[Action] = []

    # -- our own wishes --------------------------------------------------------------------------------------------------------

    def connect(self, attempt: int, node: Node) -> list[Action]:
        """Want a link to ``node``; ``Linked`` or ``Failed`` follows, once."""
        self._attempts[attempt] = node
        if link := self._connections.link_to(node):
            self._settle(attempt, link)
        elif node.name in self._connections.answered:
            pass  # the peer's own dial is about to succeed
        elif node.address is None:
            self._fail(attempt, connect_error(node, ConnectReason.UNREACHABLE, "no address known"))
        else:
            self._connections.dial(attempt, node, self._us.introduction(wanted=True))
            self._do(Dial(attempt, node))
        return self._take()

    def abandon(self, attempt: int) -> list[Action]:
        """Note that nobody waits for ``attempt`` any more; a link that it made stays."""
        self._attempts.pop(attempt, None)
        dial = self._connections.by_number.get(attempt)
        if dial and not self._connections.is_link(dial):
            self._drop(dial)
        return self._take()

    def disconnect(self, node: Node) -> list[Action]:
        """Want the link to ``node`` no longer."""
        if link := self._connections.link_to(node):
            link.wanted = False
            self._tell(link)
        return self._take()

    def update(self, local: Node, leaving: bool) -> list[Action]:
        """Tell every peer how this node is now."""
        self._us = replace(self._us, local=local, leaving=leaving)
        for link in self._connections.links.values():
            self._tell(link)
        return self._take()

    def stop(self) -> list[Action]:
        """Say goodbye to everybody and close everything."""
        incumbents = (*self._connections.links.values(), *self._connections.answered.values())
        for each in sorted(incumbents, key=lambda each: each.name):
            self._say(each, Goodbye(reason=Farewell.LEAVING))
            if self._connections.is_link(each):
                self._do(Down(each.peer, Reason.SHUTDOWN))
        for each in list(self._connections.by_number.values()):
            self._drop(each)
        for attempt, node in list(self._attempts.items()):
            self._fail(attempt, connect_error(node, ConnectReason.FAILED, "we are stopping"))
        return self._take()

    # -- what happens to connections -------------------------------------------------------------------------------------------

    def accept(self, conn: int) -> Link:
        """Take in a connection that somebody opened to us, and return its protocol."""
        return self._connections.accept(conn)

    def link(self, conn: int) -> Link:
        """Return the protocol of a connection that we dial."""
        return self._connections.by_number[conn].link

    def established(self, conn: int) -> list[Action]:
        """Greet: a connection that we dialled is there."""
        dial = self._connections.by_number[conn]
        dial.told = self._us.introduction(wanted=True)
        self._say(dial, self._us.hello())
        return self._take()

    def refuse(self, conn: int, reason: ConnectReason) -> list[Action]:
        """Turn away a connection that we accepted, whoever it is that dialled."""
        self._refuse_stranger(conn, reason)
        return self._take()

    def closed(
        self, conn: int, reason: Reason = Reason.CLOSED, cause: ConnectReason = ConnectReason.RESET, detail: str = ""
    ) -> list[Action]:
        """Note that a connection is lost; ``reason`` is for a link that was up, ``cause`` and ``detail`` for a dial."""
        self._connections.strangers.pop(conn, None)
        if connection := self._connections.by_number.get(conn):
            if connection.awaits_answer and cause is ConnectReason.RESET and self._hang_ups.again(connection.name):
                cause, detail = ConnectReason.PROTOCOL, "it hangs up on us time and again"
            self._lose(connection, reason)
            if conn in self._attempts:
                self._fail(conn, connect_error(self._attempts[conn], cause, detail))
        return self._take()

    def heard(self, conn: int) -> list[Action]:
        """Note a sign of life that followed a ``Probe``: who was held on account of this link gets an answer."""
        link = self._connections.by_number.get(conn)
        if link and self._connections.is_link(link):
            self._reconsider(link, Sign.HEARD)
        return self._take()

    def receive(self, conn: int, frame: Frame) -> list[Action]:
        """Take in a frame that the link protocol allows now; heartbeats are not for the table."""
        if isinstance(frame, Hello):
            self._hear_hello(conn, frame)
        elif connection := self._connections.by_number.get(conn):
            self._hear(connection, frame)
        return self._take()

    def _hear(self, connection: Connection, frame: Frame) -> None:
        match frame:
            case Answer():
                self._hear_answer(connection, frame.identity)
            case Refusal():
                self._hear_refusal(connection, frame)
            case Confirm():
                self._raise(connection)
            case Want():
                self._hear_want(connection, frame)
            case Update():
                self._actions += connection.take_in(frame)
            case Goodbye():
                self._hear_goodbye(connection, frame)

    def _hear_hello(self, conn: int, hello: Hello) -> None:
        reason, identity = self._us.judge_hello(hello), hello.identity
        if reason is ConnectReason.SELF:
            self._connections.echo()
            self._do(Echo(conn))
        elif reason is ConnectReason.CONFLICT and identity:
            self._do(Conflict(self._us.local.key, BootId(*identity.boot)))
        if reason or identity is None:
            self._refuse_stranger(conn, reason or ConnectReason.PROTOCOL)
            return
        self._decide(self._connections.introduced(conn, identity, self._us.introduction(wanted=False)))

    def _hear_answer(self, dial: Connection, identity: Identity) -> None:
        assert dial.target is not None
        self._hang_ups.answered(dial.target.key)
        if error := self._us.judge_answer(dial.target, identity):
            self._drop(dial)
            self._fail(dial.number, error, BootId(*identity.boot))
        else:
            dial.introduce(identity)
            self._decide(dial)

    def _hear_refusal(self, dial: Connection, refusal: Refusal) -> None:
        assert dial.target is not None
        self._hang_ups.answered(dial.target.key)
        self._drop(dial)
        error = self._us.explain(dial.target, refusal, echoed=dial.echoed)
        if not (error.reason is ConnectReason.CROSSED and refusal.identity and self._defer(dial, refusal.identity.node())):
            self._fail(dial.number, error, read_boot(refusal.rival))

    def _hear_want(self, link: Connection, want: Want) -> None:
        """Close the link if neither end wants it. Never the teller: the other end's wish may have changed meanwhile."""
        if not want.wanted and not link.wanted:
            self._part(link)

    def _hear_goodbye(self, connection: Connection, goodbye: Goodbye) -> None:
        if goodbye.reason == Farewell.CONFLICT:
            self._do(Conflict(self._us.local.key, read_boot(goodbye.rival)))
        self._do(Close(connection.number))
        self._lose(connection, _REASON_OF.get(goodbye.reason, Reason.LEFT))

    # -- which of several connections ------------------------------------------------------------------------------------------

    def _decide(self, newcomer: Connection, sign: Sign = Sign.NONE) -> None:
        """Carry out the verdict on a connection whose peer has introduced itself."""
        incumbent = self._connections.incumbent(newcomer.name)
        match judge(self._connections.case(newcomer, sign, self._us.local.key)):
            case Verdict.ANSWER:
                self._answer(newcomer)
            case Verdict.CONFIRM:
                self._raise(newcomer)
            case Verdict.REPLACE if incumbent:
                self._drop(incumbent)
                self._raise(newcomer)
            case Verdict.YIELD:
                self._drop(newcomer)
                self._defer(newcomer, newcomer.peer)
            case Verdict.HOLD:
                self._hold(newcomer)
            case Verdict.CROSSED:
                self._turn_away(newcomer, ConnectReason.CROSSED)
            case Verdict.CONFLICT if incumbent:
                self._do(Conflict(newcomer.name, newcomer.peer.boot_id))
                self._turn_away(newcomer, ConnectReason.CONFLICT, incumbent.peer.boot_id)

    def _hold(self, newcomer: Connection) -> None:
        if earlier := self._connections.held.get(newcomer.name):
            self._turn_away(earlier, ConnectReason.CROSSED)
        self._connections.held[newcomer.name] = newcomer
        if link := self._connections.links.get(newcomer.name):
            self._do(Probe(link.number))

    def _reconsider(self, incumbent: Connection, sign: Sign) -> None:
        """Decide on whoever is held behind ``incumbent``, of which something is known now."""
        if newcomer := self._connections.held.pop(incumbent.name, None):
            self._decide(newcomer, sign)

    def _turn_away(self, newcomer: Connection, reason: ConnectReason, rival: BootId | None = None) -> None:
        """Refuse a connection whose peer has introduced itself, whichever end opened it."""
        if newcomer.target is None:
            self._say(newcomer, self._us.refusal(reason, rival))
        elif reason is ConnectReason.CONFLICT:
            self._say(newcomer, Goodbye(reason=Farewell.CONFLICT, rival=plain_boot(rival)))
        self._drop(newcomer)
        if newcomer.target:
            self._fail(newcomer.number, connect_error(newcomer.target, reason))

    def _defer(self, dial: Connection, peer: Node) -> bool:
        """Let the ``connect`` behind a dropped dial have the connection that ``peer`` has already, if there is one."""
        link = self._connections.links.get(peer.key)
        if link and link.peer.boot_id == peer.boot_id:
            self._settle(dial.number, link)
        elif peer.key in self._connections.answered and dial.number in self._attempts:
            self._attempts[dial.number] = peer
        else:
            return False
        return True

    # -- steps -----------------------------------------------------------------------------------------------------------------

    def _refuse_stranger(self, conn: int, reason: ConnectReason) -> None:
        rival = self._us.local.boot_id if reason is ConnectReason.CONFLICT else None
        link = self._connections.strangers.pop(conn)
        self._do(Send(conn, link.send(self._us.refusal(reason, rival))))
        self._do(Close(conn))

    def _answer(self, newcomer: Connection) -> None:
        for dial in self._connections.dials_to(newcomer.peer):
            self._drop(dial)
        newcomer.told = self._us.introduction(wanted=bool(self._waiting_for(newcomer)))
        self._connections.answered[newcomer.name] = newcomer
        self._say(newcomer, Answer(identity=newcomer.told))

    def _raise(self, link: Connection) -> None:
        """Bring the link up."""
        self._connections.answered.pop(link.name, None)
        self._connections.links[link.name] = link
        if link.target:
            self._say(link, Confirm())
        self._do(Up(link.number, link.peer, link.features))
        if link.peer_leaves:
            self._do(PeerLeaving(link.peer))
        for attempt, node in list(self._attempts.items()):
            if attempt == link.number or link.leads_to(node):
                self._settle(attempt, link)
        self._reconsider(link, Sign.CONFIRMED)
        if link.wanted or link.peer_wants:
            self._tell(link)
        else:
            self._part(link)

    def _tell(self, link: Connection) -> None:
        for frame in link.news(self._us):
            self._say(link, frame)

    def _part(self, link: Connection) -> None:
        """Close a link that neither end wants."""
        self._say(link, Goodbye(reason=Farewell.UNWANTED))
        self._do(Close(link.number))
        self._lose(link, Reason.UNWANTED)

    def _lose(self, lost: Connection, reason: Reason) -> None:
        """Forget a connection, and let those who counted on it, or stood behind it, know."""
        was_link = self._connections.is_link(lost)
        was_incumbent = self._connections.incumbent(lost.name) is lost
        self._connections.forget(lost)
        if not was_incumbent:
            return
        successor = self._connections.held.get(lost.name)
        if was_link:
            restarted = successor and not successor.same_process(lost) and reason in (Reason.CLOSED, Reason.SILENT)
            self._do(Down(lost.peer, Reason.REPLACED if restarted else reason))
        self._reconsider(lost, Sign.NONE)
        if self._connections.incumbent(lost.name) is None:  # else those who waited wait for that one now
            for attempt, node in self._waiting_for(lost):
                self._fail(attempt, connect_error(node, ConnectReason.RESET))

    def _waiting_for(self, connection: Connection) -> list[tuple[int, Node]]:
        """Return each ``connect`` to the peer of ``connection``, be it that it waits for this or for a dial of its own."""
        return [(attempt, node) for attempt, node in self._attempts.items() if connection.leads_to(node)]

    def _settle(self, attempt: int, link: Connection) -> None:
        """Let a ``connect`` have ``link``."""
        self._attempts.pop(attempt, None)
        dial = self._connections.by_number.get(attempt)
        if dial and dial is not link:
            self._drop(dial)
        link.wanted = True
        self._do(Linked(attempt, link.peer))
        self._tell(link)

    def _fail(self, attempt: int, error: ConnectError, rival: BootId | None = None) -> None:
        if self._attempts.pop(attempt, None):
            self._do(Failed(attempt, error))
        if isinstance(error, NameConflict):
            self._do(Conflict(self._us.local.key, rival))

    def _drop(self, connection: Connection) -> None:
        self._connections.forget(connection)
        connection.link.close()
        self._do(Close(connection.number))

    def _say(self, connection: Connection, frame: Frame) -> None:
        self._do(Send(connection.number, connection.link.send(frame)))

    def _do(self, action: Action) -> None:
        self._actions.append(action)

    def _take(self) -> list[Action]:
        taken, self._actions = self._actions, []
        return taken
