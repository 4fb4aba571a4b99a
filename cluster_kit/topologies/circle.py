"""What the topologies share: the nodes that have a name yet, those that have none, and neighbours
in a circle.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from cluster_kit.node import Node


def by_name(known: Iterable[Node]) -> dict[str, Node]:
    """Return the nodes whose name is known."""
    return {node.name: node for node in known if node.name is not None}


def unnamed(known: Iterable[Node]) -> frozenset[Node]:
    """Return the nodes of which only the address is known; a topology that places nodes by name
    wants all of these.

    A name is learnt by a link alone. To leave one of them out would mean that its name is never
    learnt, and that nodes which know it and nodes which don't place everybody differently for good.
    Once the name is learnt it is selected by name, and the link goes where it isn't.
    """
    return frozenset(node for node in known if node.name is None)


def neighbours(mine: str, others: Collection[str]) -> tuple[str, str]:
    """Return who comes before and after ``mine`` where all stand in a circle in ascending order;
    the same one of one other.

    Two passes over ``others``, which must not be empty: to sort them would take several times as
    long.
    """
    before = [each for each in others if each < mine]
    after = [each for each in others if each > mine]
    return max(before or others), min(after or others)
