"""Settles each pair of nodes on one link, however many connections were opened between them and by whom.

Frames and lost connections go in, actions come out. Pure: no socket, no clock. A connection is refused, answered, or held while
the one that has its name already is probed: what is dead makes way, and a live link stays, also where the newcomer is another
live process of the same name. Of two dials that cross, the one of the node with the lower name wins; both ends come to that by
themselves.
"""

from __future__ import annotations

from msgspec.structs import replace

from cluster_kit.connectors.tcp.actions import (
    Action,
    Changed,
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
from cluster_kit.connectors.tcp.entries import Entries, Entry, Stage, leads_to
from cluster_kit.connectors.tcp.hang_ups import HangUps
from cluster_kit.connectors.tcp.verdict import Presence, connect_error
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
from cluster_kit.wire.link import Farewell

_REASON_OF: dict[str, Reason] = {Farewell.UNWANTED: Reason.UNWANTED, Farewell.CONFLICT: Reason.REPLACED}


class LinkTable:
    """All connections of one node. Each method returns what is to be done, in order.

    Args:
        local: This node, with name, boot and address.
        fence: What a peer must have in common with it.
        features: What it can do beyond the protocol's version.
    """

    def __init__(self, local: Node, fence: Fence, features: tuple[str, ...] = ()) -> None:
        self._us = Presence(local, fence, features=features)
        self._entries = Entries()
        self._hang_ups = HangUps()
        self._attempts: dict[int, Node] = {}
        self._actions: list[Action] = []

    # -- our own wishes --------------------------------------------------------------------------------------------------------

    def connect(self, attempt: int, node: Node) -> list[Action]:
        """Want a link to ``node``; ``Linked`` or ``Failed`` follows, once."""
        self._attempts[attempt] = node
        if link := self._entries.link_to(node):
            self._settle(attempt, link)
        elif self._entries.answered_to(node):
            pass  # the peer's own dial is about to succeed
        elif node.address is None:
            self._fail(attempt, connect_error(node, ConnectReason.UNREACHABLE, "no address known"))
        else:
            told = self._us.introduction(wanted=True)
            self._entries.by_conn[attempt] = Entry(attempt, Stage.DIALLING, node, told, target=node)
            self._do(Dial(attempt, node))
        return self._take()

    def abandon(self, attempt: int) -> list[Action]:
        """Note that nobody waits for ``attempt`` any more; a link that it made stays."""
        self._attempts.pop(attempt, None)
        entry = self._entries.by_conn.get(attempt)
        if entry and entry.stage is not Stage.UP:
            self._drop(entry)
        return self._take()

    def disconnect(self, node: Node) -> list[Action]:
        """Want the link to ``node`` no longer."""
        if link := self._entries.link_to(node):
            link.wanted = False
            self._tell(link)
        return self._take()

    def update(self, local: Node, leaving: bool) -> list[Action]:
        """Tell every peer how this node is now."""
        self._us = replace(self._us, local=local, leaving=leaving)
        for link in self._entries.links.values():
            self._tell(link)
        return self._take()

    def stop(self) -> list[Action]:
        """Say goodbye to everybody and close everything."""
        for entry in sorted((*self._entries.links.values(), *self._entries.answered.values()), key=lambda entry: entry.name):
            self._say(entry, Goodbye(reason=Farewell.LEAVING))
            if entry.stage is Stage.UP:
                self._do(Down(entry.peer, Reason.SHUTDOWN))
        for entry in list(self._entries.by_conn.values()):
            self._drop(entry)
        for attempt, node in list(self._attempts.items()):
            self._fail(attempt, connect_error(node, ConnectReason.FAILED, "we are stopping"))
        return self._take()

    def refuse(self, conn: int, reason: ConnectReason) -> list[Action]:
        """Turn away a connection that we accepted, whoever it is that dialled."""
        self._refuse(conn, reason, None)
        self._do(Close(conn))
        return self._take()

    # -- what happens to connections -------------------------------------------------------------------------------------------

    def established(self, conn: int) -> list[Action]:
        """Greet: a connection that we dialled is there."""
        if entry := self._entries.by_conn.get(conn):
            entry.stage = Stage.GREETED
            entry.told = self._us.introduction(wanted=True)
            self._say(entry, self._us.hello())
        return self._take()

    def closed(
        self, conn: int, reason: Reason = Reason.CLOSED, cause: ConnectReason = ConnectReason.RESET, detail: str = ""
    ) -> list[Action]:
        """Note that a connection is lost; ``reason`` is for a link that was up, ``cause`` and ``detail`` for a dial."""
        if entry := self._entries.by_conn.get(conn):
            if entry.stage is Stage.GREETED and cause is ConnectReason.RESET and self._hang_ups.again(entry.name):
                cause, detail = ConnectReason.PROTOCOL, "it hangs up on us time and again"
            self._lose(entry, reason)
            if conn in self._attempts:
                self._fail(conn, connect_error(self._attempts[conn], cause, detail))
        return self._take()

    def heard(self, conn: int) -> list[Action]:
        """Note a sign of life that followed a ``Probe``: who was held on account of this link gets an answer."""
        link = self._entries.by_conn.get(conn)
        if link and (newcomer := self._entries.held.pop(link.name, None)):
            self._judge(link, newcomer)
        return self._take()

    def receive(self, conn: int, frame: Frame) -> list[Action]:
        """Take in a frame that the link protocol allows now; heartbeats are not for the table."""
        if isinstance(frame, Hello):
            self._hear_hello(conn, frame)
        elif entry := self._entries.by_conn.get(conn):
            self._hear(entry, frame)
        return self._take()

    def _hear(self, entry: Entry, frame: Frame) -> None:
        if entry.stage is Stage.GREETED:
            self._hang_ups.answered(entry.name)
        match frame:
            case Answer():
                self._hear_answer(entry, frame.identity)
            case Refusal():
                self._hear_refusal(entry, frame)
            case Confirm():
                self._raise(entry)
            case Want():
                self._hear_want(entry, frame)
            case Update():
                self._hear_update(entry, frame)
            case Goodbye():
                self._hear_goodbye(entry, frame)

    def _hear_hello(self, conn: int, hello: Hello) -> None:
        reason, identity = self._us.judge_hello(hello), hello.identity
        if reason or identity is None:
            self._refuse_stranger(conn, reason or ConnectReason.PROTOCOL, identity)
            return
        entry = Entry(conn, Stage.MET, identity.node(), self._us.introduction(wanted=False))
        entry.introduce(identity)
        self._entries.by_conn[conn] = entry
        self._admit(entry)

    def _hear_answer(self, entry: Entry, identity: Identity) -> None:
        assert entry.target is not None
        if error := self._us.judge_answer(entry.target, identity):
            self._drop(entry)
            self._fail(entry.conn, error, BootId(*identity.boot))
        else:
            entry.introduce(identity)
            self._confirm(entry)

    def _hear_refusal(self, entry: Entry, refusal: Refusal) -> None:
        assert entry.target is not None
        self._drop(entry)
        error = self._us.explain(entry.target, refusal, echoed=entry.echoed)
        if not (error.reason is ConnectReason.CROSSED and refusal.identity and self._defer(entry, refusal.identity.node())):
            self._fail(entry.conn, error, read_boot(refusal.rival))

    def _hear_want(self, link: Entry, want: Want) -> None:
        """Close the link if neither end wants it. Never the teller: the other end's wish may have changed meanwhile."""
        if not want.wanted and not link.wanted:
            self._part(link)

    def _hear_update(self, link: Entry, update: Update) -> None:
        if update.metadata != link.peer.metadata:
            link.peer = link.peer.evolve(metadata=update.metadata)
            self._do(Changed(link.conn, link.peer))
        if update.leaving and not link.peer_leaves:
            self._do(PeerLeaving(link.peer))
        link.peer_leaves = update.leaving

    def _hear_goodbye(self, entry: Entry, goodbye: Goodbye) -> None:
        if goodbye.reason == Farewell.CONFLICT:
            self._do(Conflict(self._us.local.key, read_boot(goodbye.rival)))
        self._do(Close(entry.conn))
        self._lose(entry, _REASON_OF.get(goodbye.reason, Reason.LEFT))

    # -- which of several connections ------------------------------------------------------------------------------------------

    def _admit(self, entry: Entry) -> None:
        """Decide on a connection that we accepted and whose hello is in."""
        dials = self._entries.dials_to(entry.peer)
        if entry.name in self._entries.links or entry.name in self._entries.answered:
            self._hold(entry)
        elif self._us.local.key < entry.name and any(dial.stage is Stage.GREETED for dial in dials):
            self._turn_away(entry, ConnectReason.CROSSED)
        else:
            for dial in dials:
                self._drop(dial)  # who waits for it waits for this connection now
            self._answer(entry)

    def _confirm(self, entry: Entry) -> None:
        """Decide on a connection that we dialled and whose answer is in."""
        link, rival = self._entries.links.get(entry.name), self._entries.answered.get(entry.name)
        if link and not link.same_process(entry):
            self._hold(entry)
        elif link or (rival and entry.name < self._us.local.key):
            self._drop(entry)
            self._defer(entry, entry.peer)
        else:
            if rival:
                self._drop(rival)
            self._raise(entry)

    def _hold(self, newcomer: Entry) -> None:
        """Keep a connection waiting until the one before it is known to be alive or lost; only the latest can wait."""
        if earlier := self._entries.held.get(newcomer.name):
            self._turn_away(earlier, ConnectReason.CROSSED)
        self._entries.held[newcomer.name] = newcomer
        if link := self._entries.links.get(newcomer.name):
            self._do(Probe(link.conn))

    def _judge(self, link: Entry, newcomer: Entry) -> None:
        """Turn away the newcomer: a live link stays, whatever the age of the other process (docs/protocol.md)."""
        if link.same_process(newcomer):
            self._turn_away(newcomer, ConnectReason.CROSSED)
        else:
            self._do(Conflict(link.name, newcomer.peer.boot_id))
            self._turn_away(newcomer, ConnectReason.CONFLICT, link.peer.boot_id)

    def _decide(self, newcomer: Entry) -> None:
        if newcomer.target:
            self._confirm(newcomer)
        else:
            self._admit(newcomer)

    def _defer(self, dial: Entry, peer: Node) -> bool:
        """Let the ``connect`` behind a dropped dial have the connection that ``peer`` has already, if there is one."""
        link = self._entries.links.get(peer.key)
        if link and link.peer.boot_id == peer.boot_id:
            self._settle(dial.conn, link)
        elif peer.key in self._entries.answered and dial.conn in self._attempts:
            self._attempts[dial.conn] = peer
        else:
            return False
        return True

    # -- steps -----------------------------------------------------------------------------------------------------------------

    def _answer(self, entry: Entry) -> None:
        entry.stage = Stage.ANSWERED
        wanted = any(leads_to(entry, node) for node in self._attempts.values())
        entry.told = self._us.introduction(wanted=wanted)
        self._entries.answered[entry.name] = entry
        self._say(entry, Answer(identity=entry.told))

    def _raise(self, entry: Entry) -> None:
        """Bring the link up."""
        entry.stage = Stage.UP
        self._entries.answered.pop(entry.name, None)
        self._entries.links[entry.name] = entry
        if entry.target:
            self._say(entry, Confirm())
        self._do(Up(entry.conn, entry.peer, entry.features))
        if entry.peer_leaves:
            self._do(PeerLeaving(entry.peer))
        for attempt, node in list(self._attempts.items()):
            if attempt == entry.conn or leads_to(entry, node):
                self._settle(attempt, entry)
        if newcomer := self._entries.held.get(entry.name):
            self._turn_away(newcomer, ConnectReason.CROSSED)
        if entry.wanted or entry.peer_wants:
            self._tell(entry)
        else:
            self._part(entry)

    def _tell(self, link: Entry) -> None:
        """Bring the peer up to date."""
        was, link.told = link.told, self._us.introduction(wanted=link.wanted)
        if (link.told.metadata, link.told.leaving) != (was.metadata, was.leaving):
            self._say(link, Update(metadata=link.told.metadata, leaving=link.told.leaving))
        if link.told.wanted != was.wanted:
            self._say(link, Want(wanted=link.wanted))

    def _part(self, link: Entry) -> None:
        """Close a link that neither end wants."""
        self._say(link, Goodbye(reason=Farewell.UNWANTED))
        self._do(Close(link.conn))
        self._lose(link, Reason.UNWANTED)

    def _lose(self, entry: Entry, reason: Reason) -> None:
        """Forget a connection, and let those who counted on it, or stood behind it, know."""
        self._entries.forget(entry)
        if entry.stage not in (Stage.UP, Stage.ANSWERED):
            return
        newcomer = self._entries.held.pop(entry.name, None)
        if entry.stage is Stage.UP:
            successor = newcomer or self._entries.answered.get(entry.name)
            restarted = successor and not successor.same_process(entry) and reason in (Reason.CLOSED, Reason.SILENT)
            self._do(Down(entry.peer, Reason.REPLACED if restarted else reason))
        if newcomer:
            self._decide(newcomer)
        self._fail_waiting(entry)

    def _turn_away(self, entry: Entry, reason: ConnectReason, rival: BootId | None = None) -> None:
        """Refuse a connection whose peer has introduced itself, whichever end opened it."""
        if entry.target is None:
            self._refuse(entry.conn, reason, rival)
        elif reason is ConnectReason.CONFLICT:
            self._say(entry, Goodbye(reason=Farewell.CONFLICT, rival=plain_boot(rival)))
        self._drop(entry)
        if entry.target:
            self._fail(entry.conn, connect_error(entry.target, reason))

    def _refuse_stranger(self, conn: int, reason: ConnectReason, identity: Identity | None) -> None:
        if reason is ConnectReason.SELF:
            self._entries.echo()
            self._do(Echo(conn))
        elif reason is ConnectReason.CONFLICT and identity:
            self._do(Conflict(self._us.local.key, BootId(*identity.boot)))
        self._refuse(conn, reason, self._us.local.boot_id if reason is ConnectReason.CONFLICT else None)
        self._do(Close(conn))

    def _refuse(self, conn: int, reason: ConnectReason, rival: BootId | None) -> None:
        self._do(Send(conn, self._us.refusal(reason, rival)))

    def _settle(self, attempt: int, link: Entry) -> None:
        """Let a ``connect`` have ``link``."""
        self._attempts.pop(attempt, None)
        dial = self._entries.by_conn.get(attempt)
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

    def _fail_waiting(self, lost: Entry) -> None:
        """Fail each ``connect`` that waited for ``lost`` instead of dialling, unless another took its place."""
        if lost.name in self._entries.answered or lost.name in self._entries.links:
            return
        for attempt, node in list(self._attempts.items()):
            if leads_to(lost, node):
                self._fail(attempt, connect_error(node, ConnectReason.RESET))

    def _drop(self, entry: Entry) -> None:
        self._entries.forget(entry)
        self._do(Close(entry.conn))

    def _say(self, entry: Entry, frame: Frame) -> None:
        self._do(Send(entry.conn, frame))

    def _do(self, action: Action) -> None:
        self._actions.append(action)

    def _take(self) -> list[Action]:
        taken, self._actions = self._actions, []
        return taken
