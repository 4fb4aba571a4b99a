"""Which run of a node is which, and whether each of them may be shown to an application. Pure.

A node restarts under its name, perhaps with its clock set back, so neither the name nor the start
time in a boot id tells which run is the later one. Here runs are numbered as they start.
"""

from __future__ import annotations

from cluster_kit.node import BootId, Node


class Runs:
    """All runs of all nodes, in the order in which they started."""

    def __init__(self) -> None:
        self._numbers: dict[BootId, int] = {}
        self._latest: dict[str, BootId] = {}  # by key
        self._firsts: set[int] = set()  # the runs that were the first of their node
        self._leaving: set[BootId] = set()
        self._left: set[BootId] = set()

    def add(self, node: Node) -> None:
        """Record that a run has started."""
        if node.boot_id is None:
            return
        number = self._numbers[node.boot_id] = len(self._numbers)
        if node.key not in self._latest:
            self._firsts.add(number)
        self._latest[node.key] = node.boot_id

    def mark_leaving(self, node: Node) -> None:
        """Record that a run was asked to drain."""
        if node.boot_id is not None:
            self._leaving.add(node.boot_id)

    def mark_left(self, node: Node) -> None:
        """Record that a run was asked to leave."""
        self.mark_leaving(node)
        if node.boot_id is not None:
            self._left.add(node.boot_id)

    def number_of(self, node: Node) -> int | None:
        """Return the number of the run that a node is shown as, or ``None`` if it names none."""
        return self._numbers.get(node.boot_id) if node.boot_id is not None else None

    def is_first(self, number: int) -> bool:
        """Whether a run was the first of its node."""
        return number in self._firsts

    def was_replaced(self, node: Node) -> bool:
        """Whether a run later than the one that a node is shown as has started, or is unknown."""
        return node.boot_id is None or node.boot_id != self._latest.get(node.key)

    def may_be_leaving(self, node: Node) -> bool:
        """Whether the run that a node is shown as was asked to drain or leave, or is unknown."""
        return node.boot_id is None or node.boot_id in self._leaving

    def may_have_left(self, node: Node) -> bool:
        """Whether the run that a node is shown as was asked to leave, or is unknown."""
        return node.boot_id is None or node.boot_id in self._left


class ShownRuns:
    """The runs that one application has been shown, from which those that are over follow.

    A run is over for an application once it has been shown a later one, or that the run has left.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._earliest: dict[str, int] = {}  # by key: the first run that may still be shown

    def show(self, node: Node) -> bool:
        """Record that a node is shown; return whether that run was over already."""
        number = self._runs.number_of(node)
        # first runs of a node that never comes back need no entry: there are very many
        if number is None or (self._runs.is_first(number) and node.key not in self._earliest):
            return False
        earliest = self._earliest[node.key] = max(self._earliest.get(node.key, number), number)
        return earliest > number

    def fault_of_adding(self, node: Node) -> str | None:
        """Record that a node is found or up; return what is wrong with that."""
        return f"{node} was found as a run that was over" if self.show(node) else None

    def fault_of_announcing(self, node: Node) -> str | None:
        """Return what is wrong with reporting a node as leaving."""
        if self._runs.may_be_leaving(node):
            return None
        return f"{node} was reported as leaving, but was never asked to"

    def fault_of_leaving(self, node: Node) -> str | None:
        """Record that a node is reported as left; return what is wrong with that."""
        number = self._runs.number_of(node)
        if number is not None:
            self._earliest[node.key] = max(self._earliest.get(node.key, 0), number + 1)
        if self._runs.may_have_left(node):
            return None
        return f"{node} was reported as left, but was never asked to leave"

    def fault_of_replacing(self, node: Node) -> str | None:
        """Return what is wrong with reporting a run of a node as replaced by a later one."""
        if self._runs.was_replaced(node):
            return None
        return f"{node} was reported as replaced, but there is no later run"
