"""Sealed datagrams: only the holders of a secret of the cluster can read or make them.

In the clear are ``MAGIC``, version and flags as in any gossip datagram, with the flag ``SEALED``;
then a tag of the fence, the id of the secret, the sender's boot, its stamp and its name. The rest
is the ciphertext of an AEAD. It authenticates everything in the clear, and the fence in full, so a
datagram of another group doesn't open.

Each boot has a key of its own, and never uses a stamp twice under it, so the stamp serves as the
nonce. A stamp is the sender's time in microseconds, whatever its start, and more than the last one.

Source: NIST SP 800-38D (AES-GCM; nonces as in 8.2.1), RFC 5869 2.3 (the key of a boot is the first
block of HKDF-Expand).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from enum import StrEnum
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING

import msgspec

from cluster_kit.errors import LocalProtocolError, RemoteProtocolError
from cluster_kit.node import BootId, Fence
from cluster_kit.security.keys import Keyring, SecretKeys
from cluster_kit.wire.gossip import MAGIC, MAX_DATAGRAM_BYTES, VERSION, Boot

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SEALED = 1  # the flag
SEALED_HEADER = MAGIC + bytes((VERSION, SEALED))
AUTH_TAG_BYTES = 16
FENCE_TAG_BYTES = 8  # distinguishes clusters on one network; the whole fence is authenticated too

# header, tag of the fence, id of the secret, boot, stamp, length of the name
_CLEAR = Struct(f">{len(SEALED_HEADER)}s{FENCE_TAG_BYTES}s8sQQQB")
_BOOT = Struct(">QQ")
_BOOT_AT = len(SEALED_HEADER) + FENCE_TAG_BYTES + 8
_NONCE = Struct(">4xQ")
_LENGTH = Struct(">H")
_US = 1_000_000
_VISIBLE = re.compile(rb"[!-~]+")


class SealFault(StrEnum):
    """Why a datagram does not open."""

    UNSEALED = "it is not sealed"
    MALFORMED = "it is malformed"
    FOREIGN = "it is of another cluster or group"
    OTHER_KEY = "it is sealed with another secret"
    FORGED = "it was not made with the secret that it names, or was changed on the way"


class NotOpened(RemoteProtocolError):  # noqa: N818 - an everyday outcome rather than an error
    """A datagram does not open.

    Attributes:
        fault: Why, from a closed list.
        name: The name that the sender claims, which proves nothing; empty if it can't be shown.
    """

    def __init__(self, fault: SealFault, name: str = "") -> None:
        super().__init__(f"gossip: datagram refused: {fault}")
        self.fault = fault
        self.name = name


class Opened(msgspec.Struct, frozen=True):
    """The content of a sealed datagram and its sender, all of it authentic."""

    boot: Boot
    stamp: int
    plain: bytes
    key_id: bytes


class Clear(msgspec.Struct, frozen=True):
    """What a sealed datagram has in the clear, which proves nothing before it has opened."""

    fence_tag: bytes
    key_id: bytes
    boot: Boot
    stamp: int
    name_bytes: bytes
    size_bytes: int

    @property
    def name(self) -> str:
        """The name that the sender claims; empty if it has characters that can't be shown."""
        return self.name_bytes.decode() if _VISIBLE.fullmatch(self.name_bytes) else ""


class Sealing:
    """Seals what one run of a node sends, and opens what others sent.

    A run uses one instance for all that it seals, since that keeps stamps unique.

    Args:
        name: The name of the node.
        boot_id: The run.
        keyring: The keys of its secrets.
        max_senders: For how many senders to keep the cipher, which takes 2.5 KiB. To make it for
            each datagram takes as long as everything else.
    """

    def __init__(
        self, name: str, boot_id: BootId, keyring: Keyring, max_senders: int = 2048
    ) -> None:
        self._max_senders = max_senders
        self._name = name.encode("ascii")
        self._boot = boot_id.started_ms, boot_id.nonce
        self._own = _BOOT.pack(*self._boot)
        self._stamp = 0
        self._fence: Fence | None = None
        self._of_fence = b"", b""
        self._openers: OrderedDict[tuple[bytes, Boot], AESGCM] = OrderedDict()
        self.renew(keyring)

    @property
    def overhead_bytes(self) -> int:
        """How much longer a sealed datagram is than its content."""
        return _CLEAR.size + len(self._name) + AUTH_TAG_BYTES

    def renew(self, keyring: Keyring) -> None:
        """Use other keys from now on."""
        assert keyring.current is not None
        self._current = keyring.current
        self._sealer = _cipher(keyring.current, self._boot)
        self._accepted = {keys.id: keys for keys in keyring.accepted}
        self._openers.clear()

    def seal(self, plain: bytes, fence: Fence, now_s: float) -> bytes:
        """Return ``plain`` sealed for the nodes within ``fence``.

        Raises:
            LocalProtocolError: It is larger than a peer would accept.
        """
        self._stamp = stamp = max(self._stamp + 1, int(now_s * _US))
        tag, encoded = self._of_fence if fence is self._fence else self._known(fence)
        head = SEALED_HEADER, tag, self._current.id, *self._boot, stamp, len(self._name)
        clear = _CLEAR.pack(*head) + self._name
        datagram = clear + self._sealer.encrypt(_NONCE.pack(stamp), plain, clear + encoded)
        if len(datagram) > MAX_DATAGRAM_BYTES:
            found = f"datagram of {len(datagram)} bytes"
            raise LocalProtocolError(f"gossip: {found}: at most {MAX_DATAGRAM_BYTES} allowed")
        return datagram

    def is_own(self, datagram: bytes) -> bool:
        """Whether this run has sent ``datagram``: it receives its own multicasts."""
        return datagram.startswith(self._own, _BOOT_AT)

    def open(self, datagram: bytes, fence: Fence) -> Opened:
        """Return the content of ``datagram``.

        Raises:
            NotOpened: It was not sealed for ``fence``, or not with a secret that is accepted here.
        """
        clear = read_clear(datagram)
        tag, encoded = self._of_fence if fence is self._fence else self._known(fence)
        if clear.fence_tag != tag:
            raise NotOpened(SealFault.FOREIGN, clear.name)
        keys = self._accepted.get(clear.key_id)
        if keys is None:
            raise NotOpened(SealFault.OTHER_KEY, clear.name)
        cipher = self._openers.get((clear.key_id, clear.boot)) or _cipher(keys, clear.boot)
        size_bytes = clear.size_bytes
        authenticated = datagram[:size_bytes] + encoded
        try:
            plain = cipher.decrypt(_NONCE.pack(clear.stamp), datagram[size_bytes:], authenticated)
        except self._invalid_tag:
            raise NotOpened(SealFault.FORGED, clear.name) from None
        return Opened(clear.boot, clear.stamp, plain, clear.key_id)

    def expect(self, opened: Opened) -> None:
        """Keep the cipher of a trusted sender, so that its next datagram opens faster."""
        sender = opened.key_id, opened.boot
        if sender in self._openers:
            self._openers.move_to_end(sender)
        elif opened.key_id in self._accepted:
            self._openers[sender] = _cipher(self._accepted[opened.key_id], opened.boot)
            if len(self._openers) > self._max_senders:
                self._openers.popitem(last=False)

    def _known(self, fence: Fence) -> tuple[bytes, bytes]:
        """Return tag and encoding of a fence, and keep them: nearly all calls have the same one."""
        self._fence, self._of_fence = fence, (fence_tag(fence), _encoded(fence))
        return self._of_fence

    @property
    def _invalid_tag(self) -> type[Exception]:
        from cryptography.exceptions import InvalidTag

        return InvalidTag


def is_sealed(datagram: bytes) -> bool:
    """Whether ``datagram`` begins like a sealed one."""
    return datagram.startswith(SEALED_HEADER)


def read_clear(datagram: bytes) -> Clear:
    """Return what ``datagram`` has in the clear; no secret is needed.

    Raises:
        NotOpened: It is not sealed, or malformed.
    """
    if not datagram.startswith(SEALED_HEADER):
        raise NotOpened(SealFault.UNSEALED)
    if not _CLEAR.size + AUTH_TAG_BYTES <= len(datagram) <= MAX_DATAGRAM_BYTES:
        raise NotOpened(SealFault.MALFORMED)
    _, tag, key_id, started_ms, nonce, stamp, length = _CLEAR.unpack_from(datagram)
    size_bytes = _CLEAR.size + length
    name = datagram[_CLEAR.size : size_bytes]
    if started_ms >= 2**63 or len(datagram) < size_bytes + AUTH_TAG_BYTES:
        raise NotOpened(SealFault.MALFORMED)
    return Clear(tag, key_id, (started_ms, nonce), stamp, name, size_bytes)


@lru_cache(maxsize=64)
def fence_tag(fence: Fence) -> bytes:
    """Return a tag that distinguishes ``fence`` from others.

    It doesn't reveal the fence, but it confirms a guess.
    """
    return hashlib.sha256(_encoded(fence)).digest()[:FENCE_TAG_BYTES]


@lru_cache(maxsize=64)
def _encoded(fence: Fence) -> bytes:
    parts = [part.encode("utf-8", "surrogatepass") for part in (fence.cluster, fence.group)]
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def _cipher(keys: SecretKeys, boot: Boot) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    info = b"cluster_kit boot" + _BOOT.pack(*boot)
    return AESGCM(hmac.digest(keys.datagrams, info + b"\x01", "sha256"))
