"""Which run of its node is which: a node comes back under its name, and its clock may have been set
back by then. Pure.
"""

from __future__ import annotations

from cluster_kit.node import BootId, Node


class Runs:
    """All runs of all nodes, numbered in the order in which they began."""

    def __init__(self) -> None:
        self._numbers: dict[BootId, int] = {}
        self._keys: set[str] = set()
        self._firsts: set[int] = set()  # the numbers of those that were the first of their node
        self._leaving: set[BootId] = set()
        self._left: set[BootId] = set()

    def began(self, node: Node) -> None:
        """Take in a run."""
        if node.boot_id is None:
            return
        number = self._numbers[node.boot_id] = len(self._numbers)
        if node.key not in self._keys:
            self._keys.add(node.key)
            self._firsts.add(number)

    def leaves(self, node: Node) -> None:
        """Note that a run was told that it is about to leave."""
        if node.boot_id is not None:
            self._leaving.add(node.boot_id)

    def left(self, node: Node) -> None:
        """Note that a run was told to leave."""
        self.leaves(node)
        if node.boot_id is not None:
            self._left.add(node.boot_id)

    def number_of(self, node: Node) -> int | None:
        """Return which run a node is shown as, ``None`` where it is not shown as any."""
        return self._numbers.get(node.boot_id) if node.boot_id is not None else None

    def is_first(self, number: int) -> bool:
        """Whether a run was the first of its node, so that there is none before it."""
        return number in self._firsts

    def is_leaving(self, node: Node) -> bool:
        """Whether the run that a node is shown as was told to leave soon or at once, or it is not
        shown as any.
        """
        return node.boot_id is None or node.boot_id in self._leaving

    def has_left(self, node: Node) -> bool:
        """Whether the run that a node is shown as was told to leave, or it is not shown as any."""
        return node.boot_id is None or node.boot_id in self._left


class Seen:
    """Which runs one application has been shown, and which of them are over as far as it was
    told.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._least: dict[str, int] = {}  # by key: the earliest run that may be shown from now on

    def show(self, node: Node) -> int:
        """Take in that a node is shown; return by how many runs that is behind."""
        number = self._runs.number_of(node)
        if number is None or (self._runs.is_first(number) and node.key not in self._least):
            return 0
        least = self._least[node.key] = max(self._least.get(node.key, number), number)
        return least - number

    def fault_of_adding(self, node: Node) -> str | None:
        """Take in that a node is there; return what is wrong with that."""
        return f"{node} was found as a run that was over" if self.show(node) else None

    def fault_of_announcing(self, node: Node) -> str | None:
        """Return what is wrong with saying that a node is about to leave."""
        return (
            None
            if self._runs.is_leaving(node)
            else f"{node} was said to leave, which it was not told to"
        )

    def fault_of_leaving(self, node: Node) -> str | None:
        """Take in that a node is said to have left; return what is wrong with that."""
        number = self._runs.number_of(node)
        if number is not None:
            self._least[node.key] = max(self._least.get(node.key, 0), number + 1)
        return (
            None
            if self._runs.has_left(node)
            else f"{node} was said to have left, which it was not told to"
        )
