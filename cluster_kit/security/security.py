"""``Security``: what a connector or strategy has of secrets and certificates, without seeing any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster_kit.network import Stream
from cluster_kit.node import BootId, Node
from cluster_kit.security.keys import KEY_BYTES, Keyring, SecretKeys

if TYPE_CHECKING:
    from cluster_kit.security.links import LinkTrust
    from cluster_kit.wire.sealing import Sealing


def load() -> None:
    """Load all that protection takes, which is more than half of the time until it is there."""
    keys = SecretKeys(id=b"", authority=bytes(KEY_BYTES), datagrams=bytes(KEY_BYTES))
    Security(Node(name="nobody@127.0.0.1", boot_id=BootId.new()), Keyring(keys))


class Security:
    """Protects what one run of a node sends, and checks what it gets; without a keyring it lets everything pass as it is.

    Args:
        local: The node, with name and boot.
        keyring: What it holds to prove itself by, which is something.

    Attributes:
        sealing: Seals datagrams and opens them; ``None`` where there is no secret.

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
        """See ``Keyring.ids``; none where there is no secret."""
        return () if self._keyring is None else self._keyring.ids

    def renew(self, keyring: Keyring) -> None:
        """Use other keys and certificates from now on; a link that is open stays as it is.

        Raises:
            ValueError: They can't be used, and those that there were stay.
        """
        from cluster_kit.security.links import LinkTrust  # who has neither secret nor certificates loads none of this

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
            from cluster_kit.wire.sealing import Sealing  # nor this who has no secret

            self.sealing = Sealing(self._local.name, self._local.boot_id, keyring)
        else:
            self.sealing.renew(keyring)

    def of(self, local: Node) -> Security:
        """Return the security of another node that holds the same: a diagnosis shows itself by a name that nobody has."""
        return Security(local, self._keyring)

    def protect(self, stream: Stream, *, dialled: bool) -> Stream:
        """Return ``stream`` under TLS, where both ends prove themselves by what they hold; without a keyring ``stream`` itself.

        The stream that is returned owns the other one. It isn't started yet, and is used in the same way: what is
        sent before both ends have proved themselves waits, nothing is received until then, and an end that can't is
        told as lost. Its ``certified`` is who the other end has proved to be, and its ``distrust`` why there is no trust.

        Args:
            stream: Not started.
            dialled: Whether this end dialled.
        """
        return stream if self._links is None else self._links.protect(stream, dialled=dialled)
