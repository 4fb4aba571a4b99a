"""Protects streams: TLS 1.3 between ends that both hold a secret of the cluster."""

from __future__ import annotations

from cluster_kit.network import Stream
from cluster_kit.security.keys import Keyring


class LinkTrust:
    """Whom one run of a node trusts, and how it proves itself.

    Args:
        name: Of the node.
        keyring: The keys of its secrets.
    """

    def __init__(self, name: str, keyring: Keyring) -> None:
        self._name = name
        self._keyring = keyring

    def renew(self, keyring: Keyring) -> None:
        """Use other keys for streams from now on."""
        self._keyring = keyring

    def protect(self, stream: Stream, *, dialled: bool) -> Stream:
        """See ``Security.protect``."""
        raise NotImplementedError
