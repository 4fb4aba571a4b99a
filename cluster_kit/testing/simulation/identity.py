"""The identity of a simulated node: its name, the address of its machine, and its keys."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from cluster_kit.node import Node
from cluster_kit.security.keys import ID_BYTES, Keyring, SecretKeys

_HOSTS_PER_SUBNET = 250


def address_of(number: int) -> str:
    """Return the address of the machine that node ``number`` runs on."""
    subnet, host = divmod(number, _HOSTS_PER_SUBNET)
    return f"10.{subnet // 256}.{subnet % 256}.{host + 1}"


def label_of(number: int) -> str:
    """Return the short name by which a trace refers to node ``number``."""
    return f"n{number:04}"


def node_of(number: int) -> Node:
    """Return node ``number`` as it is before its first run."""
    return Node(f"{label_of(number)}@{address_of(number)}")


def keyring_of(secrets: Sequence[int]) -> Keyring:
    """Return the keys of numbered secrets; the first secret is in use, all are accepted."""
    current, *previous = map(_keys_of, secrets)
    return Keyring(current, tuple(previous))


def _keys_of(secret: int) -> SecretKeys:
    # a plain hash: the real derivation is slow on purpose, and nobody attacks a simulation
    key = {
        purpose: sha256(f"{purpose} of secret {secret}".encode()).digest()
        for purpose in ("id", "links", "datagrams")
    }
    return SecretKeys(id=key["id"][:ID_BYTES], authority=key["links"], datagrams=key["datagrams"])
