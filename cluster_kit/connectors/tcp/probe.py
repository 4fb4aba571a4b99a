"""Tries whether a node could be linked to, for a diagnosis: the handshake up to its answer, and a goodbye for confirmation.

The peer never counts that as a link, so its application hears nothing of it; nor does it log anything, since we take a name
that nobody else has.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from cluster_kit.abc import Discovery
from cluster_kit.connectors.tcp import TcpConnector
from cluster_kit.connectors.tcp.dial import dial, reason_of
from cluster_kit.connectors.tcp.handshake import Presence, cannot_link_to, connect_error
from cluster_kit.connectors.tcp.listen import announced_address
from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.errors import ConfigError, ConnectError, ConnectReason, RemoteProtocolError
from cluster_kit.node import BootId, Node
from cluster_kit.wire.frames import MAX_HANDSHAKE_BYTES, Answer, Frame, Goodbye, Identity, Refusal
from cluster_kit.wire.link import Farewell, Link, Role


async def probe(options: TcpConnector, node: Node, ctx: Discovery) -> Finding:
    """Return whether ``node`` answers at its address, by its name, and as one of our cluster and group."""
    asked = f"{node.name} at {node.address}" if node.name and node.address else node.key
    loop = asyncio.get_running_loop()
    since_s = loop.time()
    try:
        identity = await _introduced(node, _stranger(ctx))
    except ConnectError as error:
        if error.reason is ConnectReason.REFUSED and _is_ourselves(node, options, ctx.local):
            return Finding(asked=asked, got="this node itself, which does not run", outcome=Outcome.EMPTY)
        if error.reason is ConnectReason.LEAVING:
            return Finding(asked=asked, got="about to leave, takes no new links")
        cause = str(error).removeprefix(f"{cannot_link_to(node)}: ")
        return Finding(asked=asked, got=str(error.reason), outcome=Outcome.FAILED, cause=cause)
    if identity.name == ctx.local.name:
        return Finding(asked=asked, got="this node itself", outcome=Outcome.EMPTY)
    name = "" if node.name else f" as {identity.name}"
    return Finding(asked=asked, got=f"answers{name} in {(loop.time() - since_s) * 1000:.1f} ms")


def _stranger(ctx: Discovery) -> Presence:
    """Return somebody of our cluster and group whom nobody knows."""
    boot_id = BootId.new()
    return Presence(Node(name=f"doctor-{boot_id.nonce:x}@nowhere", boot_id=boot_id), ctx.fence)


def _is_ourselves(node: Node, options: TcpConnector, local: Node) -> bool:
    if node.name is not None:
        return node.name == local.name
    with suppress(ConfigError):
        return node.address == announced_address(local, options.host, options.port, options.advertise)
    return False


async def _introduced(node: Node, us: Presence) -> Identity:
    """Return how ``node`` introduces itself.

    Raises:
        ConnectError: It could not be linked to; says why.
    """
    if node.address is None:
        raise connect_error(
            node, ConnectReason.UNREACHABLE, "no address known; tell its strategy on which port its nodes serve"
        )
    try:
        with await dial(node.address) as sock:
            word = await _greet(sock, us)
    except OSError as exc:
        raise connect_error(node, *reason_of(exc)) from exc
    except RemoteProtocolError as exc:
        raise connect_error(node, ConnectReason.PROTOCOL, str(exc)) from exc
    if isinstance(word, Refusal):
        raise us.explain(node, word)
    if not isinstance(word, Answer):
        raise connect_error(node, ConnectReason.RESET)
    if error := us.judge_answer(node, word.identity):
        raise error
    return word.identity


async def _greet(sock: socket.socket, us: Presence) -> Frame | None:
    """Return the first word of the other end, ``None`` if it hangs up instead."""
    loop = asyncio.get_running_loop()
    link = Link(Role.DIALLER)
    await loop.sock_sendall(sock, link.send(us.hello()))
    while data := await loop.sock_recv(sock, MAX_HANDSHAKE_BYTES):
        for word in link.receive(data):
            if isinstance(word, Answer):
                await loop.sock_sendall(sock, link.send(Goodbye(reason=Farewell.UNWANTED)))
            return word
    return None
