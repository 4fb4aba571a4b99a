"""Has a node prove itself to itself, as the others will ask of it, so that what they would refuse is found before."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from cluster_kit.security.files import FileTrust
from cluster_kit.wire.tls import words_of

_ROUNDS = 3  # of a handshake without tickets, one to spare


def rehearse(trust: FileTrust) -> tuple[tuple[str, str], ...]:
    """Open a link in memory, both ends of which are this node, and return the names that its certificate proves.

    Args:
        trust: That of the node.

    Returns:
        The subject alternative names, each with its kind, as ``ssl.SSLObject.getpeercert`` has them.

    Raises:
        ValueError: The others would not believe it; says why, in OpenSSL's words.
    """
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (trust.dialling.wrap_bio(back, there), trust.accepting.wrap_bio(there, back, server_side=True))
    try:
        for _ in range(_ROUNDS):
            for end in ends:
                with suppress(ssl.SSLWantReadError):
                    end.do_handshake()
    except ssl.SSLCertVerificationError as exc:
        raise ValueError(exc.verify_message) from None
    except ssl.SSLError as exc:
        raise ValueError(words_of(exc)) from None
    told: Mapping[str, Any] = ends[1].getpeercert() or {}
    return tuple(told.get("subjectAltName", ()))
