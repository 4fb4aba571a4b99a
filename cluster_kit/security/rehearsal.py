"""Lets a node authenticate to itself, to find out in advance whether peers would refuse it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from cluster_kit.security.files import FileTrust
from cluster_kit.wire.tls import words_of

_ROUNDS = 3  # a handshake takes two


def rehearse(trust: FileTrust) -> tuple[tuple[str, str], ...]:
    """Make a TLS handshake in memory, both ends of which are this node.

    Args:
        trust: The trust of the node.

    Returns:
        The names in its certificate; see ``cluster_kit.security.names``.

    Raises:
        ValueError: Peers would refuse it; the message has OpenSSL's reason.
    """
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    dialler = trust.dialling.wrap_bio(back, there)
    acceptor = trust.accepting.wrap_bio(there, back, server_side=True)
    try:
        for _ in range(_ROUNDS):
            for end in (dialler, acceptor):
                with suppress(ssl.SSLWantReadError):
                    end.do_handshake()
    except ssl.SSLCertVerificationError as exc:
        raise ValueError(exc.verify_message) from None
    except ssl.SSLError as exc:
        raise ValueError(words_of(exc)) from None
    proved: Mapping[str, Any] = acceptor.getpeercert() or {}
    return tuple(proved.get("subjectAltName", ()))
