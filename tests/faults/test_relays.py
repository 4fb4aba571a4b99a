"""Relays between real nodes, and clusters that share a secret: links reach the right nodes only."""

import asyncio
import itertools
import threading
from contextlib import suppress

import pytest
from waiting import until
from watched import FORMATION_S, Watched, free_port

from cluster_kit import NodeDown, NodeUp
from cluster_kit.errors import ConnectReason
from cluster_kit.node import split_address

pytestmark = pytest.mark.once

HOST = "127.0.0.66"
TIMES = 3  # that each relay has been tried in vain
DEADLINE_S = 60.0


@pytest.fixture
def watched(caplog):
    with Watched(caplog) as watched:
        yield watched


class Relays(threading.Thread):
    """Relays of each kind; a context manager.

    Attributes:
        addresses: Of each kind that is to be dialled.
        tried: How often each kind was, to the end.
        behind: The address of the node that is behind them.
        back: The address of the node that one of them leads back to, which alone dials that one.
        pass_on: Whether all of them only pass on what is said, to the node behind them.
    """

    def __init__(self):
        super().__init__()
        self.addresses = {}
        self.tried = dict.fromkeys(
            ("reflects", "leads back", "changes", "joins", "crosses", "splices"), 0
        )
        self.behind = self.back = None
        self.pass_on = False
        self._are_up = threading.Event()
        self._waiting = {}
        # a length, then something that nobody notices at once, and so on
        self._places = itertools.count(7, 5)

    def __enter__(self):
        self.start()
        assert self._are_up.wait(DEADLINE_S)
        return self

    def __exit__(self, *exc_info):
        self._loop.call_soon_threadsafe(self._end.set)
        self.join()

    def run(self):
        asyncio.run(self._serve())

    async def _serve(self):
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._tasks = set()
        servers = {}
        for kind in self.tried.keys() - {"splices"}:
            servers[kind] = await asyncio.start_server(self._taking(kind), HOST, 0)
            self.addresses[kind] = "{}:{}".format(*servers[kind].sockets[0].getsockname())
        self._are_up.set()
        await self._end.wait()
        for server in servers.values():
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _taking(self, kind):
        async def take(*caller):
            self._tasks.add(task := asyncio.current_task())
            try:
                await self._relay(kind, caller)
                self.tried[kind] += 1
            except OSError:
                self.tried[kind] += 1
            finally:
                caller[1].transport.abort()
                self._tasks.discard(task)

        return take

    async def _relay(self, kind, caller):
        if self.pass_on:
            await self._pipe(caller, await self._dial(self.behind))
        elif kind == "reflects":
            await self._copy(caller[0], caller[1])
        elif kind == "leads back":
            await self._pipe(caller, await self._dial(self.back))
        elif kind == "changes":
            await self._pipe(
                caller, await self._dial(self.behind), _with_one_bit_changed(next(self._places))
            )
        else:
            await self._of_two(kind, caller)

    async def _of_two(self, kind, caller):
        """Wait for another dialler, then join the two, or cross their routes to the node behind."""
        if (waiting := self._waiting.pop(kind, None)) is None:
            self._waiting[kind] = (caller, done := self._loop.create_future())
            await done
            return
        first, done = waiting
        try:
            if kind == "joins":
                await self._pipe(first, caller)
            else:
                await self._cross(first, caller)
        finally:
            if not done.done():
                done.set_result(None)

    async def _cross(self, one, other):
        """Forward what one says to the node behind, and the reply to the other; and the reverse."""
        behind = [await self._dial(self.behind)]
        try:
            behind.append(await self._dial(self.behind))
            await _first_of(
                self._copy(one[0], behind[0][1]),
                self._copy(behind[0][0], other[1]),
                self._copy(other[0], behind[1][1]),
                self._copy(behind[1][0], one[1]),
            )
        finally:
            for _, writer in behind:
                writer.transport.abort()

    def splice(self, one, other):
        """Dial two nodes, and join the two connections; return once both have hung up."""

        async def splice():
            await self._pipe(await self._dial(one), await self._dial(other))
            self.tried["splices"] += 1

        asyncio.run_coroutine_threadsafe(splice(), self._loop).result(DEADLINE_S)

    async def _pipe(self, one, other, change=lambda data: data):
        try:
            await _first_of(
                self._copy(one[0], other[1], change), self._copy(other[0], one[1], change)
            )
        finally:
            for _, writer in (one, other):
                writer.transport.abort()

    async def _copy(self, reader, writer, change=lambda data: data):
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(change(data))

    async def _dial(self, address):
        host, port = split_address(address)
        return await asyncio.open_connection(host, port, local_addr=(HOST, 0))


async def _first_of(*works):
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _with_one_bit_changed(first):
    places = itertools.count(first, 13)

    def change(data):
        changed = bytearray(data)
        changed[next(places) % len(changed)] ^= 1
        return bytes(changed)

    return change


def links(watched):
    """Return the links that were reported up and not down, as pairs of names."""
    told = set()
    for name, event in watched.events:
        if isinstance(event, NodeUp):
            told.add((name, event.node.name))
        assert not isinstance(event, NodeDown)
    return told


def test_relay_links_only_the_nodes_at_its_ends(watched, caplog):
    with Relays() as relays:
        dialled = {name: each for name, each in relays.addresses.items() if name != "leads back"}
        watched.start(3, {"name": "static", "nodes": []})
        relays.behind = until(lambda: watched.addresses()[watched.name(3)], "it listens")
        relays.back = f"127.0.0.1:{(port := free_port())}"
        watched.start(1, {"name": "static", "nodes": list(relays.addresses.values())}, port=port)
        watched.start(2, {"name": "static", "nodes": list(dialled.values())})
        until(lambda: all(watched.addresses().values()), "all listen")
        for _ in range(TIMES):
            relays.splice(
                watched.addresses()[watched.name(1)], watched.addresses()[watched.name(2)]
            )
        until(
            lambda: min(relays.tried.values()) >= TIMES,
            f"all were tried: {relays.tried}",
            DEADLINE_S,
        )
        assert links(watched) == set()
        at = f"cannot link to '{relays.addresses['changes']}': "
        broken = "its TLS handshake is broken: "
        until(
            lambda: any(at + broken in message for message in caplog.messages),
            "a warning of the one that changes bytes",
        )
        told = [message for message in caplog.messages if broken in message]
        for message in told:
            assert "look for what changes the bytes" in message
            assert "secret" not in message
        relays.pass_on = True
        for node in watched.nodes.values():
            node.wait_for(3, timeout_s=FORMATION_S)
        until(lambda: len(links(watched)) == 6, "all links to be told")
        assert links(watched) == set(itertools.permutations(watched.nodes, 2))


def test_clusters_and_groups_that_share_a_secret_keep_apart(watched):
    ports = {number: free_port() for number in (1, 2, 3, 4)}
    entries = [f"n{number}@127.0.0.{number}:{port}" for number, port in ports.items()]
    strategies = [{"name": "gossip", "port": watched.port}, {"name": "static", "nodes": entries}]
    other_group, other_cluster = watched.name(3), watched.name(4)
    watched.start(1, strategies, port=ports[1])
    watched.start(2, strategies, port=ports[2])
    watched.start(3, strategies, port=ports[3], group="other")
    watched.start(4, strategies, port=ports[4], cluster=f"{watched.cluster}-other")

    def why_not(name):
        unlinked = watched.nodes[name].status()["lan"].unlinked
        return {each.node.name: each.reason for each in unlinked if each.tries}

    one, two = watched.name(1), watched.name(2)
    expected = {
        one: {other_group: ConnectReason.FOREIGN, other_cluster: ConnectReason.AUTH},
        two: {other_group: ConnectReason.FOREIGN, other_cluster: ConnectReason.AUTH},
        other_group: {
            one: ConnectReason.FOREIGN,
            two: ConnectReason.FOREIGN,
            other_cluster: ConnectReason.AUTH,
        },
        other_cluster: dict.fromkeys((one, two, other_group), ConnectReason.AUTH),
    }
    until(
        lambda: {name: why_not(name) for name in watched.nodes} == expected,
        "all to have tried",
        DEADLINE_S,
    )
    assert links(watched) == {(one, two), (two, one)}
