"""Asks the system's own resolver, as ``getaddrinfo`` does.

That includes the hosts file, the name service switch and the search domains.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from cluster_kit.errors import cause_of
from cluster_kit.resolving import addresses_of, resolve
from cluster_kit.strategies.dns.replies import (
    DnsFailure,
    DnsReply,
    RecordType,
    ReplyStatus,
    no_answer,
)

PATIENCE_S = 11.0  # glibc gives up on a name server after 5 s, so the third one can still answer
HOSTS = Path("/etc/hosts")
WHERE = "the system's resolver"

_FAMILY = {RecordType.A: socket.AF_INET, RecordType.AAAA: socket.AF_INET6}
# not every C library has them
_NO_DATA = {getattr(socket, name, None) for name in ("EAI_NODATA", "EAI_ADDRFAMILY")}


class SystemResolver:
    """Asks for A and AAAA, one family at a time: asked for both, it hides that one has failed."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s

    async def ask(self, name: str, kind: RecordType) -> DnsReply:
        """Return what the system knows of ``name``."""
        try:
            async with asyncio.timeout(self._patience_s):
                found = await resolve(name, family=_FAMILY[kind], canonical=True)
        except TimeoutError:
            return no_answer(f"{WHERE} does not answer", DnsFailure.SILENT)
        except OSError as exc:
            return _failure(exc, kind)
        addresses = tuple(sorted(addresses_of(found)))
        whole = next((canonical for *_, canonical, _ in found if canonical), "").rstrip(".").lower()
        asked = "" if whole != name.lower() and _is_in_hosts(name) else whole  # DNS was not asked
        return DnsReply(status=ReplyStatus.FOUND, addresses=addresses, asked=asked)


def _is_in_hosts(name: str) -> bool:
    try:
        lines = HOSTS.read_text(errors="replace").lower().splitlines()
    except OSError:
        return False
    return any(name.lower() in line.partition("#")[0].split()[1:] for line in lines)


def _failure(error: OSError, kind: RecordType) -> DnsReply:
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME:
        return DnsReply(status=ReplyStatus.NO_NAME, reason="there is no such name")
    if isinstance(error, socket.gaierror) and error.errno in _NO_DATA:
        return DnsReply(status=ReplyStatus.NO_DATA, reason=f"it has no {kind} records")
    return no_answer(f"{WHERE} says: {cause_of(error)}", DnsFailure.OTHER)
