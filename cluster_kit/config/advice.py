"""Warnings about weak or exposed protection that a configuration may have, but should not."""

from __future__ import annotations

import math
import string
from collections.abc import Iterator
from pathlib import Path

from cluster_kit.config.model import ClusterConfig
from cluster_kit.host import is_loopback

LEAST_BITS = 128
_REPEAT_CHARS = 6  # random text hardly ever repeats a run this long
_CLASSES = (
    string.digits,
    string.ascii_lowercase,
    string.ascii_uppercase,
    string.punctuation + string.whitespace,
)
_HEX = (set("0123456789abcdef"), set("0123456789ABCDEF"))
_BEYOND_ASCII = 128


def advice(config: ClusterConfig) -> Iterator[str]:
    """Yield warnings, one line each; none of them shows a secret."""
    file, certificates = config.secret_file, config.certificates
    if file is not None and file.exposed:
        yield _exposed("secret_file", file.path)
    if certificates is not None and certificates.exposed:
        yield _exposed("certificates", certificates.paths.key)
    if not config.insecure:
        yield from _unverified(config)
    for number, secret in enumerate(config.secrets):
        bits = bits_of(secret.reveal())
        if bits < LEAST_BITS:
            which = "the secret" if number == 0 else f"previous secret {number}"
            weak = f"{which} has at most {bits:.0f} bits of entropy and could be guessed"
            yield f"{weak}: 'cluster-kit secret' makes one with 256 bits"


def _exposed(what: str, path: Path) -> str:
    cure = "chmod o-r, or in Kubernetes set 'defaultMode: 0440'"
    return f"{what}: everybody on this machine can read '{path}': {cure}"


def _unverified(config: ClusterConfig) -> Iterator[str]:
    """Yield strategies off loopback whose findings no link verifies."""
    for topology in config.topologies.values():
        connector = topology.connector
        if connector.build().holds_links:
            continue
        for source, component in zip(topology.sources, topology.strategies, strict=True):
            strategy = component.build()
            address = strategy.serves_on(config.host)
            if address is not None and not strategy.needs_secret and not is_loopback(address):
                forged = f"anybody on {address!r} can forge what {source} receives"
                unverified = f"connector {connector.name} opens no link that would verify it"
                yield f"topologies.{topology.name}: {forged}, and {unverified}"


def bits_of(secret: str) -> float:
    """Return an upper bound of a secret's entropy, in bits: length times log2 of its alphabet.

    Repeated runs of characters count once. Words, dates and keyboard rows count as random, so a
    secret may be far weaker than this.
    """
    if any("\udc80" <= char <= "\udcff" for char in secret):  # bytes that aren't text
        return 8.0 * _fresh_chars(secret.encode(errors="surrogateescape").decode("latin-1"))
    return _fresh_chars(secret) * math.log2(_alphabet(secret))


def _alphabet(text: str) -> int:
    used = set(text)
    if any(used <= digits and used & set(string.ascii_letters) for digits in _HEX):
        return 16
    sizes = [len(chars) for chars in _CLASSES if used & set(chars)]
    return sum(sizes) + (0 if text.isascii() else _BEYOND_ASCII) or 1


def _fresh_chars(text: str) -> int:
    """Return how many characters don't end a repeated run."""
    windows = {text[end - _REPEAT_CHARS : end] for end in range(_REPEAT_CHARS, len(text) + 1)}
    return min(len(text), _REPEAT_CHARS - 1 + len(windows))
