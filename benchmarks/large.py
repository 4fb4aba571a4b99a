"""Many nodes in one cluster on one machine: how long until all links of the topology are up.

``python benchmarks/large.py --nodes 200 --topology k_regular``. All nodes are supervisors of this
process, each with a worker of its own, on loopback. Prints how long it took after the last start,
and after a tenth of the nodes have left at once.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex

from cluster_kit import Node, Supervisor, Topology
from cluster_kit.plugins import PluginRegistry

AT_ONCE = 6  # starts: more would only wait for processors
POLL_S = 0.25
LIMIT_S = 300.0


def main() -> None:
    """Measure."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--nodes", type=int, default=200)
    options.add_argument("--topology", default="k_regular")
    given = options.parse_args()
    topology: Topology = PluginRegistry.load().resolve("topology", given.topology)()
    cluster, port = token_hex(4), 20_000 + os.getpid() % 20_000
    nodes = {
        f"n{number:04}@127.0.0.1": Supervisor(
            {
                "node": f"n{number:04}@127.0.0.1",
                "cluster": cluster,
                "topologies": {
                    "all": {
                        "strategy": {"name": "gossip", "port": port},
                        "topology": given.topology,
                    }
                },
            }
        )
        for number in range(given.nodes)
    }
    try:
        started_s = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(Supervisor.start, nodes.values()))
        print(
            f"{given.nodes} nodes started in {time.monotonic() - started_s:.1f} s, {AT_ONCE} at a "
            "time"
        )
        report("formed", nodes, topology)
        leaving = sorted(nodes)[::10]
        stop_all(nodes.pop(name) for name in leaving)
        report(f"{len(leaving)} left", nodes, topology)
    finally:
        stop_all(nodes.values())
    times = os.times()
    seconds = times.user + times.system + times.children_user + times.children_system
    print(f"CPU seconds of all processes, from start to end: {seconds:.0f}")


def report(what: str, nodes: dict[str, Supervisor], topology: Topology) -> None:
    """Wait until every node is linked as meant, and print how long that took."""
    since_s = time.monotonic()
    everybody = frozenset(Node(name=name) for name in nodes)
    meant = {
        node.key: {peer.key for peer in topology.select(node, everybody - {node})}
        for node in everybody
    }
    while any({peer.key for peer in nodes[name].nodes()} != peers for name, peers in meant.items()):
        if time.monotonic() - since_s > LIMIT_S:
            raise SystemExit(f"{what}: not linked as meant after {LIMIT_S:g} s")
        time.sleep(POLL_S)
    links = sum(len(peers) for peers in meant.values()) // 2
    print(f"{what}: linked as meant after {time.monotonic() - since_s:.1f} s, {links} links")


def stop_all(nodes: Iterable[Supervisor]) -> None:
    """Stop them together."""
    with ThreadPoolExecutor(20) as threads:
        list(threads.map(Supervisor.stop, nodes))


if __name__ == "__main__":
    main()
