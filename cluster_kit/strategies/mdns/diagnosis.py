"""Finds out why mdns finds nobody: checks interfaces and port, listens, asks. Registers nothing.

It sends a question that it must receive again. The question asks for services of every type, so
everything that speaks multicast DNS answers it, which distinguishes a network without nodes from
one without multicast. What it hears is hostile, so only a bounded part is kept.

Source: RFC 6763, section 9 (enumerating services).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack

# Public, yet not in its __all__.
from zeroconf import DNSOutgoing, DNSQuestion  # type: ignore[attr-defined]

from cluster_kit.abc import Discovery, Seen
from cluster_kit.diagnosis import Finding, empty, failed, finding_of, listed
from cluster_kit.errors import cause_of
from cluster_kit.host import is_loopback
from cluster_kit.netdevice import NetDevice
from cluster_kit.node import Node
from cluster_kit.strategies.mdns.browser import Browser, IgnoredInstance, Record
from cluster_kit.strategies.mdns.interfaces import (
    InterfaceAddress,
    Nearby,
    choose,
    devices,
    look_up,
)
from cluster_kit.strategies.mdns.options import MdnsOptions
from cluster_kit.strategies.mdns.responder import Responder
from cluster_kit.strategies.mdns.sockets import GROUP_V4, GROUP_V6, PORT, fault_of, pair
from cluster_kit.strategies.multicast import only_others

ECHO_S = 1.0  # a datagram that loops back takes less than a millisecond
LISTEN_S = 2.5  # an answer is held back for 1.2 s where it has just been given
MAX_KEPT = 100  # different things heard
_EVERY_TYPE = "_services._dns-sd._udp.local."
_PTR, _IN = 12, 1
_MAX_DATAGRAM_BYTES = 9000  # RFC 6762, section 17


async def diagnose(options: MdnsOptions, ctx: Discovery) -> AsyncIterator[Finding]:
    """Yield a finding for each step, up to the first that makes the next ones pointless."""
    known = devices()
    wanted = options.interfaces or (await look_up(ctx.local.host) or [ctx.local.host])[:1]
    places, faults = choose(wanted, known, options.ip_version)
    for fault in faults:
        yield finding_of(fault)
    for place in places:
        yield Finding(asked=f"interface of {place.address}", got=f"{place.name}, up")
    with ExitStack() as opened:
        probes = []
        for place in places:
            try:
                hearing, sending = opened.enter_context(pair(place))
            except OSError as exc:
                cause = fault_of(str(place), exc).reason
                yield failed(f"UDP port {PORT} on {place}", "cannot be opened", cause)
            else:
                probes.append(MulticastProbe(place, Nearby([place], known), hearing, sending))
                opened.callback(probes[-1].close)
        for probe in probes:
            yield await _hear_ourselves(probe)
        if probes:
            yield await _hear_others(options, ctx, probes, known)


class MulticastProbe:
    """Listens to all multicast DNS on one interface, until closed.

    Attributes:
        place: The interface.
        question: The question to send and to hear back.
        echoed: Set once it is heard.
        answering: Addresses from which answers of any kind came.
    """

    def __init__(
        self,
        place: InterfaceAddress,
        nearby: Nearby,
        hearing: socket.socket,
        sending: socket.socket,
    ) -> None:
        out = DNSOutgoing(0)
        out.add_question(DNSQuestion(_EVERY_TYPE, _PTR, _IN))
        out.add_question(DNSQuestion(f"clusterkit-{os.urandom(8).hex()}.local.", _PTR, _IN))
        self.place = place
        self.question = out.packets()[0]
        self.echoed = asyncio.Event()
        self.answering: set[str] = set()
        self._nearby = nearby
        self._hearing = hearing
        self._sending = sending
        asyncio.get_running_loop().add_reader(hearing, self._hear)

    def ask(self) -> None:
        """Send the question.

        Raises:
            OSError: That is not possible.
        """
        group = (GROUP_V6, PORT, 0, self.place.index) if self.place.is_v6 else (GROUP_V4, PORT)
        self._sending.sendto(self.question, group)

    def _hear(self) -> None:
        try:
            datagram, source = self._hearing.recvfrom(_MAX_DATAGRAM_BYTES)
        except OSError:  # nothing more to read
            return
        if not self._nearby.hears(source):
            return
        if datagram == self.question:
            self.echoed.set()
        elif _is_answer(datagram) and len(self.answering) < MAX_KEPT:
            self.answering.add(str(source[0]))

    def close(self) -> None:
        """Stop listening."""
        asyncio.get_running_loop().remove_reader(self._hearing)


def _is_answer(datagram: bytes) -> bool:
    """Whether it is a DNS response (RFC 1035, section 4.1.1); a diagnosis sends none itself."""
    return len(datagram) > 2 and bool(datagram[2] & 0x80)


async def _hear_ourselves(probe: MulticastProbe) -> Finding:
    asked = f"multicast to port {PORT} on {probe.place}"
    loop = asyncio.get_running_loop()
    since_s = loop.time()
    try:
        probe.ask()
        await asyncio.wait_for(probe.echoed.wait(), ECHO_S)
    except TimeoutError:
        cause = f"a firewall of this host drops it: allow UDP to port {PORT} in and out"
        return failed(asked, f"not heard back within {ECHO_S:g} s", cause)
    except OSError as exc:
        cause = f"{cause_of(exc)}: a firewall, or a missing route"
        return failed(asked, "cannot be sent", cause)
    return Finding(asked=asked, got=f"heard back in {(loop.time() - since_s) * 1000:.1f} ms")


async def _hear_others(
    options: MdnsOptions, ctx: Discovery, probes: list[MulticastProbe], known: list[NetDevice]
) -> Finding:
    asked = f"{options.service_type} of cluster {ctx.fence.cluster!r}, group {ctx.fence.group!r}"
    try:
        nodes, ignored = await _browse(options, ctx, [probe.place for probe in probes], known)
    except OSError as exc:
        return failed(asked, "cannot be asked for", fault_of(asked, exc).reason)
    others = [
        f"{node.name} at {node.address or 'no address'}"
        for name, node in sorted(nodes.items())
        if name != ctx.local.name
    ]
    if others:
        got = f"{len(others)} node{'s' * (len(others) > 1)}: {listed(others)}"
        got += f"; ignored: {listed(sorted(ignored))}" if ignored else ""
        return Finding(asked=asked, got=got)
    got = f"{'only this node' if nodes else 'no nodes'} within {LISTEN_S:g} s"
    return empty(asked, got, _why_nobody(options, probes, ignored))


async def _browse(
    options: MdnsOptions, ctx: Discovery, places: list[InterfaceAddress], known: list[NetDevice]
) -> tuple[dict[str, Node], dict[str, str]]:
    """Return the registered nodes by name, and why others are ignored, with the cures."""
    loop = asyncio.get_running_loop()
    assert ctx.local.boot_id is not None

    def hear(records: list[Record], hosts: set[str]) -> None:
        for record in records:
            browser.hear(record, loop.time())
        browser.hear_addresses(hosts)

    responder = Responder(places, known, options.service_type, hear)
    browser = Browser(
        ctx.local.boot_id, ctx.fence, addresses_of=responder.addresses_of, random=ctx.random
    )
    nodes: dict[str, Node] = {}
    ignored: dict[str, str] = {}
    try:
        browser.loopback = any(is_loopback(place.address) for place in places)
        await responder.open()
        browser.start(loop.time())
        end_s = loop.time() + LISTEN_S
        while loop.time() < end_s:
            if questions := browser.tick(loop.time()):
                responder.ask(questions)
            for found in browser.take(loop.time()):
                if isinstance(found, Seen) and len(nodes) < MAX_KEPT:
                    nodes[found.node.key] = found.node
                elif isinstance(found, IgnoredInstance) and len(ignored) < MAX_KEPT:
                    ignored[found.why] = found.cure
            await asyncio.sleep(0.05)
    finally:
        await responder.close(goodbye=False)
    return nodes, ignored


def _why_nobody(options: MdnsOptions, probes: list[MulticastProbe], ignored: dict[str, str]) -> str:
    if ignored:
        return only_others(ignored)
    if all(is_loopback(probe.place.address) for probe in probes):
        return (
            "no other such node runs on this machine; nodes elsewhere are never heard on loopback: "
            "for these, name this node after a host that they can reach, or set interfaces"
        )
    answering = sorted({source for probe in probes for source in probe.answering})
    if answering:
        why = "no such node runs yet, or with another service_type"
        return f"multicast DNS works, {listed(answering)} answers: {why}"
    return (
        "nobody at all answers multicast DNS: no such node runs yet, or on another network, or a "
        f"firewall drops UDP to port {PORT}, or the network carries no multicast, as most clouds "
        "and bridges of containers: then use the host's network, or another strategy such as "
        "dns, kubernetes or static"
    )
