"""What is in a sealed gossip datagram: the packet, how the sender is reached, and what proves that it is no recording.

It is a MessagePack array of the fields of ``Envelope``. Later versions may append fields.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated

import msgspec

from cluster_kit.errors import RemoteProtocolError
from cluster_kit.network import Endpoint
from cluster_kit.wire.gossip import Host, Port, seen_from

NONCE_BYTES = 16
NO_NONCE = bytes(NONCE_BYTES)
ENVELOPE_BYTES = 64  # besides the packet, with an address of usual length

Nonce = Annotated[bytes, msgspec.Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]


class Envelope(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A packet and what goes with it.

    ``host`` and ``port`` are the address at which the sender hears what is for it alone; ``host`` is ``None`` where it can't
    tell. ``nonce`` is what the sender wants to hear back, ``echo`` what it has heard from whom this is for: both have one
    length, also where there is none, so that a reply is no longer than what it replies to. ``packet`` is a plain gossip
    datagram, or empty. ``padding`` says nothing.
    """

    host: Host | None
    port: Port
    nonce: Nonce = NO_NONCE
    echo: Nonce = NO_NONCE
    packet: bytes = b""
    padding: bytes = b""

    def reply_to(self, source: Endpoint) -> Endpoint:
        """Return where the sender is reached, whatever ``source`` the datagram seems to come from."""
        return _reply_to(source.host, self.host, self.port)

    def padded(self, size_bytes: int) -> Envelope:
        """Return the envelope grown to ``size_bytes``, or one byte less."""
        missing = size_bytes - len(encode(self))
        return msgspec.structs.replace(self, padding=bytes(max(0, missing - (missing > 255))))


@lru_cache(maxsize=2048)
def _reply_to(source: str, host: str | None, port: int) -> Endpoint:
    return Endpoint(source if host is None else seen_from(source, host), port)


@lru_cache(maxsize=2048)
def _check_ip(host: str) -> None:
    ip_address(host)  # a name would be looked up, which takes its time


_DECODER = msgspec.msgpack.Decoder(Envelope)
_ENCODER = msgspec.msgpack.Encoder()


def encode(envelope: Envelope) -> bytes:
    """Return ``envelope`` as it is sealed."""
    return _ENCODER.encode(envelope)


def decode(plain: bytes) -> Envelope:
    """Return the envelope that was sealed.

    Raises:
        RemoteProtocolError: It is malformed.
    """
    try:
        envelope = _DECODER.decode(plain)
        if envelope.host is not None:
            _check_ip(envelope.host)
    except (ValueError, RecursionError) as exc:
        raise RemoteProtocolError(f"gossip: malformed sealed datagram of {len(plain)} bytes: {exc}") from exc
    return envelope
