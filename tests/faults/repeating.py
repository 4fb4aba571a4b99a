"""Plugins whose faults come again and again; named by ``repeating:Class`` in configurations."""

import asyncio

from cluster_kit import Found, Node, Strategy

NODES = 200
RESTARTS = 5


class KnowsMany(Strategy):
    async def discover(self, ctx):
        yield Found([Node(f"n{number}@127.0.0.1") for number in range(NODES)])


class RaisesNowAndThen(Strategy):
    """Each time it has run for longer than the window in which restarts count."""

    def __init__(self):
        self._runs = 0

    async def discover(self, ctx):
        self._runs += 1
        if self._runs > RESTARTS:
            yield Found([Node("done@127.0.0.1")])
            return
        await asyncio.sleep(0.1)
        raise RuntimeError(f"fault {self._runs}")
