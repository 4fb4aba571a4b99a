"""One end of TLS 1.3 as bytes in, bytes out, where both ends must prove themselves. No socket, no clock.

A dialler is through with the handshake before the acceptor has seen its certificate, so it learns of a refusal only when it
reads (``is_mutual``). Source: RFC 8446, section 2.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar

from cluster_kit.errors import RemoteProtocolError, UntrustedError
from cluster_kit.wire.frames import PROTOCOL, is_plain, is_tls

MAX_HANDSHAKE_BYTES = 65536  # taken in before the other end has proved itself; with a certificate of usual length, some 1000
RECORD_BYTES = 16384  # the most that one record holds; whatever OpenSSL buffers, it is given no more at a time
_HEAD_BYTES = 5

_NO_CERTIFICATE = bytes.fromhex("15 0303 0002 02 74")  # the alert certificate_required, for one who speaks no TLS
_DISTRUSTS_US = frozenset(
    {
        "TLSV1_ALERT_UNKNOWN_CA",
        "TLSV1_ALERT_DECRYPT_ERROR",
        "TLSV1_ALERT_ACCESS_DENIED",
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    }
)

_Proof = TypeVar("_Proof")


def new_context(*, dialled: bool) -> ssl.SSLContext:
    """Return what one end of all streams has in common: TLS 1.3 only, each end verifies, and no session is ever resumed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if dialled else ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # names of nodes are none of hosts
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols([PROTOCOL.decode()])
    if not dialled:
        context.num_tickets = 0  # with one, a stream could be opened without a certificate
    return context


class Tls(Generic[_Proof]):
    """One end of a stream.

    Args:
        context: See ``new_context``, with chain and trust.
        dialled: Whether this end opened the stream.
        read: Returns what the other end's certificate proves; raises ``UntrustedError`` where that isn't enough.

    Attributes:
        proof: What ``read`` returned; ``None`` before the other end has proved itself.
        is_mutual: Whether both ends have proved themselves, as far as can be known here.
        has_ended: Whether the other end has said that it sends nothing more.
    """

    def __init__(self, context: ssl.SSLContext, *, dialled: bool, read: Callable[[Mapping[str, Any]], _Proof]) -> None:
        self.proof: _Proof | None = None
        self.is_mutual = False
        self.has_ended = False
        self._dialled = dialled
        self._read = read
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._context: ssl.SSLContext | None = context  # until it is used: who connects and says nothing costs next to nothing
        self._waiting = bytearray()
        self._head = b""
        self._taken_bytes = 0

    @property
    def waiting_bytes(self) -> int:
        """What is to be sent once the other end has proved itself."""
        return len(self._waiting)

    def start(self) -> bytes:
        """Return what to send first."""
        if self._dialled:
            self._begin()
            with suppress(ssl.SSLWantReadError):
                self._tls.do_handshake()
        return self._outgoing.read()

    def receive(self, data: memoryview) -> tuple[list[bytes], bytes]:
        """Return the plaintext that came in, in pieces, and what to send in turn.

        Raises:
            UntrustedError: The other end has not proved what it must, or doesn't believe this one.
            RemoteProtocolError: What came in can't be made sense of. After either, ``last_words`` are to be sent.
        """
        self._begin()
        pieces: list[bytes] = []
        replies: list[bytes] = []
        for start in range(0, len(data), RECORD_BYTES):
            part = data[start : start + RECORD_BYTES]
            if self.proof is None:
                self._note(part)
            self._incoming.write(part)
            try:
                self._advance(pieces, replies)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                self.has_ended = True
            except ssl.SSLError as exc:
                raise self._fault(exc) from exc
            replies.append(self._outgoing.read())
            if self.has_ended:
                break
        return pieces, b"".join(replies)

    def _begin(self) -> None:
        if self._context is not None:
            self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_side=not self._dialled)
            self._context = None

    def _note(self, part: memoryview) -> None:
        self._taken_bytes += len(part)
        if self._taken_bytes > MAX_HANDSHAKE_BYTES:
            raise RemoteProtocolError(f"tls: handshake of more than {MAX_HANDSHAKE_BYTES} bytes")
        if len(self._head) < _HEAD_BYTES:
            self._head += part[: _HEAD_BYTES - len(self._head)]

    def _advance(self, pieces: list[bytes], replies: list[bytes]) -> None:
        if self.proof is None:
            self._tls.do_handshake()
            self.proof = self._read(self._tls.getpeercert() or {})
            self.is_mutual = not self._dialled
            waiting, self._waiting = self._waiting, bytearray()
            replies.append(self.send(waiting))
        while piece := self._tls.read(RECORD_BYTES):
            self.is_mutual = True
            pieces.append(piece)
        self.has_ended = True

    def _fault(self, exc: ssl.SSLError) -> RemoteProtocolError:
        if self.is_mutual:
            return RemoteProtocolError(f"tls: what came in is broken: {_words(exc)}")
        if is_plain(self._head):
            self._outgoing.read()
            self._outgoing.write(_NO_CERTIFICATE)
            return UntrustedError("it has no secret, and this node has one")
        if not is_tls(self._head):
            self._outgoing.read()
            return RemoteProtocolError("it does not speak TLS, as members do")
        if isinstance(exc, ssl.SSLCertVerificationError):
            return UntrustedError("it does not hold our secret")
        if exc.reason in _DISTRUSTS_US:
            return UntrustedError("it does not accept our secret")
        if exc.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
            return UntrustedError("it shows no certificate")
        return UntrustedError(f"its TLS handshake is broken: {_words(exc)}")

    def send(self, data: bytes | bytearray) -> bytes:
        """Return what to send for ``data``; before the other end has proved itself nothing, and ``data`` waits for that."""
        if self.proof is None:
            self._waiting += data
            return b""
        sent: list[bytes] = []
        with memoryview(data) as view:
            for start in range(0, len(view), RECORD_BYTES):
                self._tls.write(view[start : start + RECORD_BYTES])
                sent.append(self._outgoing.read())
        return b"".join(sent)

    def close(self) -> bytes:
        """Return what to send last."""
        if self.proof is not None:
            with suppress(ssl.SSLError):
                self._tls.unwrap()
        return self.last_words()

    def last_words(self) -> bytes:
        """Return what to send after ``receive`` has raised, and forget what waits."""
        self._waiting.clear()
        return self._outgoing.read()


def _words(exc: ssl.SSLError) -> str:
    return (exc.reason or str(exc)).replace("_", " ").lower()
