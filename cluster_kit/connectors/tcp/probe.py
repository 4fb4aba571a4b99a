"""Tries whether a node could be linked to, for a diagnosis: the handshake up to its answer, and a goodbye for confirmation.

The peer never counts that as a link, so its application hears nothing of it; nor does it log anything, since we take a name
that nobody else has.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from cluster_kit.abc import Discovery
from cluster_kit.connectors.tcp import TcpConnector
from cluster_kit.connectors.tcp.accept import announced_address
from cluster_kit.connectors.tcp.dial import Route, reason_of
from cluster_kit.connectors.tcp.handshake import Presence, cannot_link_to, connect_error, distrust, not_itself, undiallable
from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.errors import ConfigError, ConnectError, ConnectReason, NetworkError, RemoteProtocolError, UntrustedError
from cluster_kit.network import Network, Stream, StreamReader
from cluster_kit.node import MAX_NAME_CHARS, BootId, Node
from cluster_kit.security import Security
from cluster_kit.wire.frames import Answer, Frame, Goodbye, Identity, Refusal
from cluster_kit.wire.link import Farewell, Link, Role


async def probe(options: TcpConnector, node: Node, ctx: Discovery) -> Finding:
    """Return whether ``node`` answers at its address, by its name, and as one of our cluster and group."""
    asked = f"{node.name} at {node.address}" if node.name and node.address else node.key
    loop = asyncio.get_running_loop()
    since_s = loop.time()
    try:
        us = _stranger(ctx)
        identity = await _introduced(node, us, ctx.network, ctx.security.of(us.local))
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
    """Return somebody of our cluster and group whom nobody knows; the host is ours, as our certificate may have to name it."""
    boot_id = BootId(int(ctx.network.clock.wall_s() * 1000), ctx.network.random("probe").getrandbits(64))
    basename = f"doctor-{boot_id.nonce:x}"[: MAX_NAME_CHARS - len(f"@{ctx.local.host}")]
    return Presence(Node(name=f"{basename}@{ctx.local.host}", boot_id=boot_id), ctx.fence)


def _is_ourselves(node: Node, options: TcpConnector, local: Node) -> bool:
    if node.name is not None:
        return node.name == local.name
    with suppress(ConfigError):
        return node.address == announced_address(local, options.host, options.port, options.advertise)
    return False


async def _introduced(node: Node, us: Presence, network: Network, security: Security) -> Identity:
    """Return how ``node`` introduces itself.

    Raises:
        ConnectError: It could not be linked to; says why.
    """
    if node.address is None:
        raise connect_error(
            node, ConnectReason.UNREACHABLE, "no address known; tell its strategy on which port its nodes serve"
        )
    if error := undiallable(node):
        raise error
    try:
        stream = security.protect(await Route(network, node.address).dial(), dialled=True)
        word = await _greet(stream, us)
    except NetworkError as exc:
        raise connect_error(node, *reason_of(exc)) from exc
    except UntrustedError as exc:
        raise connect_error(node, ConnectReason.AUTH, distrust(exc)) from exc
    except RemoteProtocolError as exc:
        raise connect_error(node, ConnectReason.PROTOCOL, str(exc)) from exc
    if word and stream.certified and (lie := not_itself(stream.certified, word)):
        raise connect_error(node, ConnectReason.NAME, lie)
    if isinstance(word, Refusal):
        raise us.explain(node, word)
    if not isinstance(word, Answer):
        raise connect_error(node, ConnectReason.RESET)
    if error := us.judge_answer(node, word.identity):
        raise error
    return word.identity


async def _greet(stream: Stream, us: Presence) -> Frame | None:
    """Return the first word of the other end, ``None`` if it hangs up instead; close ``stream``.

    Raises:
        RemoteProtocolError: It does not speak our protocol; ``UntrustedError`` where it is no member.
    """
    link = Link(Role.DIALLER)
    ear = _Ear(link)
    try:
        stream.start(ear)
        stream.send(link.send(us.hello()))
        word = await ear.word
        if isinstance(word, Answer):
            stream.send(link.send(Goodbye(reason=Farewell.UNWANTED)))
        stream.close()
    except BaseException:
        stream.abort()
        raise
    if stream.distrust:
        raise stream.distrust
    return word


class _Ear(StreamReader):
    """Hears one word.

    Attributes:
        word: That word; ``None`` where the stream ended without.
    """

    def __init__(self, link: Link) -> None:
        self.word: asyncio.Future[Frame | None] = asyncio.get_running_loop().create_future()
        self._link = link

    def received(self, data: memoryview) -> None:
        if self.word.done():
            return
        try:
            word = next(self._link.receive(data), None)
        except RemoteProtocolError as exc:
            self.word.set_exception(exc)
        else:
            if word is not None:
                self.word.set_result(word)

    def lost(self) -> None:
        if not self.word.done():
            self.word.set_result(None)
