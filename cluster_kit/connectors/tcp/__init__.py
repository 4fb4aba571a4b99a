"""Connector ``tcp``: one TCP connection for each pair of nodes.

Where the cluster has a secret or certificates, each connection runs over TLS 1.3, in which both
ends prove who they are. Without these nothing is encrypted, and a peer needs to know no more than
cluster and group: listen on loopback, or on a network that you trust.

This module declares the options, which the application loads too; the worker loads the rest when
the connector starts. ``hub`` owns the streams, ``table`` decides what becomes of them:

=====================================================  =============================================
``listen``, ``admission``, ``handshake_queue``         connections that others open
``dial``                                               connections that this node opens
``session``, ``heartbeat``, ``pulse``                  a connection that is open
``table``, ``connection``, ``handshake``,              which connections become links; ``table`` has
``arbitration``, ``steps``, ``actions``                the map of these
``exchange``                                           peers send each other hints about other nodes
``faults``, ``incidents``                              what went wrong, for errors and for the log
``diagnosis``                                          tries a peer for ``cluster-kit doctor``
=====================================================  =============================================

The protocol itself is in ``cluster_kit.wire.link``, and described in ``docs/protocol.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from cluster_kit.abc import Connector, Discovery, LinkReport
from cluster_kit.config.bounds import Bounds, faults_of_bounds
from cluster_kit.errors import ConfigError, ConnectError, raise_all
from cluster_kit.fault import Fault
from cluster_kit.host import canonical_host, is_unspecified
from cluster_kit.node import Node, split_endpoint

if TYPE_CHECKING:
    from cluster_kit.connectors.tcp.hub import TcpHub
    from cluster_kit.diagnosis import Finding

_PORT = Bounds(ge=0, le=65535, cure="0 means any that is free")


@dataclass(kw_only=True, eq=False)
class TcpConnector(Connector):
    """Links over TCP.

    Args:
        host: Host name or address to listen on; by default the host part of the node's name.
        port: Port to listen on; 0 for any that is free.
        advertise: ``host`` or ``host:port`` that others dial, where that isn't where we listen.
        heartbeat_s: Seconds between two signs of life.
        silent_s: Seconds without one after which a link is down; more than two heartbeats.
        exchange: Whether linked nodes send each other hints about the nodes that they are linked
            to, so that one known address leads to the whole cluster; by default only if a strategy
            may know just a part of it, as ``static`` does.
        max_message_bytes: The longest message to send and to accept; each node advertises its own.
    """

    carries_messages: ClassVar[bool] = True
    uses_secret: ClassVar[bool] = True

    host: str | None = None
    port: Annotated[int, _PORT] = 0
    advertise: str | None = None
    heartbeat_s: Annotated[float, Bounds(gt=0)] = 1.0
    silent_s: float = 3.5
    exchange: bool | None = None
    max_message_bytes: Annotated[int, Bounds(ge=1)] = 1024 * 1024

    def __post_init__(self) -> None:
        self._hub: TcpHub | None = None
        raise_all(_faults(self))

    def serves_on(self, host: str) -> str | None:
        """Return the host that the connector listens on."""
        return self.host or host

    def dialled_at(self, host: str) -> str | None:
        """Return the host that others dial."""
        from cluster_kit.connectors.tcp.listen import announced_host

        return announced_host(host, self.host, self.advertise)

    async def start(self, local: Node, links: LinkReport) -> Node:
        """Listen, and return ``local`` with the address to dial."""
        from cluster_kit.connectors.tcp.hub import TcpHub
        from cluster_kit.connectors.tcp.listen import announced_address, listen

        listener = await listen(links.network, self.host or local.host, self.port)
        try:
            address = announced_address(local, self.host, listener.here.port, self.advertise)
            here = local.evolve(address=address, boot_id=links.boot_id)
            exchange = links.partial if self.exchange is None else self.exchange
            self._hub = TcpHub(
                here,
                links,
                listener,
                heartbeat_s=self.heartbeat_s,
                silent_s=self.silent_s,
                exchange=exchange,
            )
        except BaseException:
            await listener.close()
            raise
        return here

    async def connect(self, node: Node) -> Node:
        """Link to ``node``; see ``Connector.connect``."""
        if self._hub is None:
            raise _not_running(node, "link to")
        return await self._hub.connect(node)

    async def disconnect(self, node: Node) -> None:
        """Give up our wish for the link to ``node``; see ``Connector.disconnect``."""
        if self._hub is not None:
            self._hub.disconnect(node)

    async def send(self, node: Node, payload: bytes) -> None:
        """Send ``payload``; see ``Connector.send``."""
        if self._hub is None:
            raise _not_running(node, "send to")
        await self._hub.send(node, payload)

    async def update(self, local: Node, leaving: bool) -> None:
        """Send all peers this node's metadata, and whether it is leaving."""
        if self._hub is not None:
            self._hub.update(local, leaving)

    async def stop(self) -> None:
        """Say goodbye to all peers, and close everything."""
        hub, self._hub = self._hub, None
        if hub is not None:
            await hub.stop()

    async def diagnose(self, node: Node, ctx: Discovery) -> Finding:
        """Say hello to ``node`` as an unknown node of its cluster, and hang up once it answers."""
        from cluster_kit.connectors.tcp.diagnosis import diagnose
        from cluster_kit.connectors.tcp.listen import announced_address

        our_address = None
        with suppress(ConfigError):
            our_address = announced_address(ctx.local, self.host, self.port, self.advertise)
        return await diagnose(node, ctx, our_address)


def _not_running(node: Node, attempt: str) -> ConnectError:
    why = "the connector is not running; start it first"
    return ConnectError(f"tcp: cannot {attempt} {node.key!r}: {why}", node=node.key)


def _faults(options: TcpConnector) -> Iterator[Fault]:
    if options.host is not None:
        yield from _faults_of_host(options.host)
    yield from faults_of_bounds(options)
    if not options.heartbeat_s < options.silent_s / 2:
        what = f"invalid value {options.silent_s:g}: expected more than two heartbeats"
        yield Fault(("silent_s",), f"{what}, and heartbeat_s is {options.heartbeat_s:g}")
    if options.advertise is not None:
        yield from _faults_of_advertise(options.advertise)


def _faults_of_host(host: str) -> Iterator[Fault]:
    try:
        canonical_host(host)
    except ValueError as exc:
        yield Fault(("host",), str(exc), "leave it out to listen where the node's name says")


def _faults_of_advertise(advertise: str) -> Iterator[Fault]:
    try:
        host, _ = split_endpoint(advertise)
    except ValueError as exc:
        what = f"invalid value {advertise!r}: expected host or host:port; {exc}"
        yield Fault(("advertise",), what)
        return
    if is_unspecified(host):
        what = f"invalid value {advertise!r}: it means every interface"
        yield Fault(("advertise",), what, "give an address that others can dial")
