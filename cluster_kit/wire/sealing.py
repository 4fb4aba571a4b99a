"""Sealed datagrams: who holds a secret of the cluster can read them, and make them, and nobody else."""

from __future__ import annotations

from cluster_kit.node import BootId
from cluster_kit.security.keys import Keyring


class Sealing:
    """Seals what one run of a node sends, and opens what others sent.

    Args:
        boot_id: Of the run.
        keyring: The keys of its secrets.
    """

    def __init__(self, boot_id: BootId, keyring: Keyring) -> None:
        self._boot_id = boot_id
        self._keyring = keyring

    def renew(self, keyring: Keyring) -> None:
        """Use other keys from now on."""
        self._keyring = keyring
