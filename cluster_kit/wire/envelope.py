"""The content of a sealed gossip datagram.

It holds the packet, the address at which the sender is reached, and nonces, which distinguish a
fresh datagram from a recording (``cluster_kit.strategies.gossip.freshness``). It is encoded as a
MessagePack array of the fields of ``Envelope``. Later versions may append fields.
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
    """A packet, and the sender's address and nonces.

    A missing nonce takes as many bytes as any other, so that no reply is longer than its question.

    Attributes:
        host: The host where the sender receives unicasts; ``None`` if it doesn't know.
        port: The port where it does.
        nonce: A number that the receiver is to send back as ``echo``.
        echo: The nonce that the receiver of this datagram has sent.
        packet: A gossip datagram that isn't sealed, or empty.
        padding: Has no meaning.
    """

    host: Host | None
    port: Port
    nonce: Nonce = NO_NONCE
    echo: Nonce = NO_NONCE
    packet: bytes = b""
    padding: bytes = b""

    def reply_to(self, source: Endpoint) -> Endpoint:
        """Return where the sender is reached; ``source``, which can be forged, only fills gaps."""
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
    ip_address(host)  # a name is refused, as looking it up would take time


_DECODER = msgspec.msgpack.Decoder(Envelope)
_ENCODER = msgspec.msgpack.Encoder()


def encode(envelope: Envelope) -> bytes:
    """Return the bytes of ``envelope``, which are then sealed."""
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
        found = f"malformed sealed datagram of {len(plain)} bytes"
        raise RemoteProtocolError(f"gossip: {found}: {exc}") from exc
    return envelope
