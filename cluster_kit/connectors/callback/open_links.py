"""Which links are up, and how that differs from a list that was requested a while ago. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from cluster_kit.node import Node


class Differences(NamedTuple):
    """The links that have opened or closed, according to a list."""

    opened: list[Node]
    closed: list[Node]


class OpenLinks:
    """The links that are up.

    While a list is on its way, links may change, and the list may show them as they were before.
    So the nodes of such links are noted, and the list is ignored for them.
    """

    def __init__(self) -> None:
        self.up: dict[str, Node] = {}
        self._changed: set[str] | None = None  # keys, while a list is on its way

    def list_requested(self) -> None:
        """Record that a list was requested."""
        self._changed = set()

    def open(self, node: Node) -> bool:
        """Record that the link to ``node`` is up; return False if it was up."""
        if node.key in self.up:
            return False
        self._change(node.key)
        self.up[node.key] = node
        return True

    def change(self, node: Node) -> bool:
        """Replace the description of a linked node; return whether that changes anything."""
        if node.key not in self.up or self.up[node.key] == node:
            return False
        self.up[node.key] = node
        return True

    def close(self, key: str) -> Node | None:
        """Record that a link is down; return its node, if it was up."""
        self._change(key)
        return self.up.pop(key, None)

    def compare(self, listed: Collection[Node], local: Node) -> Differences:
        """Compare with the list that was requested, except for this node and recent changes."""
        on_list = {text for node in listed for text in _names(node)}
        have = {text for node in self.up.values() for text in _names(node)} | _names(local)
        recent, self._changed = self._changed or set(), None
        opened = {node.key: node for node in listed if not _names(node) & (have | recent)}
        stable = [node for key, node in self.up.items() if key not in recent]
        closed = [node for node in stable if not _names(node) & on_list]
        return Differences([opened[key] for key in sorted(opened)], closed)

    def with_metadata_of(self, listed: Collection[Node]) -> list[Node]:
        """Return the linked nodes for which the list has metadata, with that metadata."""
        described = [node for node in listed if node.metadata and node.key in self.up]
        return [self.up[node.key].evolve(metadata=node.metadata) for node in described]

    def _change(self, key: str) -> None:
        if self._changed is not None:
            self._changed.add(key)


def _names(node: Node) -> set[str]:
    """Return the name and the address of ``node``: a list may contain either."""
    return {text for text in (node.name, node.address) if text is not None}
