"""Protects streams by TLS 1.3, where each end authenticates by a secret or by certificates.

With both, there are two layers of TLS: that of the secret within that of the certificates.
"""

from __future__ import annotations

import asyncio
import copy

from msgspec import Struct

from cluster_kit.errors import RemoteProtocolError
from cluster_kit.network import Certified, Stream, StreamReader
from cluster_kit.security.authority import Proof, SecretTrust
from cluster_kit.security.keys import Keyring
from cluster_kit.wire.tls import Tls, Trust

MAX_EARLY_BYTES = 65536  # received by a stream that sends before it is started


class LinkTrust:
    """How one run of a node authenticates on streams, and which other ends it trusts.

    Args:
        name: The name of the node.
        keyring: Its secrets, or certificates, or both.

    Raises:
        ValueError: Its certificates can't be used; see ``FileTrust``.
    """

    def __init__(self, name: str, keyring: Keyring) -> None:
        self._name = name
        self._trusts = self._of(keyring)

    def renew(self, keyring: Keyring) -> None:
        """Use other keys for new streams; change nothing if they can't be used."""
        self._trusts = self._of(keyring)

    def protect(self, stream: Stream, *, dialled: bool) -> Stream:
        """See ``Security.protect``."""
        for trust in self._trusts:
            stream = ProtectedStream(stream, trust, dialled=dialled)
        return stream

    def _of(self, keyring: Keyring) -> tuple[Trust[Certified], ...]:
        """Return the trust of each layer of TLS, from the outside in."""
        trusts: list[Trust[Certified]] = []
        if keyring.certificates is not None:
            # imported here, since most nodes only have a secret
            from cluster_kit.security.files import FileTrust

            trusts.append(FileTrust(keyring.certificates))
        if keyring.current is not None:
            trusts.append(SecretTrust(self._name, keyring))
        if not trusts:
            raise ValueError("a keyring with neither a secret nor certificates protects nothing")
        return tuple(trusts)


class _Both(Struct, frozen=True):
    """The proofs of the other end on two layers of TLS."""

    outer: Certified
    inner: Certified

    def objection_to(self, name: str) -> str | None:
        return self.outer.objection_to(name) or self.inner.objection_to(name)


class ProtectedStream(Stream):
    """A stream under TLS, on top of another one that it owns.

    The handshake begins when the stream is started, or when something is sent on it. It has no
    deadline: the owner closes a stream that takes too long.

    Args:
        stream: The stream below.
        trust: How this end authenticates, and which proofs it accepts.
        dialled: Whether this end dialled.
    """

    def __init__(self, stream: Stream, trust: Trust[Certified], *, dialled: bool) -> None:
        self.here, self.there = stream.here, stream.there
        self._stream = stream
        self._tls = Tls(trust, dialled=dialled)
        self._reader: StreamReader | None = None
        self._early = bytearray()
        self._has_begun = False
        self._is_closing = False
        self._has_ended = False

    # -- what its owner calls --------------------------------------------------------------------

    def start(self, reader: StreamReader) -> None:
        """Begin to receive."""
        if self._early or self._has_ended:
            asyncio.get_running_loop().call_soon(self._hand_over, reader)
        else:
            self._reader = reader
            if not self._has_begun:
                self._begin()

    def send(self, data: bytes) -> None:
        """Send ``data`` once the other end has authenticated."""
        if not self._is_closing and data:
            if not self._has_begun:
                self._begin()
            if encrypted := self._tls.send(data):
                self._stream.send(encrypted)

    @property
    def unsent_bytes(self) -> int:
        """Bytes that wait here or below."""
        return self._tls.waiting_bytes + self._stream.unsent_bytes

    def close(self) -> None:
        """Close once everything is sent, which takes until the other end has authenticated."""
        if not self._is_closing:
            self._is_closing = True
            if not self._tls.waiting_bytes:
                self._finish()

    def abort(self) -> None:
        """Close now."""
        self._is_closing = True
        self._early.clear()
        self._tls.closing_bytes()
        self._stream.abort()

    # -- what the stream below calls -------------------------------------------------------------

    def received(self, data: memoryview) -> None:
        """Decrypt ``data``, pass it on, and send the replies that TLS makes."""
        had_to_wait = self._tls.waiting_bytes > 0
        try:
            pieces, replies = self._tls.receive(data)
        except RemoteProtocolError as error:
            self._break(error)
            return
        if self.certified is None and self._tls.proof is not None:
            self._note(self._tls.proof)
        if replies:
            self._stream.send(replies)
        if had_to_wait and not self.unsent_bytes:
            self.relieved()
        if pieces and not self._is_closing:
            plain = pieces[0] if len(pieces) == 1 else b"".join(pieces)  # one per record
            if self._reader is not None:
                self._reader.received(memoryview(plain))
            else:
                self._keep(plain)
        if self._tls.has_ended:
            self.close()
        elif self._is_closing and not self._tls.waiting_bytes:
            self._finish()

    def relieved(self) -> None:
        """Report that everything below is sent, unless something waits here."""
        if self._reader is not None and not self._is_closing and not self._tls.waiting_bytes:
            self._reader.relieved()

    def lost(self) -> None:
        """Report that the stream has ended."""
        self._is_closing = self._has_ended = True
        self._tls.closing_bytes()
        self.distrust = self.distrust or self._stream.distrust
        # break a reference cycle, so that the memory of TLS is freed at once
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.lost()

    # -- between the two -------------------------------------------------------------------------

    def _begin(self) -> None:
        self._has_begun = True
        self._stream.start(self)
        self._pass_on(self._tls.start())

    def _note(self, proof: Certified) -> None:
        below = self._stream.certified
        self.certified = proof if below is None else _Both(below, proof)
        if isinstance(proof, Proof):
            self.certified_by = proof.secret

    def _pass_on(self, data: bytes) -> None:
        if data:
            self._stream.send(data)

    def _keep(self, piece: bytes) -> None:
        """Keep a received piece until there is a reader."""
        if len(self._early) + len(piece) > MAX_EARLY_BYTES:
            self.abort()
        else:
            self._early += piece

    def _hand_over(self, reader: StreamReader) -> None:
        """Pass to ``reader`` what was received before it was there."""
        self._reader = reader
        early, self._early = self._early, bytearray()
        if early:
            reader.received(memoryview(early))
        if self._has_ended:
            reader.lost()

    def _finish(self) -> None:
        self._pass_on(self._tls.close())
        self._stream.close()

    def _break(self, error: RemoteProtocolError) -> None:
        """Close with the alert that TLS has for ``error``, if any."""
        if not self._tls.is_mutual:
            self.distrust = copy.copy(error)  # without its traceback, which refers to this stream
        self._is_closing = True
        if words := self._tls.closing_bytes():
            self._stream.send(words)
            self._stream.close()
        else:
            self._stream.abort()
