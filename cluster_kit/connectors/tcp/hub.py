"""Where the link table meets the network: the listener, the connections, the dials under way.

The table decides, the hub carries out. Silence and handshakes are judged by attended time.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterable

from cluster_kit.abc import LinkReport
from cluster_kit.attended import AttendedClock
from cluster_kit.connectors.tcp.accept import HalfOpen, KeyExchanges, Strangers, max_links
from cluster_kit.connectors.tcp.connection import MESSAGES
from cluster_kit.connectors.tcp.dial import Dialler
from cluster_kit.connectors.tcp.distrust import Distrust
from cluster_kit.connectors.tcp.exchange import FEATURE, Telling
from cluster_kit.connectors.tcp.handshake import distrust, not_itself
from cluster_kit.connectors.tcp.heartbeat import Heartbeat, Pulse
from cluster_kit.connectors.tcp.links import (
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
    Rekeyed,
    Send,
    Up,
)
from cluster_kit.connectors.tcp.session import Session, no_way_to
from cluster_kit.connectors.tcp.table import LinkTable
from cluster_kit.connectors.tcp.turns import Turns
from cluster_kit.errors import ConnectReason, RemoteProtocolError, UntrustedError
from cluster_kit.events import Reason
from cluster_kit.host import is_loopback
from cluster_kit.network import Listener, Stream
from cluster_kit.node import BootId, Node, host_and_port
from cluster_kit.throttle import Throttle
from cluster_kit.wire.frames import PROTOCOL, App, Frame, Hello, Message, Peers, Ping, Pong, Refusal, encode
from cluster_kit.wire.link import Link, Role

log = logging.getLogger("cluster_kit.connectors.tcp")

HANDSHAKE_S = 5.0  # as long as a connect may take by default
PROBE_S = 2.0  # less than a handshake, so that who is held can still be answered
FLUSH_S = 0.5  # for the last bytes to leave, and the peer to hang up; long enough for one lost packet, which TCP sends again


class Hub:
    """Serves one node.

    Args:
        local: This node, with name, boot and address.
        links: Whom to report to.
        heartbeat_s: Seconds between two signs of life.
        silent_s: Seconds without one after which a link is down.
        exchange: Whether to tell peers whom else this node is linked to, and to hear the same from them.
    """

    def __init__(self, local: Node, links: LinkReport, *, heartbeat_s: float, silent_s: float, exchange: bool) -> None:
        network = links.network
        self._local = local
        self._links = links
        self._silent_s = silent_s
        self._loop = asyncio.get_running_loop()
        self._clock = AttendedClock(network.clock.monotonic_s, heartbeat_s)
        self._telling = Telling(local, links, lambda conn, peers: self._sessions[conn].send(peers)) if exchange else None
        self._table = LinkTable(
            local,
            links.fence,
            (FEATURE, MESSAGES) if exchange else (MESSAGES,),
            secrets=links.security.secret_ids,
            greeting=lambda: links.greeting,
        )
        self._numbers = itertools.count(1)
        self._sessions: dict[int, Session] = {}
        self._pulse = Pulse(self._clock, heartbeat_s, self._sessions, self._give_up)
        self._dialler = Dialler(network, self._table, self._numbers, self._apply, self._dialled)
        self._half_open = HalfOpen()
        self._strangers = Strangers(max_links(network.most_streams), links.knows)
        self._key_exchanges = KeyExchanges()
        self._turns = Turns()
        self._distrust = Distrust()
        self._throttle = Throttle()
        self._stopped = False
        self._emptied = asyncio.Event()

    # -- life ------------------------------------------------------------------------------------------------------------------

    def serve(self, listener: Listener) -> None:
        """Accept connections on ``listener``, which is ours from now on."""
        self._listener = listener
        listener.start(self._accept)
        self._pulse.start()

    async def connect(self, node: Node) -> Node:
        """Want a link to ``node``, and return the peer once it is up."""
        return await self._dialler.connect(node)

    def disconnect(self, node: Node) -> None:
        """Want the link to ``node`` no longer."""
        self._apply(self._table.disconnect(node))

    async def send(self, node: Node, payload: bytes) -> None:
        """Send a message to ``node``, and return once there is room for more."""
        session = self._sessions.get(self._table.conn_to(node) or 0)
        if session is None or not session.carries:
            raise no_way_to(node)
        await session.carry(payload)

    def update(self, local: Node, leaving: bool) -> None:
        """Tell all peers how this node is now; only its metadata can change."""
        self._local = self._local.evolve(metadata=local.metadata)
        self._apply(self._table.update(self._local, leaving, secrets=self._links.security.secret_ids))

    async def stop(self) -> None:
        """Say goodbye, close everything, and wait until it is closed."""
        self._stopped = True
        self._pulse.stop()
        self._dialler.stop()
        if self._telling:
            self._telling.stop()
        self._apply(self._table.stop())
        for session in self._sessions.values():
            session.close(self._clock.now_s())
        patience = self._loop.call_later(FLUSH_S, self._abort)
        await self._listener.close()
        await self._dialler.ended()
        while self._sessions:
            self._emptied.clear()
            await self._emptied.wait()
        patience.cancel()

    def _abort(self) -> None:
        for session in self._sessions.values():
            session.abort()

    def _give_up(self, session: Session) -> None:
        self._apply(self._table.closed(session.conn, Reason.SILENT, ConnectReason.TIMEOUT))
        session.abort()

    # -- connections -----------------------------------------------------------------------------------------------------------

    def _accept(self, stream: Stream) -> None:
        """Take in a connection, unless there are too many that are not links yet."""
        conn = next(self._numbers)
        if self._stopped:
            stream.abort()
        elif self._half_open.admit(conn, stream.there.host):
            wait_s = 0.0
            if self._links.security.protects:
                wait_s = self._key_exchanges.wait_s(stream.there.host, self._loop.time())
                stream = self._links.security.protect(self._turns.queue(conn, stream), dialled=False)
            session = self._open(conn, stream, self._table.accept(conn))
            if wait_s:
                self._loop.call_later(wait_s, session.start)
            else:
                session.start()
        else:
            self._mutter(stream.there.host, "too many connections that are not links yet")
            stream.abort()

    def _dialled(self, conn: int, stream: Stream) -> None:
        self._open(conn, self._links.security.protect(stream, dialled=True), self._table.link(conn)).start()
        self._apply(self._table.established(conn))

    def _open(self, conn: int, stream: Stream, link: Link) -> Session:
        now_s = self._clock.now_s()
        heartbeat = Heartbeat(now_s, self._silent_s)
        session = Session(self, conn, stream, link=link, heartbeat=heartbeat, deadline_s=now_s + HANDSHAKE_S)
        self._sessions[conn] = session
        return session

    def received(self, session: Session, data: memoryview) -> None:
        """Handle the frames that ``data`` completes."""
        now_s = self._clock.now_s()
        certified = None if session.peer else session.certified  # whoever is a peer has introduced itself
        if certified is not None:
            self._turns.release(session.conn)
        try:
            for frame in session.link.receive(data):
                if certified is not None and (lie := not_itself(certified, frame)):
                    self._refute(session, lie)
                    return
                self._handle(session, frame, now_s)
        except UntrustedError as error:
            self._unprotected(session, error, data)
            return
        except RemoteProtocolError as error:
            self._broken(session, error)
            return
        probed = session.heartbeat.probing
        session.heartbeat.heard(now_s)
        if probed:
            self._apply(self._table.heard(session.conn))

    def _handle(self, session: Session, frame: Frame, now_s: float) -> None:
        match frame:
            case Message():
                if session.carries and session.peer:
                    self._links.message(session.peer, frame.payload)
            case Ping():
                session.send(Pong(token=frame.token))
                self._measured(session, session.heartbeat.asked(frame))
            case Pong():
                self._measured(session, session.heartbeat.told(frame, now_s))
            case App():
                pass
            case Hello() if not self._has_room(session, frame):
                self._apply(self._table.refuse(session.conn, ConnectReason.FULL))
            case Peers():
                if self._telling and session.peer:
                    self._telling.hear(session.peer, frame, nearby=is_loopback(session.host))
            case _:
                self._apply(self._table.receive(session.conn, frame))

    def _has_room(self, session: Session, hello: Hello) -> bool:
        """Whether there is room for a link to whoever introduces itself."""
        if hello.identity is None or hello.identity.fence != self._links.fence:
            return True  # it is refused for that
        peer = hello.identity.node()
        if peer.address and (host_and_port(peer.address) or ("",))[0] != session.host:
            peer = peer.evolve(address=None)  # somebody else's address vouches for nobody
        if self._strangers.admit(session.conn, session.host, peer, len(self._sessions)):
            return True
        if self._may_tell("full"):
            log.warning(
                "no room for another link to peers that nobody vouches for, such as %s from %s: raise the limit of open files "
                "(ulimit -n), or have them found by discovery",
                peer,
                session.host,
            )
        return False

    def _measured(self, session: Session, rtt_s: float | None) -> None:
        if rtt_s is not None and session.peer is not None:
            self._links.rtt(session.peer, rtt_s)

    def _unprotected(self, session: Session, error: UntrustedError, data: memoryview) -> None:
        """Let go of a peer that speaks TLS where this node does not; tell it so if it is of our kind."""
        self._distrusted(session, error)
        if session.link.role is Role.ACCEPTOR and PROTOCOL in bytes(data):
            session.write(encode(Refusal(reason=ConnectReason.AUTH)))
            session.close(self._clock.now_s() + FLUSH_S)
        else:
            session.abort()

    def _distrusted(self, session: Session, error: RemoteProtocolError) -> None:
        """Note that the two ends do not trust each other; who dialled is told, by name, where the ``connect`` fails."""
        if isinstance(error, UntrustedError):
            cause, why = ConnectReason.AUTH, distrust(error)
        else:
            cause, why = ConnectReason.PROTOCOL, str(error)
        if session.link.role is Role.ACCEPTOR:
            if cause is ConnectReason.AUTH:
                self._distrust.tell(session.host, why, self._clock.now_s())
            else:
                self._mutter(session.host, why)
        self._apply(self._table.closed(session.conn, cause=cause, detail=why))

    def _refute(self, session: Session, lie: str) -> None:
        """Let go of a member that introduces itself as somebody else."""
        self._distrust.tell(session.host, lie, self._clock.now_s())
        self._apply(self._table.closed(session.conn, cause=ConnectReason.NAME, detail=lie))
        session.abort()

    def _broken(self, session: Session, error: RemoteProtocolError) -> None:
        if session.peer is None:
            self._mutter(session.host, error)
        elif self._may_tell("broken link"):
            log.warning("link to %s closed: %s", session.peer, error)
        self._apply(self._table.closed(session.conn, cause=ConnectReason.PROTOCOL, detail=str(error)))
        session.abort()

    def lost(self, session: Session) -> None:
        """Forget the connection, and let the table find out what that means."""
        del self._sessions[session.conn]
        self._half_open.release(session.conn)
        self._turns.release(session.conn)
        self._strangers.release(session.conn)
        if session.distrust:
            self._distrusted(session, session.distrust)
        self._apply(self._table.closed(session.conn))
        self._emptied.set()

    # -- what the table decided ------------------------------------------------------------------------------------------------

    def _apply(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Send():
                    self._sessions[action.conn].write(action.data)
                case Probe():
                    session = self._sessions[action.conn]
                    session.send(session.heartbeat.probe(self._clock.now_s(), PROBE_S))
                case Dial():
                    self._dialler.dial(action.conn)
                case Echo():
                    self._dialler.reached_ourselves(self._sessions[action.conn].here)
                case Close():
                    self._close(action.conn)
                case Linked() | Failed():
                    self._dialler.settle(action)
                case _:
                    self._report(action)

    def _report(self, action: Up | Changed | Rekeyed | PeerLeaving | Down | Conflict) -> None:
        match action:
            case Up():
                self._half_open.release(action.conn)
                session = self._sessions[action.conn]
                session.peer, session.carries = action.peer, action.greeting is not None
                self._links.up(action.peer, greeting=action.greeting, told=action.told)
                if self._telling:
                    self._telling.up(action.conn, action.peer, listens=FEATURE in action.features)
            case Changed():
                self._sessions[action.conn].peer = action.peer
                self._links.updated(action.peer)
            case Rekeyed():
                self._links.secrets(action.peer, action.secrets)
            case PeerLeaving():
                self._links.leaving(action.peer)
            case Down():
                if self._telling:
                    self._telling.down(action.peer, action.reason)
                self._links.down(action.peer, action.reason)
            case Conflict():
                self._report_conflict(action.name, action.rival)

    def _close(self, conn: int) -> None:
        self._dialler.give_up(conn)
        if conn in self._sessions:
            self._sessions[conn].close(self._clock.now_s() + FLUSH_S)

    def _report_conflict(self, name: str, rival: BootId | None) -> None:
        if self._may_tell("our name in conflict" if name == self._local.name else "name in conflict"):
            self._links.event("name_conflict", {"name": name, "boot_id": str(rival) if rival else None})

    def _mutter(self, host: str, why: object) -> None:
        """Log what a stranger did."""
        if self._may_tell("stranger"):
            log.debug("connection with %s closed: %s", host, why)

    def _may_tell(self, kind: str) -> bool:
        """Whether to speak of this now: once in a while of each kind, since strangers can make up names without end."""
        return self._throttle.passes(kind, self._clock.now_s())
