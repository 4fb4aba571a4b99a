"""Measure the pure parts alone: codecs, and membership and topologies of large clusters.

There is no I/O, and one processor is used.

    python benchmarks/micro.py

Prints a Markdown table: the best of some repetitions, as others only ever add time.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from random import Random

from cluster_kit.abc import MAX_PAYLOAD_BYTES, Found, Seen
from cluster_kit.membership.membership import Membership
from cluster_kit.membership.reconciler import Command, Connect
from cluster_kit.membership.reports import Connected, LinkUp, Observed
from cluster_kit.membership.settings import Settings
from cluster_kit.network import Datagram, Endpoint
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.strategies.gossip.engine import GossipEngine
from cluster_kit.topologies.full_mesh import FullMeshTopology
from cluster_kit.topologies.k_regular import KRegularTopology
from cluster_kit.topologies.ring import RingTopology
from cluster_kit.topologies.star import StarTopology
from cluster_kit.wire import frames, gossip
from cluster_kit.wire.link import LinkProtocol, LinkState, Role

REPETITIONS = 5
CALLS = 20_000
SIZES = (1_000, 10_000)
FENCE = Fence("shop", "lan")
SOURCE = Endpoint("10.0.0.2", 45892)
TTL_S = 10.0

Row = tuple[str, int | None, float]  # what, cluster size, seconds each


def main() -> None:
    print("| | nodes | µs each | per second |\n| --- | --- | --- | --- |")
    sized = (row for size in SIZES for row in (*membership(size), *topologies(size)))
    for what, n, seconds in (*codecs(), *messages(), *sized):
        print(f"| {what} | {n or ''} | {seconds * 1e6:,.2f} | {1 / seconds:,.0f} |")


def codecs() -> Iterator[Row]:
    packet = gossip.Packet.of(_node(1), FENCE, gossip.Kind.HEARTBEAT, leaving=False)
    datagram = gossip.encode(packet)
    yield "gossip: encode a heartbeat", None, _repeated(lambda: gossip.encode(packet))
    yield "gossip: decode a heartbeat", None, _repeated(lambda: gossip.decode(datagram))
    engine = GossipEngine(_node(0), FENCE, interval_s=1.0, ttl_s=TTL_S, random=Random(0).random)
    yield (
        "gossip: receive a known node's heartbeat",
        None,
        _repeated(lambda: engine.receive([Datagram(datagram, SOURCE)], 0.0)),
    )
    ping = frames.Ping(token=123_456_789, rtt_us=250)
    data = frames.encode(ping)
    reader = frames.FrameReader()

    def read() -> None:
        reader.feed(data)
        body = reader.next(len(data))
        assert body is not None
        frames.decode(body)

    yield "link: encode a ping", None, _repeated(lambda: frames.encode(ping))
    yield "link: read and decode a ping", None, _repeated(read)


def messages() -> Iterator[Row]:
    for size in (100, MAX_PAYLOAD_BYTES):
        yield from _message(bytes(size))


def _message(payload: bytes) -> Iterator[Row]:
    dialler, acceptor = LinkProtocol(Role.DIALLER), LinkProtocol(Role.ACCEPTOR)
    dialler.state = acceptor.state = LinkState.UP
    received = memoryview(dialler.send(frames.Payload(payload)))
    yield (
        f"link: send a message of {len(payload)} B",
        None,
        _repeated(lambda: dialler.send(frames.Payload(payload))),
    )
    yield (
        f"link: receive a message of {len(payload)} B",
        None,
        _repeated(lambda: list(acceptor.receive(received))),
    )


def membership(n: int) -> Iterator[Row]:
    """Build a full mesh of ``n`` others: find, plan and link each; then one more event."""
    nodes = [_node(number) for number in range(1, n + 1)]
    found, linked, renewed, one_more = zip(*(_life(nodes) for _ in range(REPETITIONS)), strict=True)
    yield "membership: find a node, queue its connect", n, min(found) / n
    yield "membership: link a node", n, min(linked) / n
    yield "membership: find all nodes again, unchanged", n, min(renewed)
    yield "membership: find one more node, connect to it", n, min(one_more)


def _life(nodes: list[Node]) -> list[float]:
    settings = Settings(
        name="lan", prune=True, max_nodes=len(nodes) + 1, remember_s=3600.0, keeps_links=True
    )
    here = Membership(_node(0), FullMeshTopology(), settings)
    newcomer = _node(len(nodes) + 1)

    commands: list[Command] = []

    def find() -> None:
        commands.extend(
            here.step([Observed("gossip", Seen(node, TTL_S)) for node in nodes], 0.0).commands
        )

    def find_again() -> None:
        here.step([Observed("dns", Found(frozenset(nodes)))], 1.0)

    def join() -> None:
        assert here.step([Observed("gossip", Seen(newcomer, TTL_S))], 2.0).commands == [
            Connect(newcomer)
        ]

    return [_timed(step) for step in (find, lambda: _link_all(here, commands), find_again, join)]


def topologies(n: int) -> Iterator[Row]:
    """Measure what each change among ``n`` others costs a node once their names are known."""
    local, known = _node(0), frozenset(_node(number) for number in range(1, n + 1))
    hub = _node(n // 2)
    configured = {
        "ring": RingTopology(),
        "star, around a name": StarTopology(hubs=(str(hub),)),
        "star, around tags": StarTopology(metadata={"role": "hub"}),
        "k_regular, k 4": KRegularTopology(k=4),
        "k_regular, k 8": KRegularTopology(k=8),
    }
    for what, topology in configured.items():
        first_s = _timed(lambda topology=topology: topology.select(local, known))
        again_s = min(
            _timed(lambda topology=topology: topology.select(local, known))
            for _ in range(REPETITIONS)
        )
        if isinstance(topology, KRegularTopology):
            yield f"topology: {what}, of names never seen", n, first_s
        yield f"topology: {what}", n, again_s


def _link_all(here: Membership, commands: list[Command]) -> None:
    while commands:
        dialled = [command.node for command in commands if isinstance(command, Connect)]
        linked = [report for node in dialled for report in (LinkUp(node), Connected(node, node))]
        commands = here.step(linked, 0.0).commands


def _node(number: int) -> Node:
    boot = BootId(1_700_000_000_000, number)
    return Node(
        name=f"n{number}@10.0.0.1",
        address=f"10.0.0.1:{10_000 + number}",
        metadata={"zone": "a"},
        boot_id=boot,
    )


def _repeated(call: Callable[[], object]) -> float:
    def calls() -> None:
        for _ in range(CALLS):
            call()

    return min(_timed(calls) for _ in range(REPETITIONS)) / CALLS


def _timed(call: Callable[[], object]) -> float:
    gc.collect()
    began_s = time.process_time()
    call()
    return time.process_time() - began_s


if __name__ == "__main__":
    main()
