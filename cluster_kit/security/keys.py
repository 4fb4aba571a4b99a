"""Derives keys from secrets, one for each purpose; none reveals another one or the secret.

A secret is stretched by scrypt, which makes guessing a weak one expensive. Secrets made by
``new_secret`` are recognised by their form and not stretched: they are random, so guessing is
hopeless, and stretching would only delay the start of a node, by a third.

Source: RFC 7914 (scrypt), RFC 5869 (HKDF; each key is its first block).
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
    """The keys of one secret in one cluster.

    Attributes:
        id: Identifies the secret; it is public.
        authority: The seed of the certificate authority for links.
        datagrams: The key from which those that seal datagrams are derived.
    """

    id: bytes
    authority: bytes
    datagrams: bytes

    def __repr__(self) -> str:
        return f"SecretKeys(id={self.id.hex()}, ...)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec's own shows every field to rich
        return [("id", self.id.hex())]


class Certificates(Struct, frozen=True):
    """The certificates of a node and its authorities, as PEM, checked to fit together.

    Attributes:
        chain: Its certificate, followed by the intermediate ones.
        key: The private key of its certificate.
        authorities: The authorities that it trusts, at least one.
        trust_domain: The SPIFFE trust domain whose members it trusts; ``None`` if a certificate
            must name the host of its node instead.
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
    """A node's credentials: secrets, certificates, or both, which all nodes then need.

    Attributes:
        current: The keys of the secret that it uses; ``None`` if there is no secret.
        previous: The keys of the other secrets that it accepts.
        certificates: Its certificates from files, if it has any.
    """

    current: SecretKeys | None = None
    previous: tuple[SecretKeys, ...] = ()
    certificates: Certificates | None = None

    @property
    def accepted(self) -> tuple[SecretKeys, ...]:
        """The keys of all secrets that it accepts, the current one first."""
        return () if self.current is None else (self.current, *self.previous)

    @property
    def ids(self) -> tuple[bytes, ...]:
        """The ids of the secrets: the node uses the first, and accepts all."""
        return tuple(keys.id for keys in self.accepted)


def new_secret() -> str:
    """Return a secret of 256 random bits, which needs no stretching."""
    import secrets

    return f"ck1-{secrets.token_hex(KEY_BYTES)}"


def derive(secret: str | bytes, cluster: str) -> SecretKeys:
    """Return the keys of a secret in a cluster, which are the same on every machine.

    This takes about 0.1 s and 32 MiB, and next to nothing for a secret of ``new_secret``. Text is
    encoded as UTF-8; surrogates represent bytes that are not UTF-8 (PEP 383).
    """
    data = secret if isinstance(secret, bytes) else secret.encode(errors="surrogateescape")
    salt = cluster.encode()
    root = hmac.digest(salt, data, "sha256") if _MADE.fullmatch(data) else _stretched(data, salt)
    key_id, authority, datagrams = (_expand(root, use) for use in ("id", "links", "datagrams"))
    return SecretKeys(id=key_id[:ID_BYTES], authority=authority, datagrams=datagrams)


def _stretched(secret: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(
        secret, salt=salt, n=_COST, r=_BLOCK, p=1, maxmem=_MEMORY_BYTES, dklen=KEY_BYTES
    )


def _expand(root: bytes, purpose: str) -> bytes:
    return hmac.digest(root, f"cluster_kit {purpose}".encode() + b"\x01", "sha256")
