"""Finds out why gossip finds nobody: checks the interface and the port, and listens.

It sends one datagram, and expects to receive it. As a multicast, this never leaves the host, and
every node skips it, since its kind is unknown. Otherwise the diagnosis only listens. What it
receives may be hostile, so only a bounded part is kept.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from cluster_kit.abc import Discovery
from cluster_kit.diagnosis import Finding, Outcome, empty, failed, listed
from cluster_kit.errors import ConfigError, NetworkError, NetworkFault, RemoteProtocolError
from cluster_kit.host import is_loopback
from cluster_kit.network import Datagram, Datagrams, Endpoint, Group, Interface
from cluster_kit.node import join_address
from cluster_kit.strategies.gossip.engine import SPREAD
from cluster_kit.strategies.gossip.group import (
    group_of,
    interface_with,
    not_joined,
    not_sent,
    not_there,
)
from cluster_kit.strategies.gossip.options import GossipOptions
from cluster_kit.strategies.multicast import only_others, why_unusable
from cluster_kit.wire.envelope import Envelope
from cluster_kit.wire.envelope import decode as decode_envelope
from cluster_kit.wire.envelope import encode as encode_envelope
from cluster_kit.wire.gossip import MAGIC, MAX_DATAGRAM_BYTES, Kind, Packet, decode, encode
from cluster_kit.wire.sealing import NotOpened, SealFault, Sealing, fence_tag, is_sealed, read_clear

ECHO = 0  # no kind of packet, and never to be one
ECHOES = 3  # sent, as one may get lost where many speak
ECHO_S = 1.0  # to hear one of them
MAX_LISTEN_S = 20.0
MAX_KEPT = 100  # nodes, and as many other senders
_LIBCLUSTER = b"heartbeat::"  # what its unencrypted datagrams begin with
_SAME_FENCE = "give both the same cluster and group, or leave them out"


async def diagnose(options: GossipOptions, ctx: Discovery) -> AsyncIterator[Finding]:
    """Yield a finding for each step, up to the first that makes the next ones pointless."""
    try:
        group = await group_of(options, ctx.local.host, ctx.network)
    except ConfigError as error:
        got = f"none for {options.multicast_if or ctx.local.host!r}"
        yield failed("interface to use", got, str(error))
        return
    known = ctx.network.interfaces()
    for address in dict.fromkeys([group.via, group.heard_on]) if known else ():
        finding = judge_interface(address, known, multicast=not options.broadcast_only)
        yield finding
        if finding.outcome is not Outcome.OK:
            return
    try:
        datagrams = await ctx.network.join(group._replace(hops=0), max_bytes=MAX_DATAGRAM_BYTES)
    except NetworkError as error:
        yield await _not_opened(group, error)
        return
    yield Finding(asked=f"UDP port {options.port}", got="can be shared")
    with closing(datagrams):
        traffic = TrafficSorter(ctx)
        datagrams.listen(traffic.hear)
        yield await _hear_ourselves(group, datagrams, traffic)
        yield await _hear_others(options, group.via, traffic)


def judge_interface(address: str, known: Sequence[Interface], *, multicast: bool) -> Finding:
    """Return whether the interface with ``address`` can be used. Pure."""
    asked = f"interface of {address.partition('%')[0]}"
    interface = interface_with(address, known)
    if interface is None:
        return failed(asked, "no interface has that address", not_there(known))
    fault = why_unusable(interface, multicast=multicast, instead="set broadcast_only, or ")
    if fault is not None:
        return failed(asked, f"{interface.name}: {fault.what}", fault.cure)
    return Finding(asked=asked, got=f"{interface.name}, up")


async def _not_opened(group: Group, error: NetworkError) -> Finding:
    cause = not_joined(group, error).reason
    if error.fault is NetworkFault.IN_USE:
        programs = await asyncio.to_thread(holders, group.port)
        cause = f"held by {', '.join(programs) or 'a program of another user'}; {cause}"
    return failed(f"UDP port {group.port}", "cannot be opened", cause)


async def _hear_ourselves(group: Group, datagrams: Datagrams, traffic: TrafficSorter) -> Finding:
    asked = f"datagram to {join_address(group.address, group.port)}"
    loop = asyncio.get_running_loop()
    since_s = loop.time()
    try:
        for _ in range(ECHOES):
            datagrams.send(traffic.echo)
    except NetworkError as error:
        return failed(asked, "cannot be sent", not_sent(group, error).reason)
    try:
        await asyncio.wait_for(traffic.echoed.wait(), ECHO_S)
    except TimeoutError:
        cause = (
            f"a firewall of this host drops UDP to port {group.port}: allow it; or one interface "
            "sends and another one listens: correct multicast_if and if_addr"
        )
        return failed(asked, f"not heard back within {ECHO_S:g} s", cause)
    return Finding(asked=asked, got=f"heard back in {(loop.time() - since_s) * 1000:.1f} ms")


async def _hear_others(options: GossipOptions, sending: str, traffic: TrafficSorter) -> Finding:
    """Listen for two heartbeats of every node."""
    listen_s = min(2 * options.interval_s * (1 + SPREAD), MAX_LISTEN_S)
    await asyncio.sleep(listen_s)
    asked = f"heartbeats of cluster {traffic.fence.cluster!r}, group {traffic.fence.group!r}"
    if traffic.nodes:
        others = f"; ignored: {listed(sorted(traffic.others))}" if traffic.others else ""
        got = f"{_count(len(traffic.nodes))}: {listed(sorted(traffic.nodes))}{others}"
        return Finding(asked=asked, got=got)
    got = f"{'only this node' if traffic.own else 'no nodes'} within {listen_s:.1f} s"
    return empty(asked, got, _why_nobody(options, sending, traffic))


def _why_nobody(options: GossipOptions, sending: str, traffic: TrafficSorter) -> str:
    if traffic.others:
        return only_others(traffic.others)
    if is_loopback(sending):
        return (
            f"no other such node runs on this machine with port {options.port}; nodes elsewhere "
            "are never heard on loopback: for these, name this node after a host that they can "
            "reach"
        )
    return (
        f"no other node runs yet, or uses another port than {options.port} or another interface, "
        "or a firewall drops UDP to that port, or a router is in between (multicast_ttl is "
        f"{options.multicast_ttl}), or the network carries no multicast, like most cloud networks: "
        "use dns, kubernetes or static there"
    )


class TrafficSorter:
    """Sorts the datagrams that are heard.

    Attributes:
        echo: The datagram that we send and expect to receive.
        echoed: Set once it is received.
        nodes: Names of other nodes of our cluster and group.
        own: Whether a process with our own name is heard.
        others: Other senders, each with the cure if it should have been one of ours.
    """

    def __init__(self, ctx: Discovery) -> None:
        self.fence = ctx.fence
        self._sealing = ctx.security.sealing
        own = Packet.of(ctx.local, ctx.fence, Kind.HEARTBEAT, leaving=False)
        echo = encode(msgspec.structs.replace(own, kind=ECHO))
        self.echo = echo if self._sealing is None else _sealed_echo(self._sealing, ctx, echo)
        self.echoed = asyncio.Event()
        self.nodes: set[str] = set()
        self.own = False
        self.others: dict[str, str] = {}
        self._local = ctx.local

    def hear(self, datagrams: Sequence[Datagram]) -> None:
        """Handle datagrams."""
        for datagram, source in datagrams:
            self._hear(datagram, source)

    def _hear(self, datagram: bytes, source: Endpoint) -> None:
        if datagram == self.echo:
            self.echoed.set()
            return
        try:
            packet = self._read(datagram)
        except NotOpened as error:
            self._keep_other(*_unopened(error), source)
        except RemoteProtocolError:
            self._keep_other(*_strange(datagram), source)
        else:
            if packet is not None:
                self._sort(packet, source, is_sealed=is_sealed(datagram))

    def _read(self, datagram: bytes) -> Packet | None:
        """Return the packet in a datagram, live or replayed: a diagnosis believes neither."""
        if not is_sealed(datagram):
            return decode(datagram)
        if self._sealing is None:
            clear = read_clear(datagram)
            fault = (
                SealFault.OTHER_KEY
                if clear.fence_tag == fence_tag(self.fence)
                else SealFault.FOREIGN
            )
            raise NotOpened(fault, clear.name)
        packet = decode_envelope(self._sealing.open(datagram, self.fence).plain).packet
        return decode(packet) if packet else None

    def _sort(self, packet: Packet, source: Endpoint, *, is_sealed: bool) -> None:
        if packet.fence != self.fence:
            who = f"cluster {packet.cluster!r}, group {packet.group!r}"
            self._keep_other(who, _SAME_FENCE, source)
        elif self._sealing is not None and not is_sealed:
            who = f"{packet.name} without a secret"
            self._keep_other(who, "give it the secret of this node", source)
        elif packet.kind == Kind.GOODBYE:
            self.nodes.discard(packet.name)
        elif packet.name == self._local.name:
            self.own = self.own or packet.boot_id != self._local.boot_id
        elif len(self.nodes) < MAX_KEPT:
            self.nodes.add(packet.name)

    def _keep_other(self, who: str, cure: str, source: Endpoint) -> None:
        if len(self.others) < MAX_KEPT:
            self.others[f"{who} from {source[0]}"] = cure


def _sealed_echo(sealing: Sealing, ctx: Discovery, echo: bytes) -> bytes:
    nowhere = Envelope(host=None, port=1, packet=echo)  # nobody replies to it
    return sealing.seal(encode_envelope(nowhere), ctx.fence, ctx.network.clock.monotonic_s())


def _unopened(error: NotOpened) -> tuple[str, str]:
    """Return whose sealed datagram doesn't open, and the cure."""
    match error.fault:
        case SealFault.FOREIGN:
            return "sealed gossip of another cluster or group", _SAME_FENCE
        case SealFault.OTHER_KEY:
            who = f"{error.name or 'a node'} with a secret that this node doesn't have"
            return who, "give both the same secret"
        case _:
            return "sealed gossip that was damaged or forged", "find out who sends it"


def _strange(datagram: bytes) -> tuple[str, str]:
    """Return what an unreadable datagram is, and the cure."""
    if datagram.startswith(_LIBCLUSTER):
        return "libcluster's own gossip", "its nodes can't be joined; give each a port of its own"
    if datagram.startswith(MAGIC):
        return "gossip of another release", "run the same release everywhere"
    what = f"another protocol (it begins with {datagram[:8]!r})"
    return what, "choose another port, on all nodes"


def _count(nodes: int) -> str:
    at_least = "at least " if nodes == MAX_KEPT else ""
    return f"{at_least}{nodes} node{'s' * (nodes > 1)}"


# -- who holds a port: proc_net(5), proc_pid_fd(5) ------------------------------------------------


def holders(port: int) -> list[str]:
    """Return the programs that hold UDP port ``port`` and that we may see, as ``name (pid)``."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    return sorted(set(_programs_with(sockets))) if sockets else []


def _inodes(port: int) -> Iterator[str]:
    for table in (Path("/proc/net/udp"), Path("/proc/net/udp6")):
        with suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _programs_with(sockets: set[str]) -> Iterator[str]:
    for process in Path("/proc").iterdir():
        if re.fullmatch(r"\d+", process.name):
            with suppress(OSError):  # it has ended, or is another user's
                if any(str(fd.readlink()) in sockets for fd in (process / "fd").iterdir()):
                    name = (process / "comm").read_text(errors="replace").strip()
                    yield f"{name} ({process.name})"
