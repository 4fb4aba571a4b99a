"""``Security``: protects connectors and strategies, which see neither secrets nor keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster_kit.network import Stream
from cluster_kit.node import BootId, Node
from cluster_kit.security.keys import KEY_BYTES, Keyring, SecretKeys

if TYPE_CHECKING:
    from cluster_kit.security.links import LinkTrust
    from cluster_kit.wire.sealing import Sealing


def load() -> None:
    """Import everything that protection needs, more than half the cost of setting it up."""
    keys = SecretKeys(id=b"", authority=bytes(KEY_BYTES), datagrams=bytes(KEY_BYTES))
    Security(Node(name="nobody@127.0.0.1", boot_id=BootId.new()), Keyring(keys))


class Security:
    """Protects what one run of a node sends, and checks what it receives.

    Without a keyring, everything passes unprotected.

    Args:
        local: The node, with its name and boot.
        keyring: Its secrets, or certificates, or both; at least one of them.

    Attributes:
        sealing: Seals datagrams and opens them; ``None`` if there is no secret.

    Raises:
        ValueError: The keyring can't be used.
    """

    def __init__(self, local: Node, keyring: Keyring | None = None) -> None:
        self.sealing: Sealing | None = None
        self._links: LinkTrust | None = None
        self._local = local
        self._keyring = keyring
        if keyring is not None:
            self.renew(keyring)

    @property
    def protects(self) -> bool:
        """Whether links are protected, by a secret or by certificates."""
        return self._links is not None

    @property
    def secret_ids(self) -> tuple[bytes, ...]:
        """See ``Keyring.ids``; empty if there is no secret."""
        return () if self._keyring is None else self._keyring.ids

    def renew(self, keyring: Keyring) -> None:
        """Use other keys and certificates from now on; open links stay as they are.

        Raises:
            ValueError: They can't be used; the earlier ones stay in use.
        """
        # imported here, since a node without secret and certificates doesn't need it
        from cluster_kit.security.links import LinkTrust

        assert self._local.name is not None
        assert self._local.boot_id is not None
        if self._links is None:
            self._links = LinkTrust(self._local.name, keyring)
        else:
            self._links.renew(keyring)
        self._keyring = keyring
        if keyring.current is None:
            self.sealing = None
        elif self.sealing is None:
            from cluster_kit.wire.sealing import Sealing

            self.sealing = Sealing(self._local.name, self._local.boot_id, keyring)
        else:
            self.sealing.renew(keyring)

    def of(self, local: Node) -> Security:
        """Return the security of another node with the same keyring, such as a diagnosis."""
        return Security(local, self._keyring)

    def protect(self, stream: Stream, *, dialled: bool) -> Stream:
        """Return ``stream`` under TLS, or ``stream`` itself if there is no keyring.

        The returned stream owns the other one. It isn't started yet, and is used in the same way.
        Until both ends have authenticated, data to send waits, and nothing is received. If one end
        fails, the stream is lost, and ``distrust`` says why; otherwise ``certified`` has the proof
        of the other end.

        Args:
            stream: A stream that isn't started.
            dialled: Whether this end dialled.
        """
        return stream if self._links is None else self._links.protect(stream, dialled=dialled)
