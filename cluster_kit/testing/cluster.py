"""``Cluster``: real nodes on loopback, for tests of what embeds them."""

from __future__ import annotations

import logging
import secrets
import socket
import time
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Literal, Self

from cluster_kit.events import Event, Snapshot
from cluster_kit.supervisor.supervisor import Supervisor
from cluster_kit.testing.fakes import DEADLINE_S

MOST_LINES = 2000
TOPOLOGY = "test"


class Cluster:
    """Starts nodes that find each other and nobody else; a context manager that stops them.

    Each node is a ``Supervisor`` in this process, with a worker process of its own.

    Attributes:
        name: Of the cluster; no other has it.
        port: What its nodes gossip on.
        nodes: Those that run, in the order in which they were started.
        lines: What they logged, and which nodes they saw come and go; the last of them, if there
            are many.
    """

    def __init__(self) -> None:
        self.name = f"test-{secrets.token_hex(6)}"
        self.port = _free_port()
        self.nodes: list[Supervisor] = []
        self.lines: deque[str] = deque(maxlen=MOST_LINES)
        self._began_s = time.monotonic()
        self._stack = ExitStack()
        self._count = 0

    def __enter__(self) -> Self:
        logger = logging.getLogger("cluster_kit")
        handler = _Keeper(self)
        self._stack.callback(logger.setLevel, logger.level)
        self._stack.callback(logger.removeHandler, handler)
        logger.addHandler(handler)
        if logger.getEffectiveLevel() > logging.INFO:
            logger.setLevel(logging.INFO)
        return self

    def __exit__(self, *_: object) -> None:
        self.nodes.clear()
        self._stack.close()

    def start(
        self,
        count: int = 1,
        *,
        metadata: Mapping[str, str] | None = None,
        state: Literal["up", "known"] = "up",
        timeout_s: float = DEADLINE_S,
        **keys: Any,
    ) -> list[Supervisor]:
        """Start nodes, and return them once all nodes of the cluster see each other.

        Args:
            count: How many.
            metadata: Of each.
            state: What seeing each other means: ``known`` where the topology doesn't link all.
            timeout_s: How long that may take.
            keys: Of the entry under ``topologies:``; by default all nodes gossip on one port.

        Raises:
            WaitTimeoutError: They don't see each other in time.
            ValueError: ``count`` is negative.
        """
        if count < 0:
            raise ValueError(f"count {count}: expected how many nodes to start, from 0")
        added = [self._start(dict(metadata or {}), keys) for _ in range(count)]
        for node in self.nodes:
            node.wait_for(len(self.nodes), state=state, timeout_s=timeout_s)
        return added

    def stop(self, node: Supervisor) -> None:
        """Have a node leave with a goodbye, as by ``Supervisor.stop``; the others need not have
        noticed when this returns.

        Idempotent.
        """
        if node in self.nodes:
            self.nodes.remove(node)
        node.stop()

    def _start(self, metadata: dict[str, str], keys: Mapping[str, Any]) -> Supervisor:
        self._count += 1
        entry = {"strategy": {"name": "gossip", "port": self.port}, **keys}
        node = Supervisor(
            {
                "node": f"node{self._count}@127.0.0.1",
                "cluster": self.name,
                "metadata": metadata,
                "topologies": {TOPOLOGY: entry},
            }
        )
        name = node.local.key
        node.subscribe(lambda event: self._note(name, event))
        self._stack.enter_context(node)
        self.nodes.append(node)
        return node

    def _note(self, name: str, event: Event) -> None:
        if not isinstance(event, Snapshot):
            other, why = getattr(event, "node", None), getattr(event, "reason", None)
            self.note(
                f"{name}: "
                f"{type(event).__name__}{f' {other}' if other else ''}{f' ({why})' if why else ''}"
            )

    def note(self, text: str) -> None:
        """Add a line."""
        self.lines.append(f"{time.monotonic() - self._began_s:8.3f} s  {text}")


class _Keeper(logging.Handler):
    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self._cluster = cluster

    def emit(self, record: logging.LogRecord) -> None:
        node = getattr(record, "node", "-")
        self._cluster.note(f"{node}: {record.levelname.lower()}: {record.getMessage()}")


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
