"""Which links are up, and how that differs from a list that was asked for some time ago. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from cluster_kit.node import Node


class Differences(NamedTuple):
    """The nodes that a list has and the ledger lacks, and the other way round."""

    opened: list[Node]
    closed: list[Node]


class Ledger:
    """The links that are up.

    A list may be out of date for nodes whose link has changed since it was asked for, so the ledger
    notes these, and the list doesn't count for them.
    """

    def __init__(self) -> None:
        self.up: dict[str, Node] = {}
        self._changed: set[str] | None = None  # since a list was asked for, until it is there

    def ask(self) -> None:
        """Note that a list is asked for."""
        self._changed = set()

    def open(self, node: Node) -> bool:
        """Note that the link to ``node`` is up; return whether that is news."""
        if node.key in self.up:
            return False
        self._change(node.key)
        self.up[node.key] = node
        return True

    def change(self, node: Node) -> bool:
        """Replace the description of a linked node; return whether that is news."""
        if node.key not in self.up or self.up[node.key] == node:
            return False
        self.up[node.key] = node
        return True

    def close(self, key: str) -> Node | None:
        """Note that a link is down; return its node if it was up."""
        self._change(key)
        return self.up.pop(key, None)

    def compare(self, listed: Collection[Node], local: Node) -> Differences:
        """Compare with the list that was asked for, except for this node and recent changes."""
        on_list = {text for node in listed for text in _names(node)}
        have = {text for node in self.up.values() for text in _names(node)} | _names(local)
        recent, self._changed = self._changed or set(), None
        opened = {node.key: node for node in listed if not _names(node) & (have | recent)}
        stable = [node for key, node in self.up.items() if key not in recent]
        closed = [node for node in stable if not _names(node) & on_list]
        return Differences([opened[key] for key in sorted(opened)], closed)

    def described(self, listed: Collection[Node]) -> list[Node]:
        """Return the linked nodes of which the list has metadata, with that metadata."""
        described = [node for node in listed if node.metadata and node.key in self.up]
        return [self.up[node.key].evolve(metadata=node.metadata) for node in described]

    def _change(self, key: str) -> None:
        if self._changed is not None:
            self._changed.add(key)


def _names(node: Node) -> set[str]:
    """Return the name and the address of ``node``: a list may have either."""
    return {text for text in (node.name, node.address) if text is not None}
