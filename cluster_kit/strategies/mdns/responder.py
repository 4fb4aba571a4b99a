"""Wraps zeroconf: registers this node, asks questions, and passes on the records it receives.

zeroconf's own browser is not used: it keeps a crashed node for at least 19 minutes, and it asks for
unicast answers, each of which reaches only one of several processes on a host.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
from collections.abc import Callable, Iterable
from typing import Any

# Some of these are public, yet not in its __all__.
from zeroconf import (  # type: ignore[attr-defined]
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

from cluster_kit.netdevice import NetDevice
from cluster_kit.strategies.mdns.browser import (
    DueQuestions,
    GoodbyeRecord,
    PointerRecord,
    Record,
    ServiceRecord,
    TextRecord,
)
from cluster_kit.strategies.mdns.hosts import Hosts
from cluster_kit.strategies.mdns.interfaces import InterfaceAddress, Nearby
from cluster_kit.strategies.mdns.records import is_instance

_QUERY = 0x0000  # flags, RFC 1035, section 4.1.1
_IN = 1
_PTR, _TXT, _SRV = 12, 16, 33


class Responder(RecordUpdateListener):
    """Sends and receives for one type of service, from ``open`` to ``close``.

    Args:
        places: The interfaces to use.
        known: The interfaces of this machine: what comes in on others is dropped.
        service_type: The type of service whose records are passed on.
        heard: Called after each packet with its records of instances, and with the hosts, in lower
            case, whose addresses it has.

    Raises:
        OSError: The sockets can't be opened.
    """

    def __init__(
        self,
        places: Iterable[InterfaceAddress],
        known: Iterable[NetDevice],
        service_type: str,
        heard: Callable[[list[Record], set[str]], None],
    ) -> None:
        super().__init__()
        # what matters to users is reported by us
        logging.getLogger("zeroconf").setLevel(logging.CRITICAL)
        used = list(places)
        self._zeroconf = _zeroconf(used)
        self._nearby = Nearby(used, known)
        self._service_type = service_type
        self._heard = heard
        self._records: list[Record] = []
        self._hosts = Hosts()
        self._new_hosts: set[str] = set()  # with new addresses
        self._announcing: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Begin to listen."""
        # if it were cancelled while it starts, zeroconf couldn't be closed
        await asyncio.shield(self._zeroconf.async_wait_for_start())
        for reader in self._zeroconf.engine.readers:
            inside = reader.transport.get_protocol()
            reader.transport.set_protocol(_NearbyFilter(inside, self._nearby))
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
            # otherwise closing would send goodbyes for them
            registry.async_remove(registry.async_get_service_infos())
            await AsyncZeroconf(zc=self._zeroconf).async_close()

    # -- speaking ----------------------------------------------------------------------------------

    async def announce(self, info: ServiceInfo) -> None:
        """Register ``info``, or announce that it has changed.

        There is no probing, which saves a second: RFC 6762, section 8.1, allows that for unique
        names.
        """
        if self._announcing is not None:
            self._announcing.cancel()
            announcing = await self._zeroconf.async_update_service(info)
        else:
            register = self._zeroconf.async_register_service
            announcing = await register(info, cooperating_responders=True)
        self._announcing = asyncio.ensure_future(announcing)

    def ask(self, questions: DueQuestions) -> None:
        """Send questions."""
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

    # -- hearing -----------------------------------------------------------------------------------

    def addresses_of(self, host: str) -> list[str]:
        """Return the known addresses of ``host``; link-local ones have their packet's scope."""
        return self._hosts.addresses_of(host, current_time_millis() / 1000)

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Collect the records of a packet that the cache lacks or has dropped."""
        for update in records:
            record = update.new
            if record.ttl and record.is_expired(now):
                continue
            if isinstance(record, DNSAddress):
                self._hosts.hear(
                    record.name,
                    _address(record),
                    now / 1000,
                    ttl_s=record.ttl,
                    replaces=record.unique,
                )
                self._new_hosts.add(record.name.lower())
            else:
                found = _found(record, self._service_type)
                if found is not None and is_instance(found.instance, self._service_type):
                    self._records.append(found)

    def async_update_records_complete(self) -> None:
        """Pass on the collected records; the cache has them by now."""
        if self._records or self._new_hosts:
            records, hosts = self._records, self._new_hosts
            self._records, self._new_hosts = [], set()
            self._heard(records, hosts)


class _NearbyFilter(asyncio.DatagramProtocol):
    """Passes on to zeroconf only datagrams that came in on the interfaces in use."""

    def __init__(self, inside: Any, nearby: Nearby) -> None:
        self._inside = inside
        self._nearby = nearby

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self._nearby.hears(addr):
            self._inside.datagram_received(data, addr)

    def error_received(self, exc: Exception) -> None:
        self._inside.error_received(exc)


def _found(record: DNSRecord, service_type: str) -> Record | None:
    """Return what a record says about an instance.

    A goodbye of the service record counts as well: zeroconf passes on that of a pointer only while
    it remembers the pointer, and in a settled cluster nobody asks for pointers that often.
    """
    match record:
        case DNSPointer() if record.name.lower() == service_type.lower():
            return PointerRecord(record.alias) if record.ttl else GoodbyeRecord(record.alias)
        case DNSService() if not record.ttl:
            return GoodbyeRecord(record.name)
        case DNSService():
            return ServiceRecord(record.name, record.server, record.port, record.ttl)
        case DNSText() if record.ttl:
            return TextRecord(record.name, record.text)
    return None


def _zeroconf(places: list[InterfaceAddress]) -> Zeroconf:
    families = {place.is_v6 for place in places}
    version = IPVersion.V6Only if families == {True} else IPVersion.V4Only
    if len(families) == 2:
        version = IPVersion.All
    interfaces = [place.index if place.is_v6 else place.address for place in places]
    try:
        return Zeroconf(interfaces=interfaces, ip_version=version)
    except RuntimeError as exc:  # an interface is not there
        raise OSError(errno.ENODEV, str(exc)) from exc


def _address(record: DNSAddress) -> str:
    address = ipaddress.ip_address(record.address)
    scoped = address.version == 6 and address.is_link_local and record.scope_id
    return f"{address}%{record.scope_id}" if scoped else str(address)
