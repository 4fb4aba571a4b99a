"""A cache shared by all nodes: one node loads an entry, those who ask keep it, all drop it at once.

Run it in terminals, each time with another name, and type ``get apple`` in several: the first
answer takes a second, in which the owner of ``apple``, one of the nodes, loads it; all others are
there at once. ``drop apple`` makes every node forget it::

    python examples/cache.py a
"""

import sys
import time
from collections.abc import Callable
from contextlib import suppress

from cluster_kit import Gap, Message, NotSentError, Supervisor, UnansweredError


class Cache:
    """What was loaded, here or elsewhere.

    Args:
        cluster: Who else has one.
        load: Makes the value of a key, slowly.
    """

    def __init__(self, cluster: Supervisor, load: Callable[[str], str]) -> None:
        self._cluster = cluster
        self._load = load
        self._entries: dict[str, str] = {}
        self._drops = 0
        self._topic = cluster.topic("cache")
        self._topic.subscribe(self._hear)
        self._topic.answer(lambda message: self.get(message.data))

    def get(self, key: str) -> str:
        """Return the value of ``key``: our own copy, else the owner's, else a fresh one."""
        if key in self._entries:
            return self._entries[key]
        drops = self._drops
        value = self._ask(key)
        if drops == self._drops:  # else it may have been made before the drop
            self._entries[key] = value
        return value

    def _ask(self, key: str) -> str:
        owner = self._cluster.owner(key)
        if owner != self._cluster.local:
            # it has just gone: nothing has to wait for that
            with suppress(NotSentError, UnansweredError):
                return str(self._topic.ask(owner, key, timeout_s=5))
        return self._load(key)

    def drop(self, key: str) -> int:
        """Drop ``key`` on every node; return how many others there are."""
        self._forget(key)
        return self._topic.publish(key)

    def _hear(self, item: Message | Gap) -> None:
        match item:
            case Message(data=key):
                self._forget(key)
            case Gap():  # it is unknown which keys were to be dropped
                self._drops += 1
                self._entries.clear()

    def _forget(self, key: str) -> None:
        self._drops += 1
        self._entries.pop(key, None)


def load(key: str) -> str:
    print(f"loading {key}", flush=True)
    time.sleep(1)
    return f"{key} of {time.strftime('%H:%M:%S')}"


config = {
    "node": f"{sys.argv[1]}@127.0.0.1",
    "cluster": "cache-example",
    "topologies": {"lan": {"strategy": "gossip"}},
}

cluster = Supervisor(config)
cache = Cache(cluster, load)  # before the start, so that no node is linked that does not answer yet
with suppress(KeyboardInterrupt), cluster:
    print("get KEY or drop KEY; nodes says who is there", flush=True)
    for line in sys.stdin:
        match line.split():
            case ["get", key]:
                print(cache.get(key), flush=True)
            case ["drop", key]:
                print("told:", cache.drop(key), flush=True)
            case ["nodes"]:
                print(*cluster.nodes(), flush=True)
