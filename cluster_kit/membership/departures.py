"""Who is about to leave, or has left although discovery still vouches for it: nobody to dial until another run shows up."""

from __future__ import annotations

from cluster_kit.membership.merge import is_older
from cluster_kit.node import BootId, Node


class Departures:
    """Marks nodes by key, each with the boot that is departing, ``None`` where that is not known."""

    def __init__(self) -> None:
        self._leaving: dict[str, BootId | None] = {}
        self._left: dict[str, BootId] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._leaving or key in self._left

    @property
    def leaving(self) -> frozenset[str]:
        """Those who have said that they are about to leave."""
        return frozenset(self._leaving)

    def is_leaving(self, node: Node) -> bool:
        """Whether this run of ``node``, not just another one, has said that it is about to leave."""
        return node.key in self._leaving and self._leaving[node.key] in (None, node.boot_id)

    def announce(self, key: str, boot_id: BootId | None) -> bool:
        """Mark a node as about to leave; return whether that is news."""
        if key in self._leaving:
            return False
        self._leaving[key] = boot_id
        return True

    def complete(self, key: str, boot_id: BootId) -> None:
        """Mark a node as having left."""
        self._left[key] = boot_id

    def returned(self, key: str) -> None:
        """Take in that something else than a boot id tells that another run is there."""
        if key in self._leaving and self._leaving[key] is None:
            del self._leaving[key]

    def review(self, key: str, known: Node | None, linked: Node | None) -> None:
        """Take away marks that the node as discovery knows it, or as it is linked, has outlived."""
        now = known if linked is None or (known is not None and is_older(linked, known)) else linked
        leaving = self._leaving.get(key)
        if now is None or (leaving is not None and leaving != now.boot_id):
            self._leaving.pop(key, None)
        if linked is not None or known is None or known.boot_id != self._left.get(key):
            self._left.pop(key, None)
