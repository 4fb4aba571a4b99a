"""Redis PUB/SUB by redis-py through a server on loopback, unencrypted, in pipelines of 100."""

# ruff: noqa: D102 - ``Driver`` documents them
from __future__ import annotations

import redis

from messaging.ends import Counter, Driver

ASK, TELL = b"a", b"t"
BATCH = 100


def serve(port: int, secret: str) -> None:
    """Serve until killed."""
    client = redis.Redis(port=port)
    subscription = client.pubsub(ignore_subscribe_messages=True)
    subscription.subscribe("served")
    subscription.get_message(ignore_subscribe_messages=False, timeout=10)
    print("ready", flush=True)
    counter = Counter()
    for message in subscription.listen():
        kind, data = message["data"][:1], message["data"][1:]
        if kind == ASK:
            client.publish("driven", counter.answer(data))
        else:
            counter.add()


class RedisDriver(Driver):
    """Publishes, and listens for the answers."""

    def __init__(self, port: int, secret: str) -> None:
        self._client = redis.Redis(port=port)
        self._subscription = self._client.pubsub(ignore_subscribe_messages=True)
        self._subscription.subscribe("driven")
        self._subscription.get_message(ignore_subscribe_messages=False, timeout=10)
        self._pipeline = self._client.pipeline(transaction=False)
        self._waiting = 0

    def ask(self, data: bytes) -> bytes:
        self._client.publish("served", ASK + data)
        while (message := self._subscription.get_message(timeout=10)) is None:
            pass
        return bytes(message["data"])

    def tell(self, data: bytes) -> None:
        self._pipeline.publish("served", TELL + data)
        self._waiting += 1
        if self._waiting == BATCH:
            self.told()

    def told(self) -> None:
        self._pipeline.execute()
        self._waiting = 0


DRIVER = RedisDriver
