"""Keeps one link for each pair of nodes, however many connections they open. Pure.

Events go in: a wish of this node, a frame, a lost connection. Actions come out, which the hub
carries out in order. Each of the modules behind this one answers one question:

=================  =================================================================
``wire.link``      How far has a connection come? Which frame may follow which?
``connection``     Which connections are there, and what is known of each?
``handshake``      May we be linked to that peer at all?
``arbitration``    Which of several connections to one peer counts?
``steps``          By which steps does a link come up, stay, and go down?
``actions``        What can the hub be asked to do?
=================  =================================================================
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from msgspec.structs import replace

from cluster_kit.connectors.tcp.actions import (
    Action,
    Changed,
    Close,
    Conflict,
    Dial,
    Down,
    Echo,
    PeerLeaving,
    Rekeyed,
)
from cluster_kit.connectors.tcp.arbitration import Sign
from cluster_kit.connectors.tcp.connection import Connection
from cluster_kit.connectors.tcp.faults import DialFault
from cluster_kit.connectors.tcp.handshake import ClosedAfterHello, Presence, undiallable
from cluster_kit.connectors.tcp.steps import LinkSteps
from cluster_kit.errors import ConnectReason
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.wire.frames import (
    Confirm,
    Frame,
    Goodbye,
    Greeting,
    Hello,
    Identity,
    Refusal,
    Secrets,
    Update,
    Want,
    Welcome,
    read_boot,
)
from cluster_kit.wire.link import Farewell, LinkProtocol

_REASON_OF: dict[str, Reason] = {  # of goodbyes; after any other one the peer has left
    Farewell.UNWANTED: Reason.UNWANTED,
    Farewell.CONFLICT: Reason.REPLACED,
}
_BROKEN = DialFault.of(ConnectReason.RESET)
_STOPPING = DialFault.of(ConnectReason.FAILED, "we are stopping")
_HUNG_UP = DialFault.of(ConnectReason.PROTOCOL, "it keeps closing the connection after our hello")


class LinkTable:
    """All connections of one node. Methods that return actions return them in order.

    Args:
        local: This node, with name, boot and address.
        fence: What a peer must have in common with it.
        features: What it can do beyond the protocol's version.
        secrets: The ids of the secrets that it holds.
        greeting: Returns the application's greeting as it is now.
    """

    def __init__(
        self,
        local: Node,
        fence: Fence,
        features: tuple[str, ...] = (),
        *,
        secrets: tuple[bytes, ...] = (),
        greeting: Callable[[], bytes] = bytes,
    ) -> None:
        us = Presence(local, fence, features=features, secrets=secrets)
        self._steps = LinkSteps(us, greeting)
        self._connections = self._steps.connections
        self._attempts = self._steps.attempts
        self._hang_ups = ClosedAfterHello()
        self._numbers = itertools.count(1)

    @property
    def local(self) -> Node:
        """This node as it is now."""
        return self._steps.us.local

    def next_number(self) -> int:
        """Return a number for a connection that was accepted, or for a ``connect``."""
        return next(self._numbers)

    def conn_to(self, node: Node) -> int | None:
        """Return the number of the link to ``node``; only of that run, if ``node`` has a boot."""
        link = self._connections.link_to(node)
        return link.number if link and node.boot_id in (None, link.peer.boot_id) else None

    # -- our own wishes --------------------------------------------------------------------------

    def connect(self, attempt: int, node: Node) -> list[Action]:
        """Begin a ``connect``; ``Linked`` or ``AttemptFailed`` follows, once."""
        self._attempts[attempt] = node
        if link := self._connections.link_to(node):
            self._steps.settle(attempt, link)
        elif node.name in self._connections.answered:
            pass  # the peer's own dial is about to become the link
        elif fault := undiallable(node):
            self._steps.fail(attempt, fault)
        else:
            self._connections.dial(attempt, node, self._steps.us.introduction(wanted=True))
            self._steps.do(Dial(attempt, node))
        return self._steps.take()

    def abandon(self, attempt: int) -> list[Action]:
        """Forget a ``connect`` whose caller no longer waits; a link that it made stays."""
        self._attempts.pop(attempt, None)
        dial = self._connections.by_number.get(attempt)
        if dial and not self._connections.is_link(dial):
            self._steps.drop(dial)
        return self._steps.take()

    def disconnect(self, node: Node) -> list[Action]:
        """Give up our wish for the link to ``node``, and inform its peer."""
        if link := self._connections.link_to(node):
            link.wanted = False
            self._steps.update(link)
        return self._steps.take()

    def update(
        self, local: Node, leaving: bool, *, secrets: tuple[bytes, ...] = ()
    ) -> list[Action]:
        """Send every peer what has changed about this node."""
        self._steps.us = replace(self._steps.us, local=local, leaving=leaving, secrets=secrets)
        for link in self._connections.links.values():
            self._steps.update(link)
        return self._steps.take()

    def stop(self) -> list[Action]:
        """Say goodbye to every peer, and close everything."""
        incumbents = (*self._connections.links.values(), *self._connections.answered.values())
        for each in sorted(incumbents, key=lambda each: each.name):
            self._steps.send(each, Goodbye(reason=Farewell.LEAVING))
            if self._connections.is_link(each):
                self._steps.do(Down(each.peer, Reason.SHUTDOWN))
        for each in list(self._connections.by_number.values()):
            self._steps.drop(each)
        for attempt in list(self._attempts):
            self._steps.fail(attempt, _STOPPING)
        return self._steps.take()

    # -- what happens to connections -------------------------------------------------------------

    def accept(self, conn: int) -> LinkProtocol:
        """Add a connection that a peer opened to us, and return its protocol."""
        return self._connections.accept(conn)

    def protocol_of(self, conn: int) -> LinkProtocol:
        """Return the protocol of a connection that we dial."""
        return self._connections.by_number[conn].protocol

    def established(self, conn: int) -> list[Action]:
        """Say hello: a connection that we dialled is open."""
        dial = self._connections.by_number[conn]
        dial.sent = self._steps.us.introduction(wanted=True)
        self._steps.send(dial, self._steps.us.hello())
        return self._steps.take()

    def refuse(self, conn: int, reason: ConnectReason) -> list[Action]:
        """Turn away a connection that we accepted."""
        self._steps.refuse(conn, reason)
        return self._steps.take()

    def closed(
        self, conn: int, reason: Reason = Reason.CLOSED, fault: DialFault = _BROKEN
    ) -> list[Action]:
        """Note that a connection is lost.

        Args:
            conn: Its number; one that is not known any more is ignored.
            reason: Why a link is down, if it was one.
            fault: Why a dial came to nothing, if it was one.
        """
        self._connections.unintroduced.pop(conn, None)
        if connection := self._connections.by_number.get(conn):
            has_hung_up = connection.awaits_answer and fault.reason is ConnectReason.RESET
            if has_hung_up and self._hang_ups.again(connection.name):
                fault = _HUNG_UP
            self._steps.lose(connection, reason)
            self._steps.fail(conn, fault)
        return self._steps.take()

    def heard(self, conn: int) -> list[Action]:
        """Note a sign of life after a ``Probe``, which decides about the held newcomer."""
        link = self._connections.by_number.get(conn)
        if link and self._connections.is_link(link):
            self._steps.reconsider(link, Sign.HEARD)
        return self._steps.take()

    def receive(self, conn: int, frame: Frame) -> list[Action]:
        """Handle a frame that the link protocol allows now; heartbeats are not for the table."""
        if isinstance(frame, Hello):
            self._hello_received(conn, frame)
        elif connection := self._connections.by_number.get(conn):
            self._received(connection, frame)
        return self._steps.take()

    def _received(self, connection: Connection, frame: Frame) -> None:
        match frame:
            case Greeting():
                connection.add_greeting(frame.data)
            case Welcome():
                self._answer_received(connection, frame.identity)
            case Refusal():
                self._refusal_received(connection, frame)
            case Confirm():
                self._steps.bring_up(connection)
            case Want():
                self._want_received(connection, frame)
            case Update():
                self._update_received(connection, frame)
            case Secrets():
                self._steps.do(Rekeyed(connection.peer, tuple(frame.ids)))
            case Goodbye():
                self._goodbye_received(connection, frame)

    def _hello_received(self, conn: int, hello: Hello) -> None:
        reason, identity = self._steps.us.judge_hello(hello), hello.identity
        if reason is ConnectReason.SELF:
            self._connections.echo()
            self._steps.do(Echo(conn))
        elif reason is ConnectReason.CONFLICT and identity:
            self._steps.do(Conflict(self.local.key, BootId(*identity.boot)))
        if reason:
            self._steps.refuse(conn, reason)
            return
        assert identity is not None  # otherwise there is a reason
        sent = self._steps.us.introduction(wanted=False)
        self._steps.decide(self._connections.introduced(conn, identity, sent))

    def _answer_received(self, dial: Connection, identity: Identity) -> None:
        self._hang_ups.answered(dial.name)
        if fault := self._steps.us.judge_answer(dial.peer, identity):
            self._steps.drop(dial)
            self._steps.fail(dial.number, fault)
        else:
            dial.introduce(identity)
            self._steps.decide(dial)

    def _refusal_received(self, dial: Connection, refusal: Refusal) -> None:
        self._hang_ups.answered(dial.name)
        self._steps.drop(dial)
        fault = self._steps.us.explain(dial.peer, refusal, echoed=dial.echoed)
        if refusal.identity and fault.reason is ConnectReason.CROSSED:
            self._steps.defer(dial, refusal.identity.node(), fault)
        else:
            self._steps.fail(dial.number, fault)

    def _want_received(self, link: Connection, want: Want) -> None:
        """Close the link if neither end wants it.

        Only the receiver closes: the sender's view of our wish may be out of date, ours of its
        wish is not.
        """
        if not want.wanted and not link.wanted:
            self._steps.part(link)

    def _update_received(self, link: Connection, update: Update) -> None:
        if update.metadata != link.peer.metadata:
            link.peer = link.peer.evolve(metadata=update.metadata)
            self._steps.do(Changed(link.number, link.peer))
        if update.leaving and not link.peer_leaves:
            self._steps.do(PeerLeaving(link.peer))
        link.peer_leaves = update.leaving

    def _goodbye_received(self, connection: Connection, goodbye: Goodbye) -> None:
        if goodbye.reason == Farewell.CONFLICT:
            self._steps.do(Conflict(self.local.key, read_boot(goodbye.rival)))
        self._steps.do(Close(connection.number))
        self._steps.lose(connection, _REASON_OF.get(goodbye.reason, Reason.LEFT))
