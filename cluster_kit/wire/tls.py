"""One end of TLS 1.3 with certificates at both ends: bytes in, bytes out. No socket, no clock.

In TLS 1.3 the client completes the handshake before the server has seen its certificate (RFC 8446,
section 2). So a dialler that has the acceptor's ``proof`` may still be refused. Once it can read
something, it knows that it was not: ``is_mutual``.

OpenSSL takes some 50 KB for a connection. It starts only when bytes arrive that look like TLS, so a
peer that connects and stays silent, or speaks another protocol, costs next to nothing.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

from cluster_kit.errors import RemoteProtocolError, UntrustedError
from cluster_kit.wire.frames import PROTOCOL, TLS_HEAD_BYTES, is_plain, is_tls

MAX_HANDSHAKE_BYTES = 65536  # received before the other end has proved itself; usually some 1000
RECORD_BYTES = 16384  # the most that one record holds; OpenSSL gets no more at a time

_NO_CERTIFICATE = bytes.fromhex("15 0303 0002 02 74")  # the alert certificate_required
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
_Proof_co = TypeVar("_Proof_co", covariant=True)


class Trust(Protocol[_Proof_co]):
    """How a node proves itself, and which proofs it accepts.

    Attributes:
        accepting: For streams that others open; see ``new_context``.
        dialling: For streams that this node opens.
    """

    accepting: ssl.SSLContext
    dialling: ssl.SSLContext

    def read(self, certificate: Mapping[str, Any]) -> _Proof_co:
        """Return what a certificate proves, which OpenSSL has verified.

        Args:
            certificate: As ``ssl.SSLObject.getpeercert`` returns it.

        Raises:
            UntrustedError: That is not enough.
        """

    def distrust(self, fault: ssl.SSLError | None) -> UntrustedError:
        """Return why a handshake has failed.

        Args:
            fault: As OpenSSL found it; ``None`` for a peer that speaks our protocol without TLS.
        """


def new_context(*, dialled: bool) -> ssl.SSLContext:
    """Return the context of one end: TLS 1.3, both ends verify, and no session is resumed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if dialled else ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # a certificate names a node rather than a host
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols([PROTOCOL.decode()])
    if not dialled:
        context.num_tickets = 0  # a ticket would open a stream without a certificate
    return context


class Tls(Generic[_Proof]):
    """One end of a stream.

    Args:
        trust: How this end proves itself, and which proofs it accepts.
        dialled: Whether this end opened the stream.

    Attributes:
        proof: What the other end has proved; ``None`` until then.
        is_mutual: Whether both ends are known to have proved themselves.
        has_ended: Whether the other end has said that it sends nothing more.
        waiting_bytes: What is to be sent once the other end has proved itself.
    """

    def __init__(self, trust: Trust[_Proof], *, dialled: bool) -> None:
        self.proof: _Proof | None = None
        self.is_mutual = False
        self.has_ended = False
        self.waiting_bytes = 0
        self._dialled = dialled
        self._trust = trust
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = trust.dialling if dialled else trust.accepting
        self._context: ssl.SSLContext | None = context  # until OpenSSL is begun
        self._waiting = bytearray()
        self._head = b""
        self._taken_bytes = 0

    def start(self) -> bytes:
        """Return what to send first."""
        if self._dialled:
            self._begin()
            with suppress(ssl.SSLWantReadError):
                self._tls.do_handshake()
        return self._outgoing.read()

    def receive(self, data: memoryview) -> tuple[list[bytes], bytes]:
        """Return the plaintext that came in, in pieces, and what to send in turn.

        After an error, ``closing_bytes`` are to be sent.

        Raises:
            UntrustedError: The other end has not proved what it must, or doesn't believe this one.
            RemoteProtocolError: The other end doesn't keep to TLS.
        """
        pieces: list[bytes] = []
        replies: list[bytes] = []
        for start in range(0, len(data), RECORD_BYTES):
            part = data[start : start + RECORD_BYTES]
            try:
                if self.proof is None:
                    self._inspect(part)
                    self._begin()
                    self._incoming.write(part)
                    replies.append(self._shake_hands())
                else:
                    self._incoming.write(part)
                # not until it raises SSLWantReadError, which takes longer than a read
                while self._incoming.pending:
                    piece = self._tls.read(RECORD_BYTES)  # a whole record: nothing is kept back
                    if not piece:
                        self.has_ended = True
                        break
                    self.is_mutual = True
                    pieces.append(piece)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                self.has_ended = True
            except ssl.SSLError as exc:
                raise self._fault(exc) from exc
            if self._outgoing.pending:
                replies.append(self._outgoing.read())
            if self.has_ended:
                break
        return pieces, b"".join(replies)

    def _begin(self) -> None:
        if self._context is not None:
            ends = self._incoming, self._outgoing
            self._tls = self._context.wrap_bio(*ends, server_side=not self._dialled)
            self._context = None

    def _inspect(self, part: memoryview) -> None:
        """Refuse what is too long for a handshake, or doesn't begin like TLS."""
        self._taken_bytes += len(part)
        if self._taken_bytes > MAX_HANDSHAKE_BYTES:
            raise RemoteProtocolError(f"tls: handshake of more than {MAX_HANDSHAKE_BYTES} bytes")
        if len(self._head) < TLS_HEAD_BYTES:
            self._head += part[: TLS_HEAD_BYTES - len(self._head)]
            if len(self._head) == TLS_HEAD_BYTES and not is_tls(self._head):
                raise self._without_tls()

    def _shake_hands(self) -> bytes:
        """Continue the handshake; at its end return, encrypted, what has waited for it."""
        self._tls.do_handshake()
        self.proof = self._trust.read(self._certificate())
        self.is_mutual = not self._dialled
        return self.send(self._take_waiting())

    def _certificate(self) -> Mapping[str, Any]:
        try:
            return self._tls.getpeercert() or {}
        except ValueError as exc:
            raise UntrustedError(f"its certificate can't be read: {exc}") from exc

    def _fault(self, exc: ssl.SSLError) -> RemoteProtocolError:
        if self.is_mutual:
            return RemoteProtocolError(f"tls: what came in is broken: {words_of(exc)}")
        return self._trust.distrust(exc)

    def _without_tls(self) -> RemoteProtocolError:
        """Return the error for a peer that speaks no TLS; one of our kind gets an alert."""
        if is_plain(self._head):
            self._outgoing.write(_NO_CERTIFICATE)
            return self._trust.distrust(None)
        return RemoteProtocolError("it does not speak TLS, as members do")

    def send(self, data: bytes | bytearray) -> bytes:
        """Return what to send for ``data``: nothing until the other end has proved itself.

        Till then ``data`` waits here.
        """
        if self.proof is None:
            self._waiting += data
            self.waiting_bytes += len(data)
            return b""
        if 0 < len(data) <= RECORD_BYTES:  # as nearly always, and without a copy
            self._tls.write(data)
            return self._outgoing.read()
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
        return self.closing_bytes()

    def closing_bytes(self) -> bytes:
        """Return what to send after ``receive`` has raised, such as an alert; drop what waits."""
        self._take_waiting()
        return self._outgoing.read()

    def _take_waiting(self) -> bytearray:
        waiting, self._waiting, self.waiting_bytes = self._waiting, bytearray(), 0
        return waiting


def refuses_us(fault: ssl.SSLError) -> bool:
    """Whether the other end has said, by an alert, that it doesn't trust this one."""
    return fault.reason in _DISTRUSTS_US


def shows_no_certificate(fault: ssl.SSLError) -> bool:
    """Whether the other end has no certificate to show."""
    return fault.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"


def breakage(fault: ssl.SSLError) -> UntrustedError:
    """Return the error for a handshake that failed although neither end distrusts the other."""
    cure = "look for what changes the bytes between the nodes, or for another program that answers"
    return UntrustedError(f"its TLS handshake is broken: {words_of(fault)}", cure=cure)


def words_of(fault: ssl.SSLError) -> str:
    """Return OpenSSL's own words for a fault."""
    return (fault.reason or str(fault)).replace("_", " ").lower()
