"""A topic of cluster_kit: two nodes that found each other by gossip, linked under the secret."""

# ruff: noqa: D102 - ``Driver`` documents them
from __future__ import annotations

import threading

from cluster_kit import Message, Node, Supervisor
from messaging.ends import Counter, Driver


def supervisor(name: str, port: int, secret: str) -> Supervisor:
    """Return a node of its own cluster."""
    config = {
        "node": f"{name}@127.0.0.1",
        "cluster": f"messages-{port}",
        "secret": secret,
        "topologies": {"lan": {"strategy": {"name": "gossip", "port": port}}},
    }
    return Supervisor(config)


def serve(port: int, secret: str) -> None:
    """Serve until killed."""
    counter = Counter()
    cluster = supervisor("served", port, secret)
    topic = cluster.topic("bench")

    @topic.answer
    def answer(message: Message) -> bytes:
        return counter.answer(message.data)

    with cluster:
        print("ready", flush=True)
        for _ in topic.subscribe():
            counter.add()
    threading.Event().wait()


class TopicDriver(Driver):
    """Asks, and sends."""

    def __init__(self, port: int, secret: str) -> None:
        self._cluster = supervisor("driver", port, secret).start()
        self._cluster.wait_for(2, timeout_s=30)
        self._topic = self._cluster.topic("bench")
        self._node: Node = self._topic.nodes()[0]

    def ask(self, data: bytes) -> bytes:
        return bytes(self._topic.ask(self._node, data, timeout_s=30))

    def tell(self, data: bytes) -> None:
        self._topic.send(self._node, data, timeout_s=60)


DRIVER = TopicDriver
