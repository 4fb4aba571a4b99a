"""``Cluster``: real nodes on loopback, for tests of programs that embed them."""

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
    """Starts nodes that find only each other, and stops them at the end of a block.

    Each node is a ``Supervisor`` in this process, with a separate worker process.

    Attributes:
        name: The name of the cluster, which no other one has.
        port: The port on which its nodes gossip.
        nodes: The running nodes, in the order in which they were started.
        lines: What the nodes logged, and which nodes they saw come and go; only the last lines if
            there are many.
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
        handler = _LogHandler(self)
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
            count: The number of nodes.
            metadata: The metadata of each.
            state: In which state nodes see each other; ``known`` if the topology doesn't link all.
            timeout_s: How long that may take.
            keys: Keys of the entry under ``topologies:``; by default all nodes gossip on one port.

        Raises:
            WaitTimeoutError: The nodes don't see each other in time.
            ValueError: ``count`` is negative.
        """
        if count < 0:
            raise ValueError(f"count {count}: expected the number of nodes to start, 0 or more")
        added = [self._start(dict(metadata or {}), keys) for _ in range(count)]
        for node in self.nodes:
            node.wait_for(len(self.nodes), state=state, timeout_s=timeout_s)
        return added

    def stop(self, node: Supervisor) -> None:
        """Make a node leave with a goodbye, as ``Supervisor.stop`` does. Idempotent.

        The other nodes need not have noticed when this returns.
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
            other, reason = getattr(event, "node", None), getattr(event, "reason", None)
            details = f"{f' {other}' if other else ''}{f' ({reason})' if reason else ''}"
            self.note(f"{name}: {type(event).__name__}{details}")

    def note(self, text: str) -> None:
        """Add a line."""
        self.lines.append(f"{time.monotonic() - self._began_s:8.3f} s  {text}")


class _LogHandler(logging.Handler):
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
