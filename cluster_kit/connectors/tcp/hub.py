"""Where the link table meets asyncio: the listening socket, the connections, the dials under way, one timer for all.

The table decides, the hub carries out. Silence and handshakes are judged by attended time on the pulse, which runs after what
has been received is read, and which skips judging when it comes late.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import Iterable
from math import inf

from cluster_kit.abc import LinkReport
from cluster_kit.attended import AttendedClock
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
from cluster_kit.connectors.tcp.dial import Route, reason_of
from cluster_kit.connectors.tcp.door import Door
from cluster_kit.connectors.tcp.exchange import FEATURE
from cluster_kit.connectors.tcp.half_open import HalfOpen
from cluster_kit.connectors.tcp.handshake import connect_error
from cluster_kit.connectors.tcp.heartbeat import Heartbeat
from cluster_kit.connectors.tcp.own_ends import OwnEnds
from cluster_kit.connectors.tcp.session import Session
from cluster_kit.connectors.tcp.strangers import Strangers, max_links
from cluster_kit.connectors.tcp.table import LinkTable
from cluster_kit.connectors.tcp.telling import Telling
from cluster_kit.errors import ConnectError, ConnectReason, RemoteProtocolError
from cluster_kit.events import Reason
from cluster_kit.host import is_loopback
from cluster_kit.node import BootId, Node, split_address
from cluster_kit.throttle import Throttle
from cluster_kit.wire.frames import MAX_FRAME_BYTES, App, Frame, Hello, Peers, Ping, Pong
from cluster_kit.wire.link import Link, Role

log = logging.getLogger("cluster_kit.connectors.tcp")

HANDSHAKE_S = 5.0  # as long as a connect may take by default
PROBE_S = 2.0  # less than a handshake, so that who is held can still be answered
_LASTING = (ConnectReason.CROSSED, ConnectReason.CONFLICT)  # whatever other address is tried
FLUSH_S = 0.2  # for the last bytes to leave; a goodbye fits the kernel's buffer, unless the peer doesn't read


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
        self.inbox = memoryview(bytearray(MAX_FRAME_BYTES))
        self._local = local
        self._links = links
        self._silent_s = silent_s
        self._heartbeat_s = heartbeat_s
        self._loop = asyncio.get_running_loop()
        self._clock = AttendedClock(self._loop.time, heartbeat_s)
        self._telling = Telling(local, links, lambda conn, peers: self._sessions[conn].send(peers)) if exchange else None
        self._table = LinkTable(local, links.fence, (FEATURE,) if exchange else ())
        self._numbers = itertools.count(1)
        self._sessions: dict[int, Session] = {}
        self._dials: dict[int, asyncio.Task[None]] = {}
        self._attempts: dict[int, asyncio.Future[Linked | Failed]] = {}
        self._routes: dict[int, Route] = {}  # of those attempts that have an address
        self._own_ends = OwnEnds(self._clock.now_s)
        self._half_open = HalfOpen()
        self._strangers = Strangers(max_links(), links.knows)
        self._throttle = Throttle()
        self._ask_at_s = self._loop.time()
        self._stopped = False
        self._emptied = asyncio.Event()

    # -- life ------------------------------------------------------------------------------------------------------------------

    def serve(self, sock: socket.socket) -> None:
        """Accept connections on ``sock``, which is ours from now on."""
        self._door = Door(sock, self._accepted)
        self._pulse()

    async def connect(self, node: Node) -> Node:
        """Want a link to ``node``, and return the peer once it is up."""
        if node.address is None and self._throttle.passes("no address", self._loop.time()):
            log.warning("%s: no address known; tell its strategy on which port its nodes serve", node)
        route = Route(node.address, self._own_ends.include) if node.address else None
        errors: list[ConnectError] = []
        while not errors or (route and route.has_more and errors[-1].reason not in _LASTING):
            outcome = await self._attempt(node, route)
            if isinstance(outcome, Linked):
                return outcome.peer
            is_ours = outcome.error.reason is ConnectReason.SELF and route and self._own_ends.include(route.at)
            errors.append(connect_error(node, ConnectReason.SELF) if is_ours else outcome.error)
        raise max(errors, key=lambda error: error.retryable)

    async def _attempt(self, node: Node, route: Route | None) -> Linked | Failed:
        """Try for a link once, if by dialling, on the next way of ``route`` that can be reached."""
        attempt = next(self._numbers)
        future: asyncio.Future[Linked | Failed] = self._loop.create_future()
        self._attempts[attempt] = future
        if route:
            self._routes[attempt] = route
        self._apply(self._table.connect(attempt, node))
        try:
            return await future
        finally:
            del self._attempts[attempt]
            self._routes.pop(attempt, None)
            self._apply(self._table.abandon(attempt))

    def disconnect(self, node: Node) -> None:
        """Want the link to ``node`` no longer."""
        self._apply(self._table.disconnect(node))

    def update(self, local: Node, leaving: bool) -> None:
        """Tell all peers how this node is now; only its metadata can change."""
        self._local = self._local.evolve(metadata=local.metadata)
        self._apply(self._table.update(self._local, leaving))

    async def stop(self) -> None:
        """Say goodbye, close everything, and wait until it is closed."""
        self._stopped = True
        self._door.close()
        self._timer.cancel()
        if self._telling:
            self._telling.stop()
        self._apply(self._table.stop())
        for session in self._sessions.values():
            session.close(self._clock.now_s())
        if pending := [*self._dials.values(), *self._door.entering]:
            await asyncio.wait(pending)
        patience = self._loop.call_later(FLUSH_S, self._abort)
        while self._sessions:
            self._emptied.clear()
            await self._emptied.wait()
        patience.cancel()

    def _abort(self) -> None:
        for session in self._sessions.values():
            session.abort()

    def _pulse(self) -> None:
        """Ask for signs of life once each heartbeat, and in between only judge who may be overdue."""
        late_s = self._clock.tick()
        now_s = self._clock.now_s()
        asking = self._loop.time() >= self._ask_at_s
        if asking:
            self._ask_at_s = self._loop.time() + self._heartbeat_s
        for session in list(self._sessions.values()):
            if late_s < self._heartbeat_s / 2 and session.overdue_at_s <= now_s:
                self._give_up(session)
            elif asking and session.is_up and session.link.role is Role.DIALLER:
                session.send(session.heartbeat.ask(now_s))
        self._pulse_later(now_s)

    def _pulse_later(self, now_s: float) -> None:
        overdue_at_s = min((session.overdue_at_s for session in self._sessions.values()), default=inf)
        judge_at_s = self._loop.time() + max(overdue_at_s - now_s, self._heartbeat_s / 2)
        self._timer = self._loop.call_at(min(self._ask_at_s, judge_at_s), self._pulse)

    def _give_up(self, session: Session) -> None:
        self._apply(self._table.closed(session.conn, Reason.SILENT, ConnectReason.TIMEOUT))
        session.abort()

    # -- connections -----------------------------------------------------------------------------------------------------------

    def _accepted(self) -> Session:
        conn = next(self._numbers)
        return self._session(conn, self._table.accept(conn))

    def _session(self, conn: int, link: Link) -> Session:
        return Session(self, conn, link, Heartbeat(self._clock.now_s(), self._silent_s))

    def made(self, session: Session) -> None:
        """Greet if we dialled; make sure that there aren't too many if we didn't."""
        self._sessions[session.conn] = session
        session.deadline_s = self._clock.now_s() + HANDSHAKE_S
        if self._stopped:
            session.abort()
        elif session.link.role is Role.DIALLER:
            self._apply(self._table.established(session.conn))
        elif not self._half_open.admit(session.conn, session.host):
            self._mutter(session, "too many connections that are not links yet")
            session.abort()

    def received(self, session: Session, data: memoryview) -> None:
        """Handle the frames that ``data`` completes."""
        now_s = self._clock.now_s()
        try:
            for frame in session.link.receive(data):
                self._handle(session, frame, now_s)
        except RemoteProtocolError as error:
            self._broken(session, error)
            return
        probed = session.heartbeat.probing
        session.heartbeat.heard(now_s)
        if probed:
            self._apply(self._table.heard(session.conn))

    def _handle(self, session: Session, frame: Frame, now_s: float) -> None:
        match frame:
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
        if hello.identity is None:
            return True  # it is refused for that
        peer = hello.identity.node()
        if peer.address and split_address(peer.address)[0] != session.host:
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

    def _broken(self, session: Session, error: RemoteProtocolError) -> None:
        if session.peer is None:
            self._mutter(session, error)
        elif self._may_tell("broken link"):
            log.warning("link to %s closed: %s", session.peer, error)
        self._apply(self._table.closed(session.conn, cause=ConnectReason.PROTOCOL, detail=str(error)))
        session.abort()

    def lost(self, session: Session) -> None:
        """Forget the connection, and let the table find out what that means."""
        del self._sessions[session.conn]
        self._half_open.release(session.conn)
        self._strangers.release(session.conn)
        self._apply(self._table.closed(session.conn))
        self._emptied.set()

    def _start_dial(self, conn: int) -> None:
        task = self._dials[conn] = self._loop.create_task(self._dial(conn, self._routes[conn]))
        task.add_done_callback(lambda _: self._dials.pop(conn))

    async def _dial(self, conn: int, route: Route) -> None:
        try:
            await route.look_up()
            if route.is_avoided:
                self._apply(self._table.closed(conn, cause=ConnectReason.SELF))
                return
            sock = await route.dial()
            await self._loop.create_connection(lambda: self._session(conn, self._table.link(conn)), sock=sock)
        except OSError as exc:
            cause, detail = reason_of(exc)
            self._apply(self._table.closed(conn, cause=cause, detail=detail))

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
                    self._start_dial(action.conn)
                case Echo():
                    self._own_ends.add(self._sessions[action.conn].here)
                case Close():
                    self._close(action.conn)
                case Linked() | Failed():
                    self._settle(action)
                case _:
                    self._report(action)

    def _report(self, action: Up | Changed | PeerLeaving | Down | Conflict) -> None:
        match action:
            case Up():
                self._half_open.release(action.conn)
                self._sessions[action.conn].peer = action.peer
                self._links.up(action.peer)
                if self._telling:
                    self._telling.up(action.conn, action.peer, listens=FEATURE in action.features)
            case Changed():
                self._sessions[action.conn].peer = action.peer
                self._links.updated(action.peer)
            case PeerLeaving():
                self._links.leaving(action.peer)
            case Down():
                if self._telling:
                    self._telling.down(action.peer, action.reason)
                self._links.down(action.peer, action.reason)
            case Conflict():
                self._report_conflict(action.name, action.rival)

    def _close(self, conn: int) -> None:
        if conn in self._dials:
            self._dials[conn].cancel()
        if conn in self._sessions:
            self._sessions[conn].close(self._clock.now_s() + FLUSH_S)

    def _settle(self, outcome: Linked | Failed) -> None:
        future = self._attempts.get(outcome.attempt)
        if future is not None and not future.done():
            future.set_result(outcome)

    def _report_conflict(self, name: str, rival: BootId | None) -> None:
        if self._may_tell("our name in conflict" if name == self._local.name else "name in conflict"):
            self._links.event("name_conflict", {"name": name, "boot_id": str(rival) if rival else None})

    def _mutter(self, session: Session, why: object) -> None:
        """Log what a stranger did."""
        if self._may_tell("stranger"):
            log.debug("connection with %s closed: %s", session.host, why)

    def _may_tell(self, kind: str) -> bool:
        """Whether to speak of this now: once in a while of each kind, since strangers can make up names without end."""
        return self._throttle.passes(kind, self._clock.now_s())
