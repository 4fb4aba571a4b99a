"""What the topologies share: nodes with and without a name, and the neighbours in a circle."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from cluster_kit.node import Node


def by_name(known: Iterable[Node]) -> dict[str, Node]:
    """Return the nodes whose name is known."""
    return {node.name: node for node in known if node.name is not None}


def unnamed(known: Iterable[Node]) -> frozenset[Node]:
    """Return the nodes whose name is not known yet.

    A topology that places nodes by name selects all of these, because a name is learned only over a
    link. If one of them were left out, its name might never be learned, and nodes that know the
    name would place the others differently from those that don't, for good. Once the name is known,
    the node is selected by name, and a link that is not needed is closed.
    """
    return frozenset(node for node in known if node.name is None)


def neighbours(mine: str, others: Collection[str]) -> tuple[str, str]:
    """Return who comes before and after ``mine`` in a circle of all names in ascending order.

    If there is one other, it is both. ``others`` must not be empty. Two passes over it take a
    fraction of the time that sorting would.
    """
    before = [each for each in others if each < mine]
    after = [each for each in others if each > mine]
    return max(before or others), min(after or others)
