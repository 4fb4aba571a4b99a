"""Makes keys of secrets: one for each purpose, none of which tells anything of another or of the secret.

A secret is stretched once, which makes guessing a weak one expensive; what follows is cheap. One that was made here is random
throughout and known by its form: nobody can guess it, so it needs no stretching, which would take as long as a third of a
node's start. Source: RFC 7914 (scrypt), RFC 5869 (HKDF; each key is its first block).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any

from msgspec import Struct

KEY_BYTES = 32
ID_BYTES = 8
_MADE = re.compile(rb"ck1-[0-9a-f]{64}")
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


class Certificates(Struct, frozen=True):
    """What a node was given to prove itself by, and whom it believes; all of it PEM, checked to fit together.

    Attributes:
        chain: Its certificate, and those between that one and an authority.
        key: The private key of its certificate.
        authorities: Whose certificates it believes, at least one.
        trust_domain: The SPIFFE trust domain whose members it believes; ``None`` where a certificate must name the host
            of its node.
    """

    chain: bytes
    key: bytes
    authorities: bytes
    trust_domain: str | None = None

    def __repr__(self) -> str:
        return f"Certificates(trust_domain={self.trust_domain!r}, ...)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec's own shows every field to rich
        return [("trust_domain", self.trust_domain)]


class Keyring(Struct, frozen=True):
    """What a node holds to prove itself by: secrets, certificates, or both, of which the others then ask both.

    Attributes:
        current: The keys that it uses; ``None`` where there is no secret.
        previous: Those that it accepts besides.
        certificates: ``None`` where it has none but those that are made of secrets.
    """

    current: SecretKeys | None = None
    previous: tuple[SecretKeys, ...] = ()
    certificates: Certificates | None = None

    @property
    def accepted(self) -> tuple[SecretKeys, ...]:
        """All that it accepts, the current ones first."""
        return () if self.current is None else (self.current, *self.previous)

    @property
    def ids(self) -> tuple[bytes, ...]:
        """The ids of the secrets, by which others know which ones this node holds: it uses the first, and accepts all."""
        return tuple(keys.id for keys in self.accepted)


def new_secret() -> str:
    """Return a secret of 256 random bits, which needs no stretching."""
    import secrets

    return f"ck1-{secrets.token_hex(KEY_BYTES)}"


def derive(secret: str | bytes, cluster: str) -> SecretKeys:
    """Return the keys of a secret in a cluster; the same on every machine.

    Takes about 0.1 s and 32 MiB, and next to nothing for one that ``new_secret`` has made. Text stands for its bytes in UTF-8,
    in which surrogates stand for bytes that are no text (PEP 383).
    """
    data = secret if isinstance(secret, bytes) else secret.encode(errors="surrogateescape")
    salt = cluster.encode()
    root = hmac.digest(salt, data, "sha256") if _MADE.fullmatch(data) else _stretched(data, salt)
    return SecretKeys(id=_expand(root, "id")[:ID_BYTES], authority=_expand(root, "links"), datagrams=_expand(root, "datagrams"))


def _stretched(secret: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(secret, salt=salt, n=_COST, r=_BLOCK, p=1, maxmem=_MEMORY_BYTES, dklen=KEY_BYTES)


def _expand(root: bytes, purpose: str) -> bytes:
    return hmac.digest(root, f"cluster_kit {purpose}".encode() + b"\x01", "sha256")
