"""Which links are up, and what a list of them tells that was asked for some time ago. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from cluster_kit.node import Node


class Differences(NamedTuple):
    """What a list has that the ledger lacks, and the other way round."""

    opened: list[Node]
    closed: list[Node]


class Ledger:
    """Remembers what changes between a question and its answer, about which the answer is not believed."""

    def __init__(self) -> None:
        self.up: dict[str, Node] = {}
        self._changed: set[str] | None = None  # since the question that has no answer yet

    def ask(self) -> None:
        """Take in that a list is asked for."""
        self._changed = set()

    def open(self, node: Node) -> bool:
        """Take in that the link to ``node`` is up; return whether it was not."""
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
        """Take in that a link is down; return its node if it was up."""
        self._change(key)
        return self.up.pop(key, None)

    def compare(self, listed: Collection[Node], local: Node) -> Differences:
        """Compare with the list that was asked for; this node itself and what changed meanwhile are left out."""
        told = {text for node in listed for text in _names(node)}
        have = {text for node in self.up.values() for text in _names(node)} | _names(local)
        recent, self._changed = self._changed or set(), None
        opened = {node.key: node for node in listed if not _names(node) & (have | recent)}
        closed = [node for key, node in self.up.items() if not _names(node) & told and key not in recent]
        return Differences([opened[key] for key in sorted(opened)], closed)

    def described(self, listed: Collection[Node]) -> list[Node]:
        """Return those linked nodes of which the list has metadata, with that metadata."""
        return [self.up[node.key].evolve(metadata=node.metadata) for node in listed if node.metadata and node.key in self.up]

    def _change(self, key: str) -> None:
        if self._changed is not None:
            self._changed.add(key)


def _names(node: Node) -> set[str]:
    """Return all by which a list may call ``node``."""
    return {text for text in (node.name, node.address) if text is not None}
