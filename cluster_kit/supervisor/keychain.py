"""The secrets of a configuration become keys: each secret once, in a thread of its own while the workers start."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from cluster_kit.config.secret import Secret
from cluster_kit.errors import ClusterKitError, described
from cluster_kit.security.keys import Keyring, SecretKeys, derive


class Keychain:
    """Knows the keys of the secrets in use. Thread-safe; its threads end by themselves, within some tenths of a second.

    Args:
        cluster: The cluster's name.
    """

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._makings: Mapping[Secret, _Making] = {}

    def begin(self, secrets: Iterable[Secret]) -> None:
        """Begin to make the keys of ``secrets``, the first of which is used.

        Raises:
            RuntimeError: The system has no thread to give.
        """
        self._makings = self._begun(secrets)

    def keyring(self) -> Keyring | None:
        """Return the keys once they are made; ``None`` where there is no secret.

        Raises:
            ClusterKitError: They can't be made.
        """
        return _keyring(self._makings.values())

    def ids(self) -> tuple[bytes, ...]:
        """Return ``Keyring.ids``; none where there is no secret."""
        keyring = self.keyring()
        return () if keyring is None else keyring.ids

    def change(self, secrets: Iterable[Secret]) -> None:
        """Make the keys of other secrets, then use them; after an error nothing has changed.

        Raises:
            ClusterKitError: They can't be made.
        """
        try:
            makings = self._begun(secrets)
        except RuntimeError as exc:
            raise ClusterKitError(f"secret: its keys cannot be made: {exc}: see 'ulimit -u'") from exc
        _keyring(makings.values())
        self._makings = makings

    def _begun(self, secrets: Iterable[Secret]) -> dict[Secret, _Making]:
        held = self._makings
        return {each: held[each] if each in held else _Making(each, self._cluster) for each in secrets}


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


def _keyring(makings: Iterable[_Making]) -> Keyring | None:
    keys = [making.keys() for making in makings]
    return Keyring(keys[0], tuple(keys[1:])) if keys else None
