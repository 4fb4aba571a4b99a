"""Fakes for tests of plugins: a ``Discovery`` that a test controls, and a ``LinkReport``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any, Literal

from cluster_kit.events import Reason
from cluster_kit.network import Network
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.security import Security
from cluster_kit.security.keys import Keyring

DEADLINE_S = 20.0  # generous: a busy machine is not a broken plugin
FENCE = Fence("conformance", "conformance")

Kind = Literal["up", "down", "message", "updated", "leaving", "hint", "rtt", "secrets", "event"]


class FakeDiscovery:
    """A ``Discovery`` that the test controls.

    Args:
        local: The node to be; a boot is added if it has none.
        announce: Whether the strategy may make it known.
        fence: Cluster and group.
        found: The nodes that an earlier run vouched for.
        seed: The seed of the strategy's jitter.
        network: The network to run on; by default the system's own.
        keyring: The keys derived from the cluster's secrets.
    """

    def __init__(
        self,
        local: Node,
        *,
        announce: bool = True,
        fence: Fence = FENCE,
        found: frozenset[Node] = frozenset(),
        seed: int = 0,
        network: Network | None = None,
        keyring: Keyring | None = None,
    ) -> None:
        self.local = local if local.boot_id else local.evolve(boot_id=BootId.new())
        self.leaving = False
        self.announce = announce
        self.fence = fence
        self.found = found
        self.random = Random(seed)
        self.has_announced = asyncio.Event()
        self._changed = asyncio.Event()
        self._network = network
        self._keyring = keyring

    @cached_property
    def security(self) -> Security:
        """Protects what the strategy sends, for the node as it is at the first use."""
        return Security(self.local, self._keyring)

    @cached_property
    def network(self) -> Network:
        """The network to run on."""
        return self._network or _system_network()

    def change(self, *, local: Node | None = None, leaving: bool | None = None) -> None:
        """Change this node, and wake a strategy that waits in ``changed``."""
        self.local = self.local if local is None else local
        self.leaving = self.leaving if leaving is None else leaving
        self._changed.set()

    async def changed(self) -> None:
        """Wait for the next ``change``."""
        await self._changed.wait()
        self._changed.clear()

    def announced(self) -> None:
        """Record in ``has_announced`` that the strategy has made this node known."""
        self.has_announced.set()


@dataclass(frozen=True, slots=True)
class Report:
    """One thing that a connector reported.

    ``data`` has the seconds of ``hint`` and ``rtt``, the ids of ``secrets``, the payload of
    ``message``, or the kind and data of ``event``; ``greeting`` and ``told`` are those of ``up``.
    """

    kind: Kind
    node: Node | None
    reason: Reason | None = None
    data: Any = None
    greeting: bytes | None = None
    told: bytes = b""


def _system_network() -> Network:
    from cluster_kit.network.system import SystemNetwork

    return SystemNetwork()


class RecordingLinks:
    """A ``LinkReport`` that keeps all reports in order, and lets a test wait for one.

    Args:
        fence: Cluster and group.
        boot_id: The boot of the node.
        deadline_s: How long ``expect`` and ``until`` wait.
        network: The network to run on; by default the system's own.
        security: Protects streams; by default they are not protected.

    Attributes:
        known: The keys of the nodes that discovery vouches for.
        greeting: The greeting to send in handshakes from now on.
    """

    partial = False

    def __init__(
        self,
        *,
        fence: Fence = FENCE,
        boot_id: BootId | None = None,
        deadline_s: float = DEADLINE_S,
        network: Network | None = None,
        security: Security | None = None,
    ) -> None:
        self.fence = fence
        self.security = security or Security(
            Node(name="anybody@nowhere", boot_id=boot_id or BootId.new())
        )
        self._network = network
        self._deadline_s = deadline_s
        self.boot_id = boot_id or BootId.new()
        self.known: set[str] = set()
        self.greeting = b""
        self.reports: list[Report] = []
        self._news = asyncio.Event()

    @cached_property
    def network(self) -> Network:
        """The network to run on."""
        return self._network or _system_network()

    def up(self, node: Node, *, greeting: bytes | None = None, told: bytes = b"") -> None:
        """Record that a link is up."""
        self._keep(Report("up", node, greeting=greeting, told=told))

    def message(self, node: Node, payload: bytes) -> None:
        """Record a message of a linked node."""
        self._keep(Report("message", node, data=payload))

    def down(self, node: Node, reason: Reason) -> None:
        """Record that a link is down."""
        self._keep(Report("down", node, reason))

    def updated(self, node: Node) -> None:
        """Record that a linked node has changed."""
        self._keep(Report("updated", node))

    def leaving(self, node: Node) -> None:
        """Record that a linked node is about to leave."""
        self._keep(Report("leaving", node))

    def knows(self, node: Node) -> bool:
        """Return whether ``known`` contains the node."""
        return node.key in self.known

    def hint(self, node: Node, ttl_s: float) -> None:
        """Record a node that a peer knows."""
        self._keep(Report("hint", node, data=ttl_s))

    def secrets(self, node: Node, ids: tuple[bytes, ...]) -> None:
        """Record which secrets a linked node holds."""
        self._keep(Report("secrets", node, data=ids))

    def rtt(self, node: Node, seconds: float) -> None:
        """Record a measured round-trip time."""
        self._keep(Report("rtt", node, data=seconds))

    def event(self, kind: str, data: Any) -> None:
        """Record an event of the connector's own."""
        self._keep(Report("event", None, data=(kind, data)))

    def of(self, kind: Kind, key: str | None = None) -> list[Report]:
        """Return the reports of one kind, about one node or about all."""
        return [
            report
            for report in self.reports
            if report.kind == kind and (key is None or (report.node and report.node.key == key))
        ]

    def ups_and_downs(self, key: str) -> list[Kind]:
        """Return the kinds of all reports that a link to ``key`` is up or down, in order."""
        reports = [each for each in self.reports if each.node and each.node.key == key]
        return [each.kind for each in reports if each.kind in ("up", "down")]

    async def expect(
        self, kind: Kind, key: str, *, count: int = 1, deadline_s: float | None = None
    ) -> Report:
        """Wait for report number ``count`` of ``kind`` about ``key``, and return it.

        Raises:
            AssertionError: It did not come in time.
        """
        await self.until(
            lambda: len(self.of(kind, key)) >= count,
            f"{kind} number {count} of {key}",
            deadline_s=deadline_s,
        )
        return self.of(kind, key)[count - 1]

    async def until(
        self, met: Callable[[], bool], what: str, *, deadline_s: float | None = None
    ) -> None:
        """Wait until ``met()``, which is evaluated after each report.

        Args:
            met: The condition.
            what: What to call it in the message of a failure.
            deadline_s: Replaces the deadline of this object.

        Raises:
            AssertionError: It was not met in time; the message lists all reports.
        """
        allowed_s = self._deadline_s if deadline_s is None else deadline_s
        try:
            async with asyncio.timeout(allowed_s):
                while not met():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(
                f"expected {what} within {allowed_s:g} s; reported: {self.reports}"
            ) from None

    def _keep(self, report: Report) -> None:
        self.reports.append(report)
        self._news.set()
