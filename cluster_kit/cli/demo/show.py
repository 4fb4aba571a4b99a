"""The steps of the demo, each timed until the last observer has reported it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from cluster_kit.cli.demo.board import NotSeen, Pair
from cluster_kit.cli.demo.cluster import DemoCluster, DemoNode

_STEP_S = 30.0


class DemoView(Protocol):
    """Shows the steps."""

    def notice(self, text: str) -> None:
        """Show what is being done."""

    def result(self, text: str, seconds: float) -> None:
        """Show how long it took."""


def show(cluster: DemoCluster, view: DemoView) -> None:
    """Run all steps.

    Raises:
        NotSeen: A step did not have the expected outcome.
    """
    steps = _Steps(cluster, view)
    victims = itertools.cycle(reversed(cluster.nodes))
    steps.form()
    steps.crash_and_replace(next(victims))
    steps.freeze_and_thaw(next(victims))
    steps.leave(next(victims))


class _Steps:
    def __init__(self, cluster: DemoCluster, view: DemoView) -> None:
        self._cluster = cluster
        self._view = view

    def form(self) -> None:
        self._view.notice(f"{len(self._cluster.nodes)} nodes are started")
        pairs = itertools.permutations([node.name for node in self._cluster.nodes], 2)
        self._measure(self._cluster.start, "node_up", pairs, "all linked to each other")

    def crash_and_replace(self, victim: DemoNode) -> None:
        self._view.notice(f"{victim.name} and its worker are killed (SIGKILL)")
        self._measure(victim.kill, "node_down", self._of(victim), "noticed by all others")
        self._view.notice(f"{victim.name} is started again")
        towards = self._of(victim)
        both_ways = towards + [(node, observer) for observer, node in towards]
        self._measure(victim.start, "node_up", both_ways, "linked to all others")

    def freeze_and_thaw(self, victim: DemoNode) -> None:
        self._view.notice(f"{victim.name} and its worker are frozen (SIGSTOP)")
        self._measure(victim.freeze, "node_down", self._of(victim), "reported silent by all others")
        self._view.notice(f"{victim.name} is thawed (SIGCONT)")
        self._measure(victim.thaw, "node_up", self._of(victim), "linked to all others again")

    def leave(self, victim: DemoNode) -> None:
        self._view.notice(f"{victim.name} is asked to leave (SIGTERM)")
        self._measure(victim.ask_to_leave, "node_down", self._of(victim), "reported by all others")

    def _of(self, node: DemoNode) -> list[Pair]:
        return [(other.name, node.name) for other in self._cluster.others(node)]

    def _measure(
        self, act: Callable[[], None], event: str, pairs: Iterable[Pair], outcome: str
    ) -> None:
        since_s = time.monotonic()
        act()
        try:
            took_s = self._cluster.board.wait_for(event, pairs, since_s, _STEP_S)
        except NotSeen as exc:
            raise NotSeen(f"{outcome}: {exc}") from exc
        self._view.result(outcome, took_s)
