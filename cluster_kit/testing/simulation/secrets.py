"""The secrets of a simulated cluster, by number: keys as any other, which nobody has to wait
for.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from cluster_kit.security.keys import ID_BYTES, Keyring, SecretKeys


def keyring_of(secrets: Sequence[int]) -> Keyring:
    """Return the keys of secrets; the first is used, all are accepted."""
    current, *previous = map(_keys_of, secrets)
    return Keyring(current, tuple(previous))


def _keys_of(secret: int) -> SecretKeys:
    key = {
        purpose: sha256(f"{purpose} of secret {secret}".encode()).digest()
        for purpose in ("id", "links", "datagrams")
    }
    return SecretKeys(id=key["id"][:ID_BYTES], authority=key["links"], datagrams=key["datagrams"])
