"""One run of the strategy: feeds the browser with records and time, asks what it wants to know, and keeps this node registered.

Interfaces are looked at every few seconds: those that come back are used again, by opening everything anew; who is known stays
known meanwhile. That this node is registered counts as true once its own announcement is heard: where a firewall or a broken
network swallows it, nobody else hears it either. Time is attended time: a machine that was stopped finds nobody silent.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from math import inf

from zeroconf import ServiceInfo

from cluster_kit.abc import Discovery, Failed, Observation
from cluster_kit.attended import AttendedClock
from cluster_kit.errors import DiscoveryError
from cluster_kit.host import is_loopback
from cluster_kit.node import host_and_port
from cluster_kit.strategies.mdns import MdnsStrategy
from cluster_kit.strategies.mdns.browser import Browser, Ignored, Record
from cluster_kit.strategies.mdns.interfaces import Interface, Way, choose, interfaces, look_up
from cluster_kit.strategies.mdns.records import Told, encode, host_name, instance_name
from cluster_kit.strategies.mdns.responder import Responder
from cluster_kit.strategies.mdns.sockets import PORT, cure, fault

log = logging.getLogger("cluster_kit.mdns")

LOOK_S = 3.0  # between two looks at the interfaces
ECHO_S = 3.0  # an announcement is heard back within milliseconds, unless this machine is very busy
REPEAT_S = 60.0  # between two messages about instances that are of no use


class Session:
    """Registers and browses as ``options`` say, for the node that ``ctx`` tells about."""

    def __init__(self, options: MdnsStrategy, ctx: Discovery) -> None:
        assert ctx.local.boot_id is not None
        self._options = options
        self._ctx = ctx
        self._loop = asyncio.get_running_loop()
        self._clock = AttendedClock(self._loop.time, 2 * LOOK_S)
        self._browser = Browser(ctx.local.boot_id, ctx.fence, addresses_of=self._addresses_of, random=ctx.random)
        self._responder: Responder | None = None
        self._ways: list[Way] = []
        self._host = ctx.local.host
        self._addresses: list[str] = []
        self._news: deque[Observation] = deque()
        self._wake = asyncio.Event()
        self._look_at_s = self._clock.now_s()
        self._echo_by_s = inf  # unless an announcement is to be heard back
        self._revision = 0
        self._announce_at_s = inf
        self._announced = False
        self._fault: str | None = None
        self._faults: list[str] = []
        self._ignored = 0
        self._quiet_until_s = self._clock.now_s()

    async def observe(self) -> AsyncGenerator[Observation, None]:
        """Yield what is heard, until closed."""
        watching = self._loop.create_task(self._watch(), name="mdns: changes of the local node")
        leaving = False
        try:
            while True:
                await self._step()
                for found in self._browser.take(self._clock.now_s()):
                    if isinstance(found, Ignored):
                        self._mutter(found)
                    else:
                        yield found
                self._listen_for_echo()
                while self._news:
                    yield self._news.popleft()
                await self._pause()
        except (asyncio.CancelledError, GeneratorExit):
            leaving = True  # who fails instead starts again, and says no goodbye
            raise
        finally:
            watching.cancel()
            await self._close(goodbye=leaving)

    async def _watch(self) -> None:
        while True:
            await self._ctx.changed()
            self._announce_at_s = self._clock.now_s()
            self._wake.set()

    # -- when to do something --------------------------------------------------------------------------------------------------

    async def _pause(self) -> None:
        """Wait until something is due, or was heard."""
        due_s = [self._look_at_s, self._echo_by_s]
        if self._responder is not None:
            due_s += [self._browser.next_s, self._announce_at_s]
        timer = self._loop.call_later(max(0.0, min(due_s) - self._clock.now_s()), self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()
        self._wake.clear()

    async def _step(self) -> None:
        """Do all that is due."""
        self._clock.tick()
        now_s = self._clock.now_s()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_S
            await self._look()
        if self._responder is not None and now_s >= self._announce_at_s:
            await self._announce(self._responder)
        if self._responder is not None and (questions := self._browser.tick(now_s)):
            self._responder.ask(questions)

    def _hear(self, records: list[Record], hosts: set[str]) -> None:
        now_s = self._clock.now_s()
        for record in records:
            self._browser.hear(record, now_s)
        self._browser.hear_of_hosts(hosts)
        self._wake.set()

    def _addresses_of(self, host: str) -> Iterable[str]:
        return self._responder.addresses_of(host) if self._responder else ()

    # -- interfaces ------------------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Use the interfaces that can be used now."""
        known = interfaces()
        wanted = self._options.interfaces or [await self._own_host()]
        ways, faults = choose(wanted, known, self._options.ip_version)
        probed = {way: None if way in self._ways else fault(way) for way in ways}
        usable = [way for way in ways if probed[way] is None]
        if usable != self._ways:
            await self._open(usable, known)
        self._report(faults + [each for each in probed.values() if each is not None])

    async def _own_host(self) -> str:
        """Return the address of this node's host; a name is looked up as long as nothing works, so that DNS can't break it."""
        if not self._ways:
            self._host = next(iter(await look_up(self._ctx.local.host)), self._ctx.local.host)
        return self._host

    async def _open(self, ways: list[Way], known: list[Interface]) -> None:
        await self._close(goodbye=False)
        if not ways:
            return
        try:
            responder = Responder(ways, known, self._options.service_type, self._hear)
        except OSError as exc:  # something has changed since they were probed
            self._failed(f"cannot use {', '.join(map(str, ways))}: {cure(exc)}")
            return
        self._responder, self._ways = responder, ways
        self._browser.loopback = any(is_loopback(way.address) for way in ways)
        await responder.open()
        self._browser.start(self._clock.now_s())
        self._announce_at_s = self._clock.now_s()

    def _report(self, faults: list[str]) -> None:
        """Tell what is wrong with interfaces: a failure if none is left, else a warning, once."""
        if faults and not self._ways:
            self._failed("; ".join(faults))
        elif faults and faults != self._faults:
            log.warning("mdns: only %s used: %s", ", ".join(map(str, self._ways)), "; ".join(faults))
        self._faults = faults

    # -- this node -------------------------------------------------------------------------------------------------------------

    async def _announce(self, responder: Responder) -> None:
        self._announce_at_s = inf
        if not self._ctx.announce:
            self._works()
        elif info := await self._info():
            self._browser.heard_itself = False
            self._echo_by_s = self._clock.now_s() + ECHO_S
            await responder.announce(info)
        else:
            self._announce_at_s = self._look_at_s
            self._failed(f"cannot announce {self._ctx.local.address!r}: {self._why_not()}")

    async def _info(self) -> ServiceInfo | None:
        """Return what to register, ``None`` if nobody could dial it."""
        local = self._ctx.local
        assert local.boot_id is not None
        host, port = host_and_port(local.address) or ("", 0)
        if local.address and not host:
            return None
        if port:
            self._addresses = await look_up(host) or self._addresses
        else:
            self._addresses = [way.address for way in self._ways]
        if not self._addresses:
            return None
        self._revision = max(self._revision + 1, int(self._loop.time() * 1000))  # also beyond that of an earlier run
        told = Told(node=local, fence=self._ctx.fence, leaving=self._ctx.leaving, revision=self._revision)
        return ServiceInfo(
            self._options.service_type,
            instance_name(local, self._options.service_type),
            port,
            properties=encode(told),
            server=host_name(local.boot_id),
            host_ttl=self._options.ttl_s,
            other_ttl=self._options.ttl_s,
            parsed_addresses=[address.partition("%")[0] for address in self._addresses],
        )

    def _why_not(self) -> str:
        if host_and_port(self._ctx.local.address):
            return "its host has no address; advertise one that has"
        return "DNS carries a host and a port; use another strategy, such as gossip, with this connector"

    def _listen_for_echo(self) -> None:
        if self._browser.heard_itself and self._echo_by_s < inf:
            self._echo_by_s = inf
            self._works()
        elif self._clock.now_s() >= self._echo_by_s:
            self._echo_by_s = inf
            self._announce_at_s = self._look_at_s
            self._failed(
                f"this node's own announcement isn't heard on {', '.join(map(str, self._ways))}: a firewall drops it; "
                f"allow UDP to port {PORT} in and out"
            )

    # -- health ----------------------------------------------------------------------------------------------------------------

    def _failed(self, why: str) -> None:
        """Report an error, once."""
        if why != self._fault:
            self._fault = why
            self._news.append(Failed(DiscoveryError(f"mdns: {why}; trying again", strategy="mdns")))

    def _works(self) -> None:
        if self._fault is not None or not self._announced:
            self._ctx.announced()
        self._fault = None
        self._announced = True

    def _mutter(self, ignored: Ignored) -> None:
        """Log who was of no use, once in a while."""
        self._ignored += 1
        if self._clock.now_s() >= self._quiet_until_s:
            self._quiet_until_s = self._clock.now_s() + REPEAT_S
            log.debug("%r ignored: %s; %s; %d ignored so far", *ignored, self._ignored)

    async def _close(self, *, goodbye: bool) -> None:
        responder, self._responder, self._ways = self._responder, None, []
        self._echo_by_s = inf
        if responder is not None:
            await responder.close(goodbye=goodbye)
