"""Settles each pair of nodes on one link, however many connections were opened between them and by whom. Pure.

Wishes, frames and lost connections go in, actions come out. What each of them means is decided here, by which steps it is
done in ``links``, and which of several connections counts in ``arbitration``.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from cluster_kit.connectors.tcp.arbitration import Sign
from cluster_kit.connectors.tcp.connection import Connection
from cluster_kit.connectors.tcp.handshake import HangUps, Presence, connect_error, undiallable
from cluster_kit.connectors.tcp.links import Action, Changed, Close, Conflict, Dial, Down, Echo, Links, PeerLeaving, Rekeyed
from cluster_kit.errors import ConnectReason
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.wire.frames import (
    Answer,
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
        secrets: The ids of those that it holds.
        greeting: Returns what its application greets with now.
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
        self._links = Links(Presence(local, fence, features=features, secrets=secrets), greeting)
        self._connections = self._links.connections
        self._attempts = self._links.attempts
        self._hang_ups = HangUps()

    # -- our own wishes --------------------------------------------------------------------------------------------------------

    def connect(self, attempt: int, node: Node) -> list[Action]:
        """Want a link to ``node``; ``Linked`` or ``Failed`` follows, once."""
        self._attempts[attempt] = node
        if link := self._connections.link_to(node):
            self._links.settle(attempt, link)
        elif node.name in self._connections.answered:
            pass  # the peer's own dial is about to succeed
        elif error := undiallable(node):
            self._links.fail(attempt, error)
        else:
            self._connections.dial(attempt, node, self._links.us.introduction(wanted=True))
            self._links.do(Dial(attempt, node))
        return self._links.take()

    def abandon(self, attempt: int) -> list[Action]:
        """Note that nobody waits for ``attempt`` any more; a link that it made stays."""
        self._attempts.pop(attempt, None)
        dial = self._connections.by_number.get(attempt)
        if dial and not self._connections.is_link(dial):
            self._links.drop(dial)
        return self._links.take()

    def disconnect(self, node: Node) -> list[Action]:
        """Want the link to ``node`` no longer."""
        if link := self._connections.link_to(node):
            link.wanted = False
            self._links.tell(link)
        return self._links.take()

    def update(self, local: Node, leaving: bool, *, secrets: tuple[bytes, ...] = ()) -> list[Action]:
        """Tell every peer how this node is now."""
        self._links.us = replace(self._links.us, local=local, leaving=leaving, secrets=secrets)
        for link in self._connections.links.values():
            self._links.tell(link)
        return self._links.take()

    def stop(self) -> list[Action]:
        """Say goodbye to everybody and close everything."""
        incumbents = (*self._connections.links.values(), *self._connections.answered.values())
        for each in sorted(incumbents, key=lambda each: each.name):
            self._links.say(each, Goodbye(reason=Farewell.LEAVING))
            if self._connections.is_link(each):
                self._links.do(Down(each.peer, Reason.SHUTDOWN))
        for each in list(self._connections.by_number.values()):
            self._links.drop(each)
        for attempt, node in list(self._attempts.items()):
            self._links.fail(attempt, connect_error(node, ConnectReason.FAILED, "we are stopping"))
        return self._links.take()

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
        dial.told = self._links.us.introduction(wanted=True)
        self._links.say(dial, self._links.us.hello())
        return self._links.take()

    def conn_to(self, node: Node) -> int | None:
        """Return the number of the connection that is the link to ``node``; to that run of it, where it tells one."""
        link = self._connections.link_to(node)
        return link.number if link and node.boot_id in (None, link.peer.boot_id) else None

    def refuse(self, conn: int, reason: ConnectReason) -> list[Action]:
        """Turn away a connection that we accepted, whoever it is that dialled."""
        self._links.refuse(conn, reason)
        return self._links.take()

    def closed(
        self, conn: int, reason: Reason = Reason.CLOSED, cause: ConnectReason = ConnectReason.RESET, detail: str = ""
    ) -> list[Action]:
        """Note that a connection is lost; ``reason`` is for a link that was up, ``cause`` and ``detail`` for a dial."""
        self._connections.strangers.pop(conn, None)
        if connection := self._connections.by_number.get(conn):
            if connection.awaits_answer and cause is ConnectReason.RESET and self._hang_ups.again(connection.name):
                cause, detail = ConnectReason.PROTOCOL, "it has hung up on our hello many times in a row"
            self._links.lose(connection, reason)
            if conn in self._attempts:
                self._links.fail(conn, connect_error(self._attempts[conn], cause, detail))
        return self._links.take()

    def heard(self, conn: int) -> list[Action]:
        """Note a sign of life that followed a ``Probe``: who was held on account of this link gets an answer."""
        link = self._connections.by_number.get(conn)
        if link and self._connections.is_link(link):
            self._links.reconsider(link, Sign.HEARD)
        return self._links.take()

    def receive(self, conn: int, frame: Frame) -> list[Action]:
        """Take in a frame that the link protocol allows now; heartbeats are not for the table."""
        if isinstance(frame, Hello):
            self._hear_hello(conn, frame)
        elif connection := self._connections.by_number.get(conn):
            self._hear(connection, frame)
        return self._links.take()

    def _hear(self, connection: Connection, frame: Frame) -> None:
        match frame:
            case Greeting():
                connection.greet(frame.data)
            case Answer():
                self._hear_answer(connection, frame.identity)
            case Refusal():
                self._hear_refusal(connection, frame)
            case Confirm():
                self._links.bring_up(connection)
            case Want():
                self._hear_want(connection, frame)
            case Update():
                self._hear_update(connection, frame)
            case Secrets():
                self._links.do(Rekeyed(connection.peer, tuple(frame.ids)))
            case Goodbye():
                self._hear_goodbye(connection, frame)

    def _hear_hello(self, conn: int, hello: Hello) -> None:
        reason, identity = self._links.us.judge_hello(hello), hello.identity
        if reason is ConnectReason.SELF:
            self._connections.echo()
            self._links.do(Echo(conn))
        elif reason is ConnectReason.CONFLICT and identity:
            self._links.do(Conflict(self._links.us.local.key, BootId(*identity.boot)))
        if reason or identity is None:
            self._links.refuse(conn, reason or ConnectReason.PROTOCOL)
            return
        self._links.decide(self._connections.introduced(conn, identity, self._links.us.introduction(wanted=False)))

    def _hear_answer(self, dial: Connection, identity: Identity) -> None:
        assert dial.target is not None
        self._hang_ups.answered(dial.target.key)
        if error := self._links.us.judge_answer(dial.target, identity):
            self._links.drop(dial)
            self._links.fail(dial.number, error, BootId(*identity.boot))
        else:
            dial.introduce(identity)
            self._links.decide(dial)

    def _hear_refusal(self, dial: Connection, refusal: Refusal) -> None:
        assert dial.target is not None
        self._hang_ups.answered(dial.target.key)
        self._links.drop(dial)
        error = self._links.us.explain(dial.target, refusal, echoed=dial.echoed)
        peer = refusal.identity.node() if refusal.identity and error.reason is ConnectReason.CROSSED else None
        if peer is None or not self._links.defer(dial, peer):
            self._links.fail(dial.number, error, read_boot(refusal.rival))

    def _hear_want(self, link: Connection, want: Want) -> None:
        """Close the link if neither end wants it. Never the teller: the other end's wish may have changed meanwhile."""
        if not want.wanted and not link.wanted:
            self._links.part(link)

    def _hear_update(self, link: Connection, update: Update) -> None:
        if update.metadata != link.peer.metadata:
            link.peer = link.peer.evolve(metadata=update.metadata)
            self._links.do(Changed(link.number, link.peer))
        if update.leaving and not link.peer_leaves:
            self._links.do(PeerLeaving(link.peer))
        link.peer_leaves = update.leaving

    def _hear_goodbye(self, connection: Connection, goodbye: Goodbye) -> None:
        if goodbye.reason == Farewell.CONFLICT:
            self._links.do(Conflict(self._links.us.local.key, read_boot(goodbye.rival)))
        self._links.do(Close(connection.number))
        self._links.lose(connection, _REASON_OF.get(goodbye.reason, Reason.LEFT))
