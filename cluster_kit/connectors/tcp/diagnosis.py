"""Finds out, for a diagnosis, whether a node could be linked to.

It goes through the handshake up to the peer's answer, and says goodbye instead of confirming. The
peer never counts that as a link, so its application does not notice. It logs nothing either, since
the diagnosis uses a name that no other node has.
"""

from __future__ import annotations

import asyncio

from cluster_kit.abc import Discovery
from cluster_kit.connectors.tcp.dial import Route
from cluster_kit.connectors.tcp.faults import GIVE_PORT, DialFault, network_fault, untrusted
from cluster_kit.connectors.tcp.handshake import Presence, undiallable, unproved_name_fault
from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.errors import ConnectReason, NetworkError, RemoteProtocolError, UntrustedError
from cluster_kit.network import Network, Stream, StreamReader
from cluster_kit.node import MAX_NAME_CHARS, BootId, Node
from cluster_kit.security import Security
from cluster_kit.wire.frames import Frame, Goodbye, Identity, Refusal, Welcome
from cluster_kit.wire.link import Farewell, LinkProtocol, Role


async def diagnose(node: Node, ctx: Discovery, our_address: str | None) -> Finding:
    """Return whether ``node`` answers at its address, by its name, and within our fence.

    Args:
        node: The node to try.
        ctx: What the doctor runs with; ``ctx.local`` is this node as it would run.
        our_address: The address that this node would advertise, if it is known.
    """
    asked = f"{node.name} at {node.address}" if node.name and node.address else node.key
    loop = asyncio.get_running_loop()
    since_s = loop.time()
    us = _stranger(ctx)
    outcome = await _introduced(node, us, ctx.network, ctx.security.of(us.local))
    if isinstance(outcome, DialFault):
        is_ours = node.name == ctx.local.name if node.name else node.address == our_address
        return _failure(asked, outcome, is_ours=is_ours)
    if outcome.name == ctx.local.name:
        return Finding(asked=asked, got="this node itself", outcome=Outcome.EMPTY)
    name = "" if node.name else f" as {outcome.name}"
    got = f"answers{name} in {(loop.time() - since_s) * 1000:.1f} ms"
    return Finding(asked=asked, got=got)


def _failure(asked: str, fault: DialFault, *, is_ours: bool) -> Finding:
    if fault.reason is ConnectReason.REFUSED and is_ours:
        got = "this node itself, which does not run"
        return Finding(asked=asked, got=got, outcome=Outcome.EMPTY)
    if fault.reason is ConnectReason.LEAVING:
        return Finding(asked=asked, got="about to leave, takes no new links")
    got = str(fault.reason)
    return Finding(asked=asked, got=got, outcome=Outcome.FAILED, cause=fault.cause)


def _stranger(ctx: Discovery) -> Presence:
    """Return a node of our cluster and group that nobody knows.

    It has our host, as our certificate may have to name that.
    """
    nonce = ctx.network.random("diagnosis").getrandbits(64)
    boot_id = BootId(int(ctx.network.clock.wall_s() * 1000), nonce)
    host = f"@{ctx.local.host}"
    basename = f"doctor-{boot_id.nonce:x}"[: MAX_NAME_CHARS - len(host)]
    return Presence(Node(name=basename + host, boot_id=boot_id), ctx.fence)


async def _introduced(
    node: Node, us: Presence, network: Network, security: Security
) -> Identity | DialFault:
    """Return how ``node`` introduces itself, or why it can't be linked to."""
    if node.address is None:
        return DialFault(ConnectReason.UNREACHABLE, f"no address known; {GIVE_PORT}")
    if fault := undiallable(node):
        return fault
    try:
        dialled = await Route(network, node.address).dial()
        stream = security.protect(dialled, dialled=True)
        reply = await _first_reply(stream, us)
    except NetworkError as exc:
        return network_fault(exc)
    except UntrustedError as exc:
        return untrusted(exc)
    except RemoteProtocolError as exc:
        return DialFault.of(ConnectReason.PROTOCOL, str(exc))
    if reply and stream.certified and (lie := unproved_name_fault(stream.certified, reply)):
        return DialFault.of(ConnectReason.NAME, lie)
    if isinstance(reply, Refusal):
        return us.explain(node, reply)
    if not isinstance(reply, Welcome):
        return DialFault.of(ConnectReason.RESET)
    return us.judge_answer(node, reply.identity) or reply.identity


async def _first_reply(stream: Stream, us: Presence) -> Frame | None:
    """Return the first frame of the other end, ``None`` if it hangs up instead; close ``stream``.

    Raises:
        RemoteProtocolError: The other end does not speak our protocol.
        UntrustedError: The two ends don't trust each other.
    """
    protocol = LinkProtocol(Role.DIALLER)
    reader = _FirstFrame(protocol)
    try:
        stream.start(reader)
        stream.send(protocol.send(us.hello()))
        reply = await reader.frame
        if isinstance(reply, Welcome):
            stream.send(protocol.send(Goodbye(reason=Farewell.UNWANTED)))
        stream.close()
    except BaseException:
        stream.abort()
        raise
    if stream.distrust:
        raise stream.distrust
    return reply


class _FirstFrame(StreamReader):
    """Receives one frame.

    Attributes:
        frame: That frame; ``None`` where the stream ended without.
    """

    def __init__(self, protocol: LinkProtocol) -> None:
        self.frame: asyncio.Future[Frame | None] = asyncio.get_running_loop().create_future()
        self._protocol = protocol

    def received(self, data: memoryview) -> None:
        if self.frame.done():
            return
        try:
            frame = next(self._protocol.receive(data), None)
        except RemoteProtocolError as exc:
            self.frame.set_exception(exc)
        else:
            if frame is not None:
                self.frame.set_result(frame)

    def lost(self) -> None:
        if not self.frame.done():
            self.frame.set_result(None)
