"""Warnings about secrets and certificates that a configuration may use, but should not."""

from __future__ import annotations

import math
import string
from collections.abc import Iterator

from cluster_kit.config.model import ClusterConfig
from cluster_kit.host import is_loopback

LEAST_BITS = 128
_REPEAT_CHARS = 6  # random text of any alphabet hardly ever repeats so many
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
    file = config.secret_file
    if file is not None and file.exposed:
        readable = f"secret_file: everybody on this machine can read '{file.path}'"
        yield f"{readable}: chmod o-r, in Kubernetes by 'defaultMode: 0440'"
    certificates = config.certificates
    if certificates is not None and certificates.exposed:
        readable = f"certificates: everybody on this machine can read '{certificates.paths.key}'"
        yield f"{readable}: chmod o-r, in Kubernetes by 'defaultMode: 0440'"
    if not config.insecure:
        yield from _unproved(config)
    for number, secret in enumerate(config.secrets):
        bits = bits_of(secret.reveal())
        if bits < LEAST_BITS:
            which = "the secret" if number == 0 else f"previous secret {number}"
            yield (
                f"{which} has at most {bits:.0f} bits by its length and characters, so that it can "
                "be guessed at: "
                f"'cluster-kit secret' makes one of 256"
            )


def _unproved(config: ClusterConfig) -> Iterator[str]:
    """Yield strategies off loopback whose findings no link verifies."""
    for topology in config.topologies.values():
        if topology.connector.build().holds_links:
            continue
        for source, strategy in zip(
            topology.sources, (each.build() for each in topology.strategies), strict=True
        ):
            address = strategy.serves_on(config.host)
            if address is not None and not strategy.needs_secret and not is_loopback(address):
                yield (
                    f"topologies.{topology.name}: what {source} hears on {address!r} can be made "
                    "up by anybody there, and no "
                    f"link proves it, as connector {topology.connector.name} holds none"
                )


def bits_of(secret: str) -> float:
    """Return an upper bound of a secret's entropy, in bits: length times log2 of its alphabet.

    Characters that end a repetition of what stood before don't count. It is an estimate from above:
    it takes words, dates and keyboard rows for random.
    """
    if any("\udc80" <= char <= "\udcff" for char in secret):  # bytes that are no text
        return 8.0 * _fresh_chars(secret.encode(errors="surrogateescape").decode("latin-1"))
    return _fresh_chars(secret) * math.log2(_alphabet(secret))


def _alphabet(text: str) -> int:
    used = set(text)
    if any(used <= digits and used & set(string.ascii_letters) for digits in _HEX):
        return 16
    sizes = [len(chars) for chars in _CLASSES if used & set(chars)]
    return sum(sizes) + (0 if text.isascii() else _BEYOND_ASCII) or 1


def _fresh_chars(text: str) -> int:
    """Return how many characters don't end a repetition."""
    windows = {text[end - _REPEAT_CHARS : end] for end in range(_REPEAT_CHARS, len(text) + 1)}
    return min(len(text), _REPEAT_CHARS - 1 + len(windows))
