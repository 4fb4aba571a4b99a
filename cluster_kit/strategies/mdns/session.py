"""One run of the strategy: feeds the browser, asks its questions, and registers this node.

Interfaces are checked every few seconds: those that come back are used again, by opening everything
anew, while known nodes stay known. This node counts as registered once it receives its own
announcement: where a firewall or a broken network drops that, no other node receives it either.
Time is attended time, so a machine that was stopped finds no peer silent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable
from math import inf

from zeroconf import ServiceInfo

from cluster_kit.abc import Discovery, Observation
from cluster_kit.attended import AttendedClock
from cluster_kit.errors import DiscoveryError
from cluster_kit.fault import Fault
from cluster_kit.host import is_loopback
from cluster_kit.netdevice import NetDevice
from cluster_kit.node import host_and_port
from cluster_kit.reporter import Reporter
from cluster_kit.strategies.mdns.browser import Browser, IgnoredInstance, Record
from cluster_kit.strategies.mdns.interfaces import InterfaceAddress, choose, devices, look_up
from cluster_kit.strategies.mdns.options import MdnsOptions
from cluster_kit.strategies.mdns.records import Announcement, encode, host_name, instance_name
from cluster_kit.strategies.mdns.responder import Responder
from cluster_kit.strategies.mdns.sockets import PORT, fault_of, probe
from cluster_kit.throttle import Throttle

log = logging.getLogger("cluster_kit.mdns")

LOOK_S = 3.0  # between two looks at the interfaces
ECHO_S = 3.0  # an announcement is heard back within milliseconds, unless this machine is very busy


class MdnsSession:
    """Registers and browses as ``options`` say; checks the interfaces every ``look_s`` seconds."""

    def __init__(self, options: MdnsOptions, ctx: Discovery, *, look_s: float = LOOK_S) -> None:
        assert ctx.local.boot_id is not None
        self._options = options
        self._ctx = ctx
        self._loop = asyncio.get_running_loop()
        self._clock = AttendedClock(self._loop.time, 2 * look_s)
        self._browser = Browser(
            ctx.local.boot_id, ctx.fence, addresses_of=self._addresses_of, random=ctx.random
        )
        self._responder: Responder | None = None
        self._used: list[InterfaceAddress] = []
        self._host = ctx.local.host
        self._addresses: list[str] = []
        self._throttle = Throttle()
        self._reporter = Reporter(ctx.announced)
        self._look_s = look_s
        self._look_at_s = self._clock.now_s()
        self._echo_by_s = inf  # unless an announcement is to be heard back
        self._revision = 0
        self._announce_at_s = inf
        self._faults: list[Fault] = []

    async def observe(self) -> AsyncGenerator[Observation, None]:
        """Yield what is heard, until closed."""
        watching = self._loop.create_task(self._watch(), name="mdns: changes of the local node")
        is_leaving = False
        try:
            while True:
                await self._step()
                for found in self._browser.take(self._clock.now_s()):
                    if isinstance(found, IgnoredInstance):
                        self._ignore(found)
                    else:
                        yield found
                self._listen_for_echo()
                for observation in self._reporter.take():
                    yield observation
                await self._pause()
        except (asyncio.CancelledError, GeneratorExit):
            is_leaving = True  # a run that fails starts again, and says no goodbye
            raise
        finally:
            watching.cancel()
            await self._close(goodbye=is_leaving)

    async def _watch(self) -> None:
        while True:
            await self._ctx.changed()
            self._announce_at_s = self._clock.now_s()
            self._reporter.wake()

    # -- when to do something ----------------------------------------------------------------------

    async def _pause(self) -> None:
        """Wait until something is due, or was heard."""
        due_s = [self._look_at_s, self._echo_by_s]
        if self._responder is not None:
            due_s += [self._browser.next_s, self._announce_at_s]
        await self._reporter.wait(min(due_s) - self._clock.now_s())

    async def _step(self) -> None:
        """Do everything that is due."""
        self._clock.tick()
        now_s = self._clock.now_s()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + self._look_s
            await self._check_interfaces()
        if self._responder is not None and now_s >= self._announce_at_s:
            await self._announce(self._responder)
        if self._responder is not None and (questions := self._browser.tick(now_s)):
            self._responder.ask(questions)

    def _hear(self, records: list[Record], hosts: set[str]) -> None:
        now_s = self._clock.now_s()
        for record in records:
            self._browser.hear(record, now_s)
        self._browser.hear_addresses(hosts)
        self._reporter.wake()

    def _addresses_of(self, host: str) -> Iterable[str]:
        return self._responder.addresses_of(host) if self._responder else ()

    # -- interfaces --------------------------------------------------------------------------------

    async def _check_interfaces(self) -> None:
        """Use the interfaces that can be used now."""
        known = devices()
        wanted = self._options.interfaces or [await self._own_host()]
        places, faults = choose(wanted, known, self._options.ip_version)
        probed = {place: None if place in self._used else probe(place) for place in places}
        usable = [place for place in places if probed[place] is None]
        if usable != self._used:
            await self._open(usable, known)
        self._report(faults + [fault for fault in probed.values() if fault is not None])

    async def _own_host(self) -> str:
        """Return the address of this node's host; a name is looked up until something works."""
        if not self._used:
            self._host = next(iter(await look_up(self._ctx.local.host)), self._ctx.local.host)
        return self._host

    async def _open(self, places: list[InterfaceAddress], known: list[NetDevice]) -> None:
        await self._close(goodbye=False)
        if not places:
            return
        try:
            responder = Responder(places, known, self._options.service_type, self._hear)
        except OSError as exc:  # something has changed since they were probed
            self._failed(fault_of(f"cannot use {_names(places)}", exc))
            return
        self._responder, self._used = responder, places
        self._browser.loopback = any(is_loopback(place.address) for place in places)
        await responder.open()
        self._browser.start(self._clock.now_s())
        self._announce_at_s = self._clock.now_s()

    def _report(self, faults: list[Fault]) -> None:
        """Report faults of interfaces: as a failure if none is left, else as a warning, once."""
        text = "; ".join(map(str, faults))
        if faults and not self._used:
            self._failed(text)
        elif faults and faults != self._faults:
            log.warning("mdns: only %s used: %s", _names(self._used), text)
        self._faults = faults

    # -- this node ---------------------------------------------------------------------------------

    async def _announce(self, responder: Responder) -> None:
        self._announce_at_s = inf
        if not self._ctx.announce:
            self._reporter.works()
        elif info := await self._info():
            self._browser.heard_itself = False
            self._echo_by_s = self._clock.now_s() + ECHO_S
            await responder.announce(info)
        else:
            self._announce_at_s = self._look_at_s
            self._failed(self._why_not_announced())

    async def _info(self) -> ServiceInfo | None:
        """Return what to register; ``None`` if no peer could dial it."""
        local = self._ctx.local
        assert local.boot_id is not None
        host, port = host_and_port(local.address) or ("", 0)
        if local.address and not host:
            return None
        if port:
            self._addresses = await look_up(host) or self._addresses
        else:
            self._addresses = [place.address for place in self._used]
        if not self._addresses:
            return None
        # higher than in any earlier run
        self._revision = max(self._revision + 1, int(self._loop.time() * 1000))
        announcement = Announcement(
            node=local, fence=self._ctx.fence, leaving=self._ctx.leaving, revision=self._revision
        )
        return ServiceInfo(
            self._options.service_type,
            instance_name(local, self._options.service_type),
            port,
            properties=encode(announcement),
            server=host_name(local.boot_id),
            host_ttl=self._options.ttl_s,
            other_ttl=self._options.ttl_s,
            parsed_addresses=[address.partition("%")[0] for address in self._addresses],
        )

    def _why_not_announced(self) -> Fault:
        what, cure = "its host has no address", "advertise one that has"
        if not host_and_port(self._ctx.local.address):
            what = "DNS carries a host and a port"
            cure = "use another strategy, such as gossip, with this connector"
        return Fault((), what, cure, place=f"cannot announce {self._ctx.local.address!r}")

    def _listen_for_echo(self) -> None:
        if self._browser.heard_itself and self._echo_by_s < inf:
            self._echo_by_s = inf
            self._reporter.works()
        elif self._clock.now_s() >= self._echo_by_s:
            self._echo_by_s = inf
            self._announce_at_s = self._look_at_s
            place = f"this node's own announcement isn't heard on {_names(self._used)}"
            cure = f"allow UDP to port {PORT} in and out"
            self._failed(Fault((), "a firewall drops it", cure, place=place))

    # -- health ------------------------------------------------------------------------------------

    def _failed(self, fault: Fault | str) -> None:
        text = f"mdns: {fault}; trying again"
        self._reporter.failed(DiscoveryError(text, strategy="mdns"))

    def _ignore(self, ignored: IgnoredInstance) -> None:
        """Log an ignored instance, once in a while."""
        if self._throttle.passes("ignored", self._clock.now_s()):
            log.debug("%r ignored: %s; %s%s", *ignored, self._throttle.more("ignored"))

    async def _close(self, *, goodbye: bool) -> None:
        responder, self._responder, self._used = self._responder, None, []
        self._echo_by_s = inf
        if responder is not None:
            await responder.close(goodbye=goodbye)


def _names(places: list[InterfaceAddress]) -> str:
    return ", ".join(map(str, places))
