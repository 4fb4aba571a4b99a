"""What a configuration has to prove a node by becomes its keyring.

Secrets become keys, each once, in a thread of its own while the workers start; certificates are taken as they are.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster_kit.config import ClusterConfig, Secret
from cluster_kit.errors import ClusterKitError, described
from cluster_kit.security.keys import Certificates, Keyring, SecretKeys, derive


class Keychain:
    """Knows the keys of the secrets in use, and the certificates. Thread-safe; its threads end by themselves, within some
    tenths of a second.

    Args:
        cluster: The cluster's name.
    """

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._held = _Held()

    def begin(self, config: ClusterConfig) -> None:
        """Begin to make the keys of the secrets of a configuration.

        Raises:
            RuntimeError: The system has no thread to give.
        """
        self._held = self._begun(config)

    def keyring(self) -> Keyring | None:
        """Return the keyring once the keys are made; ``None`` where there is neither a secret nor a certificate.

        Raises:
            ClusterKitError: They can't be made.
        """
        return self._held.keyring()

    def ids(self) -> tuple[bytes, ...]:
        """Return ``Keyring.ids``; none where there is no secret."""
        keyring = self.keyring()
        return () if keyring is None else keyring.ids

    def change(self, config: ClusterConfig) -> None:
        """Make the keys of another configuration, then use them and its certificates; after an error nothing has changed.

        Raises:
            ClusterKitError: They can't be made.
        """
        try:
            held = self._begun(config)
        except RuntimeError as exc:
            raise ClusterKitError(f"secret: its keys cannot be made: {exc}: see 'ulimit -u'") from exc
        held.keyring()
        self._held = held

    def _begun(self, config: ClusterConfig) -> _Held:
        known = self._held.makings
        makings = {each: known[each] if each in known else _Making(each, self._cluster) for each in config.secrets}
        return _Held(makings, None if config.certificates is None else config.certificates.content)


class _Making:
    """One secret's keys, or why there are none, once its thread has ended."""

    def __init__(self, secret: Secret, cluster: str) -> None:
        self._secret = secret
        self._cluster = cluster
        self._keys: SecretKeys | None = None
        self._fault = ""
        self._thread = threading.Thread(target=self._make, name="cluster-kit-keys", daemon=True)
        self._thread.start()

    def _make(self) -> None:
        try:
            self._keys = derive(self._secret.reveal(), self._cluster)
        except Exception as exc:  # noqa: BLE001 - it holds frames with the secret, so no more than its text may go on
            self._fault = described(exc)

    def keys(self) -> SecretKeys:
        self._thread.join()
        if self._keys is None:
            raise ClusterKitError(
                f"secret: its keys cannot be made by scrypt: {self._fault}: it takes 32 MiB of memory, "
                "and an OpenSSL whose policy allows it"
            )
        return self._keys


@dataclass(frozen=True, slots=True)
class _Held:
    """All that there is at one time."""

    makings: Mapping[Secret, _Making] = field(default_factory=dict)
    certificates: Certificates | None = None

    def keyring(self) -> Keyring | None:
        keys = [making.keys() for making in self.makings.values()]
        if not keys and self.certificates is None:
            return None
        return Keyring(keys[0] if keys else None, tuple(keys[1:]), self.certificates)
