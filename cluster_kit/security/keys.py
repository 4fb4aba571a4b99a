"""Makes keys of secrets: one for each purpose, none of which tells anything of another or of the secret.

A secret is stretched once, which makes guessing a weak one expensive; what follows is cheap. Source: RFC 7914 (scrypt),
RFC 5869 (HKDF; each key is its first block).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from msgspec import Struct

KEY_BYTES = 32
ID_BYTES = 8
_COST = 2**15  # of scrypt's blocks of 1 KiB: 32 MiB, and about a tenth of a second
_BLOCK = 8
_MEMORY_BYTES = 2 * 128 * _BLOCK * _COST


class SecretKeys(Struct, frozen=True):
    """What one secret comes to in one cluster.

    Attributes:
        id: Names the secret to those who hold it; anybody may know it.
        authority: The seed of the certificate authority for links.
        datagrams: Seals datagrams.
    """

    id: bytes
    authority: bytes
    datagrams: bytes

    def __repr__(self) -> str:
        return f"SecretKeys(id={self.id.hex()}, ...)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec's own shows every field to rich
        return [("id", self.id.hex())]


class Keyring(Struct, frozen=True):
    """The keys that a node holds.

    Attributes:
        current: What it uses.
        previous: What it accepts besides.
    """

    current: SecretKeys
    previous: tuple[SecretKeys, ...] = ()

    @property
    def accepted(self) -> tuple[SecretKeys, ...]:
        """All that it accepts, the current ones first."""
        return (self.current, *self.previous)

    @property
    def ids(self) -> tuple[bytes, ...]:
        """The ids of the secrets, by which others know which ones this node holds: it uses the first, and accepts all."""
        return tuple(keys.id for keys in self.accepted)


def derive(secret: str | bytes, cluster: str) -> SecretKeys:
    """Return the keys of a secret in a cluster; the same on every machine. Takes about 0.1 s and 32 MiB.

    Text stands for its bytes in UTF-8, in which surrogates stand for bytes that are no text (PEP 383).
    """
    stretched = hashlib.scrypt(
        secret if isinstance(secret, bytes) else secret.encode(errors="surrogateescape"),
        salt=cluster.encode(),
        n=_COST,
        r=_BLOCK,
        p=1,
        maxmem=_MEMORY_BYTES,
        dklen=KEY_BYTES,
    )
    return SecretKeys(
        id=_expand(stretched, "id")[:ID_BYTES],
        authority=_expand(stretched, "links"),
        datagrams=_expand(stretched, "datagrams"),
    )


def _expand(stretched: bytes, purpose: str) -> bytes:
    return hmac.digest(stretched, f"cluster_kit {purpose}".encode() + b"\x01", "sha256")
