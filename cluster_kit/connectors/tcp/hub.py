"""Connects the link table with the network: the listener, the connections, the dials under way.

The table decides, the hub carries out. Whatever happens becomes a call of the table, which returns
actions, and ``_apply`` carries these out in order:

==============================  ==============  ====================================================
what happens                    enters at       and then
==============================  ==============  ====================================================
the worker calls ``connect``    ``connect``     ``Dialler`` asks the table, and waits
a peer dials us                 ``_accept``     ``Admission`` lets it in, and a session is opened
our dial has reached a peer     ``_dialled``    a session is opened, and the table says hello
bytes arrive                    ``received``    ``LinkProtocol.receive`` makes frames of them
a frame is complete             ``_handle``     the table receives it, unless it is a message, a
                                                heartbeat or a hint
a peer is silent for too long   ``_give_up``    the table drops the connection, the stream aborts
a peer breaks the protocol      ``_broken``     the same
a stream has ended              ``lost``        the same, and the session is removed
==============================  ==============  ====================================================

A session lives from the moment its stream is open until ``lost``, which every stream calls once,
however it ends. So an action never names a session that is gone, and ``stop`` waits for all of
them. Silence and handshakes are judged by attended time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from cluster_kit.abc import LinkReport
from cluster_kit.attended import AttendedClock
from cluster_kit.connectors.tcp.actions import (
    Action,
    AttemptFailed,
    Changed,
    Close,
    Conflict,
    Dial,
    Down,
    Echo,
    Linked,
    PeerLeaving,
    Probe,
    Rekeyed,
    ReportAction,
    Up,
    Write,
)
from cluster_kit.connectors.tcp.admission import Admission
from cluster_kit.connectors.tcp.connection import MESSAGES
from cluster_kit.connectors.tcp.dial import Dialler
from cluster_kit.connectors.tcp.exchange import FEATURE, Exchanger
from cluster_kit.connectors.tcp.faults import DialFault, untrusted
from cluster_kit.connectors.tcp.handshake import unproved_name_fault
from cluster_kit.connectors.tcp.heartbeat import Heartbeat
from cluster_kit.connectors.tcp.incidents import Incidents
from cluster_kit.connectors.tcp.pulse import Pulse
from cluster_kit.connectors.tcp.session import Session, no_link_to
from cluster_kit.connectors.tcp.table import LinkTable
from cluster_kit.errors import ConnectReason, RemoteProtocolError, UntrustedError
from cluster_kit.events import Reason
from cluster_kit.host import is_loopback
from cluster_kit.network import Listener, Stream
from cluster_kit.node import Node
from cluster_kit.wire.frames import (
    PROTOCOL,
    App,
    Frame,
    Hello,
    Hints,
    Payload,
    Ping,
    Pong,
    Refusal,
    encode,
)
from cluster_kit.wire.link import LinkProtocol

HANDSHAKE_S = 5.0  # as long as a connect may take by default
PROBE_S = 2.0  # less than a handshake, so that a held newcomer can still be answered
FLUSH_S = 0.5  # for the last bytes to leave, even if TCP has to send one packet again


class TcpHub:
    """Holds the links of one node, from its creation to ``stop``.

    Args:
        local: This node, with name, boot and address.
        report: The worker, to which links are reported.
        listener: Where peers dial this node. The hub owns it from now on.
        heartbeat_s: Seconds between two signs of life.
        silent_s: Seconds without one after which a link is down.
        exchange: Whether to exchange hints with peers, about the nodes that each is linked to.
    """

    def __init__(
        self,
        local: Node,
        report: LinkReport,
        listener: Listener,
        *,
        heartbeat_s: float,
        silent_s: float,
        exchange: bool,
    ) -> None:
        self._report = report
        self._listener = listener
        self._silent_s = silent_s
        self._clock = AttendedClock(report.network.clock.monotonic_s, heartbeat_s)
        self._exchanger = Exchanger(local, report, self._send) if exchange else None
        self._table = LinkTable(
            local,
            report.fence,
            (FEATURE, MESSAGES) if exchange else (MESSAGES,),
            secrets=report.security.secret_ids,
            greeting=lambda: report.greeting,
        )
        self._sessions: dict[int, Session] = {}
        self._dialler = Dialler(report.network, self._table, self._apply, self._dialled)
        self._admission = Admission(report)
        self._incidents = Incidents(self._clock.now_s)
        self._session_ended = asyncio.Event()
        listener.start(self._accept)
        self._pulse = Pulse(self._clock, heartbeat_s, self._sessions, self._give_up)

    # -- what the worker asks for ----------------------------------------------------------------

    async def connect(self, node: Node) -> Node:
        """Return the peer once a link to ``node`` is up."""
        return await self._dialler.connect(node)

    def disconnect(self, node: Node) -> None:
        """Give up our wish for the link to ``node``."""
        self._apply(self._table.disconnect(node))

    async def send(self, node: Node, payload: bytes) -> None:
        """Send a message to ``node``, and return once there is room for more."""
        session = self._sessions.get(self._table.conn_to(node) or 0)
        if session is None or not session.carries:
            raise no_link_to(node)
        await session.carry(payload)

    def update(self, local: Node, leaving: bool) -> None:
        """Send all peers this node's metadata, and whether it is leaving; nothing else changes."""
        local = self._table.local.evolve(metadata=local.metadata)
        secrets = self._report.security.secret_ids
        self._apply(self._table.update(local, leaving, secrets=secrets))

    async def stop(self) -> None:
        """Say goodbye, close everything, and wait until it is closed."""
        self._pulse.stop()
        self._dialler.stop()
        if self._exchanger:
            self._exchanger.stop()
        self._apply(self._table.stop())
        patience = asyncio.get_running_loop().call_later(FLUSH_S, self._abort)
        await self._listener.close()
        await self._dialler.ended()
        while self._sessions:
            self._session_ended.clear()
            await self._session_ended.wait()
        patience.cancel()

    def _abort(self) -> None:
        for session in self._sessions.values():
            session.abort()

    # -- connections -----------------------------------------------------------------------------

    def _accept(self, stream: Stream) -> None:
        """Serve a connection that a peer opened, unless too many are not links yet."""
        conn, host = self._table.next_number(), stream.there.host
        if not self._admission.admit(conn, host):
            self._incidents.never_up(host, "too many connections that are not links yet")
            stream.abort()
            return
        stream, wait_s = self._admission.protect(conn, stream)
        session = self._open(conn, stream, self._table.accept(conn))
        if wait_s:
            asyncio.get_running_loop().call_later(wait_s, session.start)
        else:
            session.start()

    def _dialled(self, conn: int, stream: Stream) -> None:
        stream = self._report.security.protect(stream, dialled=True)
        self._open(conn, stream, self._table.protocol_of(conn)).start()
        self._apply(self._table.established(conn))

    def _open(self, conn: int, stream: Stream, protocol: LinkProtocol) -> Session:
        now_s = self._clock.now_s()
        session = Session(
            self,
            conn,
            stream,
            protocol=protocol,
            heartbeat=Heartbeat(now_s, self._silent_s),
            deadline_s=now_s + HANDSHAKE_S,
        )
        self._sessions[conn] = session
        return session

    def received(self, session: Session, data: memoryview) -> None:
        """Handle the frames that ``data`` completes."""
        now_s = self._clock.now_s()
        # a peer whose link is up has introduced itself already
        certified = None if session.peer else session.certified
        if certified is not None:
            self._admission.proved(session.conn)
        try:
            for frame in session.protocol.receive(data):
                if certified is not None and (lie := unproved_name_fault(certified, frame)):
                    self._impostor(session, lie)
                    return
                self._handle(session, frame, now_s)
        except UntrustedError as error:
            self._unprotected(session, error, data)
            return
        except RemoteProtocolError as error:
            self._broken(session, error)
            return
        was_probed = session.heartbeat.probing
        session.heartbeat.heard(now_s)
        if was_probed:
            self._apply(self._table.heard(session.conn))

    def _handle(self, session: Session, frame: Frame, now_s: float) -> None:
        match frame:
            case Payload():
                if session.carries and session.peer:
                    self._report.message(session.peer, frame.payload)
            case Ping():
                session.send(Pong(token=frame.token))
                self._measured(session, session.heartbeat.rtt_reported(frame))
            case Pong():
                self._measured(session, session.heartbeat.rtt_measured(frame, now_s))
            case App():
                pass
            case Hello() if not self._has_room(session, frame):
                self._apply(self._table.refuse(session.conn, ConnectReason.FULL))
            case Hints():
                if self._exchanger and session.peer:
                    nearby = is_loopback(session.host)
                    self._exchanger.receive(session.peer, frame, nearby=nearby)
            case _:
                self._apply(self._table.receive(session.conn, frame))

    def _has_room(self, session: Session, hello: Hello) -> bool:
        """Whether there is room for a link to the peer that sent ``hello``."""
        identity = hello.identity
        if identity is None or identity.fence != self._report.fence:
            return True  # the table will refuse it
        open_streams = len(self._sessions)
        if self._admission.has_room(session.conn, session.host, identity, open_streams):
            return True
        self._incidents.no_room(session.host, identity.node())
        return False

    def _measured(self, session: Session, rtt_s: float | None) -> None:
        if rtt_s is not None and session.peer is not None:
            self._report.rtt(session.peer, rtt_s)

    def _unprotected(self, session: Session, error: UntrustedError, data: memoryview) -> None:
        """Close a connection whose peer speaks TLS while this node does not.

        If its ALPN shows that the peer is a cluster_kit node, it is sent the reason in plaintext.
        It must not trust that, as anybody could have sent it, but logs it for its operator.
        """
        self._distrusted(session, error)
        if not session.is_dialled and PROTOCOL in bytes(data):
            session.write(encode(Refusal(reason=ConnectReason.AUTH)))
            session.close(self._clock.now_s() + FLUSH_S)
        else:
            session.abort()

    def _distrusted(self, session: Session, error: RemoteProtocolError) -> None:
        """Note that the two ends do not trust each other.

        If we accepted, it is logged; if we dialled, ``connect`` raises it.
        """
        if isinstance(error, UntrustedError):
            fault = untrusted(error)
            if not session.is_dialled:
                self._incidents.untrusted(session.host, fault.cause)
        else:
            fault = DialFault.of(ConnectReason.PROTOCOL, str(error))
            if not session.is_dialled:
                self._incidents.never_up(session.host, error)
        self._apply(self._table.closed(session.conn, fault=fault))

    def _impostor(self, session: Session, lie: str) -> None:
        """Close the connection of a member that introduces itself under another node's name."""
        self._incidents.untrusted(session.host, lie)
        self._apply(self._table.closed(session.conn, fault=DialFault.of(ConnectReason.NAME, lie)))
        session.abort()

    def _broken(self, session: Session, error: RemoteProtocolError) -> None:
        """Close a connection whose peer broke the protocol."""
        if session.peer is None:
            self._incidents.never_up(session.host, error)
        else:
            self._incidents.broken(session.peer, error)
        fault = DialFault.of(ConnectReason.PROTOCOL, str(error))
        self._apply(self._table.closed(session.conn, fault=fault))
        session.abort()

    def _give_up(self, session: Session) -> None:
        """Close a connection whose peer has been silent for too long."""
        fault = DialFault.of(ConnectReason.TIMEOUT)
        self._apply(self._table.closed(session.conn, Reason.SILENT, fault))
        session.abort()

    def lost(self, session: Session) -> None:
        """Forget a connection whose stream has ended."""
        del self._sessions[session.conn]
        self._admission.release(session.conn)
        if session.distrust:
            self._distrusted(session, session.distrust)
        self._apply(self._table.closed(session.conn))
        self._session_ended.set()

    # -- what the table decided ------------------------------------------------------------------

    def _send(self, conn: int, frame: Frame) -> None:
        self._sessions[conn].send(frame)

    def _apply(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Write():
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
                case Linked() | AttemptFailed():
                    self._dialler.settle(action)
                case _:
                    self._report_action(action)

    def _report_action(self, action: ReportAction) -> None:
        match action:
            case Up():
                self._report_up(action)
            case Changed():
                self._sessions[action.conn].peer = action.peer
                self._report.updated(action.peer)
            case Rekeyed():
                self._report.secrets(action.peer, action.secrets)
            case PeerLeaving():
                self._report.leaving(action.peer)
            case Down():
                if self._exchanger:
                    self._exchanger.down(action.peer, action.reason)
                self._report.down(action.peer, action.reason)
            case Conflict():
                self._report_conflict(action)

    def _report_up(self, up: Up) -> None:
        self._admission.linked(up.conn)
        session = self._sessions[up.conn]
        session.peer, session.carries = up.peer, up.greeting is not None
        self._report.up(up.peer, greeting=up.greeting, told=up.sent)
        if self._exchanger:
            self._exchanger.up(up.conn, up.peer, wants_hints=FEATURE in up.features)

    def _report_conflict(self, conflict: Conflict) -> None:
        is_ours = conflict.name == self._table.local.name
        if self._incidents.passes("our name in conflict" if is_ours else "name in conflict"):
            rival = str(conflict.rival) if conflict.rival else None
            self._report.event("name_conflict", {"name": conflict.name, "boot_id": rival})

    def _close(self, conn: int) -> None:
        self._dialler.give_up(conn)
        if conn in self._sessions:
            self._sessions[conn].close(self._clock.now_s() + FLUSH_S)
