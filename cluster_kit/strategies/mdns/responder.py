"""zeroconf at work on some interfaces: registers this node, asks questions, and hands on the records that it hears.

Only this module and what it hands on know zeroconf. Its browser is not used: that keeps a crashed node for 19 minutes at least,
and asks for unicast answers, of which several processes on one host would each get some.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
from collections.abc import Callable, Iterable
from typing import Any

from zeroconf import (  # type: ignore[attr-defined]  # some of these are public, yet not in its __all__
    DNSAddress,
    DNSOutgoing,
    DNSPointer,
    DNSQuestion,
    DNSRecord,
    DNSService,
    DNSText,
    IPVersion,
    RecordUpdate,
    RecordUpdateListener,
    ServiceInfo,
    Zeroconf,
    current_time_millis,
)
from zeroconf.asyncio import AsyncZeroconf

from cluster_kit.strategies.mdns.browser import Goodbye, Pointer, Questions, Record, Service, Text
from cluster_kit.strategies.mdns.hosts import Hosts
from cluster_kit.strategies.mdns.interfaces import Interface, Nearby, Way
from cluster_kit.strategies.mdns.records import is_instance

_QUERY = 0x0000  # flags, RFC 1035, section 4.1.1
_IN = 1
_PTR, _TXT, _SRV = 12, 16, 33


class Responder(RecordUpdateListener):
    """Speaks and listens for one type of service, from ``open`` to ``close``.

    Args:
        ways: Where.
        known: The interfaces of this machine: what comes in on others is not heard.
        service_type: Of which instances to hand on the records.
        heard: Called after each packet with its records of instances, and the hosts, in lower case, whose addresses it told.

    Raises:
        OSError: The sockets can't be had.
    """

    def __init__(
        self,
        ways: Iterable[Way],
        known: Iterable[Interface],
        service_type: str,
        heard: Callable[[list[Record], set[str]], None],
    ) -> None:
        super().__init__()
        logging.getLogger("zeroconf").setLevel(logging.CRITICAL)  # whatever matters to users is told by us
        used = list(ways)
        self._zeroconf = _zeroconf(used)
        self._nearby = Nearby(used, known)
        self._service_type = service_type
        self._heard = heard
        self._records: list[Record] = []
        self._hosts = Hosts()
        self._told_of: set[str] = set()
        self._announcing: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Begin to listen."""
        await asyncio.shield(self._zeroconf.async_wait_for_start())  # cancelled while it starts, zeroconf couldn't be closed
        for reader in self._zeroconf.engine.readers:
            reader.transport.set_protocol(_Door(reader.transport.get_protocol(), self._nearby))
        self._zeroconf.async_add_listener(self, None)

    async def close(self, *, goodbye: bool) -> None:
        """Close everything, with a goodbye or without."""
        if self._announcing is not None:
            self._announcing.cancel()
        registry = self._zeroconf.registry
        try:
            if goodbye:
                await self._zeroconf.async_unregister_all_services()
        finally:
            registry.async_remove(registry.async_get_service_infos())  # or they would be told goodbye
            await AsyncZeroconf(zc=self._zeroconf).async_close()

    # -- speaking --------------------------------------------------------------------------------------------------------------

    async def announce(self, info: ServiceInfo) -> None:
        """Register ``info``, or tell that it has changed.

        It isn't probed for: whose name nobody else can have should skip that (RFC 6762, section 8.1), which saves a second.
        """
        if self._announcing is not None:
            self._announcing.cancel()
            announcing = await self._zeroconf.async_update_service(info)
        else:
            announcing = await self._zeroconf.async_register_service(info, cooperating_responders=True)
        self._announcing = asyncio.ensure_future(announcing)

    def ask(self, questions: Questions) -> None:
        """Ask all at once who is there, and how some instances are."""
        if questions.instances:
            out = DNSOutgoing(_QUERY)
            for name in questions.instances:
                out.add_question(DNSQuestion(name, _SRV, _IN))
                out.add_question(DNSQuestion(name, _TXT, _IN))
            self._zeroconf.async_send(out)
        if questions.browse:
            out = DNSOutgoing(_QUERY)
            out.add_question(DNSQuestion(self._service_type, _PTR, _IN))
            for name, left_s in questions.known:
                out.add_answer_at_time(DNSPointer(self._service_type, _PTR, _IN, left_s, name), 0)
            self._zeroconf.async_send(out)

    # -- hearing ---------------------------------------------------------------------------------------------------------------

    def addresses_of(self, host: str) -> list[str]:
        """Return the addresses of ``host`` as far as they were heard, those of IPv6 with the scope they were heard in."""
        return self._hosts.addresses_of(host, current_time_millis() / 1000)

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Collect the records of a packet, which the cache doesn't have yet, or those that have expired in the cache."""
        for update in records:
            record = update.new
            if record.ttl and record.is_expired(now):
                continue
            if isinstance(record, DNSAddress):
                self._hosts.hear(record.name, _address(record), now / 1000, ttl_s=record.ttl, replaces=record.unique)
                self._told_of.add(record.name.lower())
            else:
                found = _found(record, self._service_type)
                if found is not None and is_instance(found.instance, self._service_type):
                    self._records.append(found)

    def async_update_records_complete(self) -> None:
        """Hand on what was collected; the cache has it by now."""
        if self._records or self._told_of:
            records, hosts = self._records, self._told_of
            self._records, self._told_of = [], set()
            self._heard(records, hosts)


class _Door(asyncio.DatagramProtocol):
    """Stands before zeroconf and lets in what is nearby."""

    def __init__(self, inside: Any, nearby: Nearby) -> None:
        self._inside = inside
        self._nearby = nearby

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self._nearby.hears(addr):
            self._inside.datagram_received(data, addr)

    def error_received(self, exc: Exception) -> None:
        self._inside.error_received(exc)


def _found(record: DNSRecord, service_type: str) -> Record | None:
    """Return what a record says of an instance.

    A goodbye to the service counts, too: zeroconf hands on none to what it doesn't remember, and in a settled cluster nobody
    asks for pointers for longer than it remembers them.
    """
    match record:
        case DNSPointer() if record.name.lower() == service_type.lower():
            return Pointer(record.alias) if record.ttl else Goodbye(record.alias)
        case DNSService():
            return Service(record.name, record.server, record.port, record.ttl) if record.ttl else Goodbye(record.name)
        case DNSText() if record.ttl:
            return Text(record.name, record.text)
    return None


def _zeroconf(ways: list[Way]) -> Zeroconf:
    families = {way.is_v6 for way in ways}
    version = IPVersion.All if len(families) == 2 else IPVersion.V6Only if True in families else IPVersion.V4Only
    try:
        return Zeroconf(interfaces=[way.index if way.is_v6 else way.address for way in ways], ip_version=version)
    except RuntimeError as exc:  # so it says that an interface is not there
        raise OSError(errno.ENODEV, str(exc)) from exc


def _address(record: DNSAddress) -> str:
    address = ipaddress.ip_address(record.address)
    scoped = address.version == 6 and address.is_link_local and record.scope_id
    return f"{address}%{record.scope_id}" if scoped else str(address)
