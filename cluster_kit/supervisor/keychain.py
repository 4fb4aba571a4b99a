"""Turns the secrets and certificates of a configuration into the keyring of the workers.

Deriving keys from a secret is slow on purpose, so each secret gets a separate thread while the
workers start. Certificates are used as they are.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster_kit.config import ClusterConfig, Secret
from cluster_kit.errors import ClusterKitError, described
from cluster_kit.security.keys import Certificates, Keyring, SecretKeys, derive


class Keychain:
    """Holds the keys of the secrets in use, and the certificates. Thread-safe.

    Its threads end by themselves within some tenths of a second.

    Args:
        cluster: The cluster's name.
    """

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._contents = _Contents()

    def begin(self, config: ClusterConfig) -> None:
        """Begin to derive the keys of a configuration's secrets.

        Raises:
            RuntimeError: The system refuses a thread.
        """
        self._contents = self._begun(config)

    def keyring(self) -> Keyring | None:
        """Return the keyring, after waiting for the keys; ``None`` without secret and certificate.

        Raises:
            ClusterKitError: The keys can't be derived.
        """
        return self._contents.keyring()

    def ids(self) -> tuple[bytes, ...]:
        """Return ``Keyring.ids``; empty without a secret."""
        keyring = self.keyring()
        return () if keyring is None else keyring.ids

    def change(self, config: ClusterConfig) -> None:
        """Derive the keys of another configuration, then use them and its certificates.

        Raises:
            ClusterKitError: The keys can't be derived; nothing has changed.
        """
        try:
            contents = self._begun(config)
        except RuntimeError as exc:
            fault = f"its keys cannot be made: {exc}: see 'ulimit -u'"
            raise ClusterKitError(f"secret: {fault}") from exc
        contents.keyring()  # raises before anything is changed
        self._contents = contents

    def _begun(self, config: ClusterConfig) -> _Contents:
        known = self._contents.derivations
        derivations: dict[Secret, _Derivation] = {}
        for each in config.secrets:
            derivations[each] = known.get(each) or _Derivation(each, self._cluster)
        certificates = config.certificates
        return _Contents(derivations, None if certificates is None else certificates.content)


class _Derivation:
    """The keys of one secret, or why there are none; derived in a separate thread."""

    def __init__(self, secret: Secret, cluster: str) -> None:
        self._secret = secret
        self._cluster = cluster
        self._keys: SecretKeys | None = None
        self._fault = ""
        self._thread = threading.Thread(target=self._run, name="cluster-kit-keys", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._keys = derive(self._secret.reveal(), self._cluster)
        except Exception as exc:  # noqa: BLE001 - its frames hold the secret, so only text goes on
            self._fault = described(exc)

    def keys(self) -> SecretKeys:
        self._thread.join()
        if self._keys is None:
            cure = "it takes 32 MiB of memory, and an OpenSSL whose policy allows it"
            text = f"secret: its keys cannot be made by scrypt: {self._fault}: {cure}"
            raise ClusterKitError(text)
        return self._keys


@dataclass(frozen=True, slots=True)
class _Contents:
    """What the keychain holds at one time; replaced as a whole."""

    derivations: Mapping[Secret, _Derivation] = field(default_factory=dict)
    certificates: Certificates | None = None

    def keyring(self) -> Keyring | None:
        keys = [derivation.keys() for derivation in self.derivations.values()]
        if not keys and self.certificates is None:
            return None
        return Keyring(keys[0] if keys else None, tuple(keys[1:]), self.certificates)
