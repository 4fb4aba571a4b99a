"""Has a node prove itself to itself, as the others will ask of it, so that what they would refuse is found before."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from cluster_kit.security.authority import _as_file
from cluster_kit.security.keys import Certificates
from cluster_kit.wire.tls import new_context

_ROUNDS = 3  # of a handshake without tickets, one to spare


def rehearse(certificates: Certificates) -> tuple[tuple[str, str], ...]:
    """Open a link in memory, both ends of which are this node, and return the names that its certificate proves.

    Returns:
        The subject alternative names, each with its kind, as ``ssl.SSLObject.getpeercert`` has them.

    Raises:
        ValueError: The others would not believe it; says why, in OpenSSL's words.
    """
    try:
        return _names(*(_context(certificates, dialled=dialled) for dialled in (True, False)))
    except ssl.SSLCertVerificationError as exc:
        raise ValueError(exc.verify_message) from None
    except ssl.SSLError as exc:
        raise ValueError((exc.reason or str(exc)).replace("_", " ").lower()) from None


def _context(certificates: Certificates, *, dialled: bool) -> ssl.SSLContext:
    context = new_context(dialled=dialled)
    context.load_verify_locations(cadata=certificates.authorities.decode("ascii"))
    with _as_file(certificates.chain + certificates.key) as path:
        context.load_cert_chain(path)
    return context


def _names(dialling: ssl.SSLContext, accepting: ssl.SSLContext) -> tuple[tuple[str, str], ...]:
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (dialling.wrap_bio(back, there), accepting.wrap_bio(there, back, server_side=True))
    for _ in range(_ROUNDS):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    told: Mapping[str, Any] = ends[1].getpeercert() or {}
    return tuple(told.get("subjectAltName", ()))
