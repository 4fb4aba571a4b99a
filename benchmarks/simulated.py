"""Simulate clusters of several sizes, topologies and loss rates: time and cost of agreement.

    python benchmarks/simulated.py [--sizes 10 100 300 1000] [--seconds 30] [--seeds 1]

Prints a Markdown table. All nodes start within the first second, and nothing else happens.
Simulated times don't depend on the machine; one line per cluster says on standard error how long it
took.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from statistics import fmean, median

from cluster_kit.testing.simulation import Outcome, Script, Setting

LOSSES = (0.0, 0.05, 0.20)
LARGEST_MESH = 300  # nodes; from there on it is the number of links that matters
TOPOLOGIES: tuple[object, ...] = ("full_mesh", *({"name": "k_regular", "k": k} for k in (4, 6, 8)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 300, 1000])
    parser.add_argument("--seconds", type=float, default=30.0, help="simulated, of each cluster")
    parser.add_argument(
        "--seeds", type=int, default=1, help="clusters of each kind; the median is shown"
    )
    options = parser.parse_args()
    print(
        "| topology | nodes | loss | agreed after, s | links a node | packets a node and second | "
        "bytes | false alarms |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for topology in TOPOLOGIES:
        for nodes in options.sizes:
            for loss in LOSSES if topology != "full_mesh" or nodes <= LARGEST_MESH else ():
                outcomes = list(simulated(topology, nodes, loss, options.seconds, options.seeds))
                print(row(named(topology), nodes, loss, outcomes), flush=True)


def simulated(
    topology: object, nodes: int, loss: float, seconds: float, seeds: int
) -> Iterator[Outcome]:
    for seed in range(1, seeds + 1):
        started_s = time.perf_counter()
        setting = Setting(
            topology={"strategy": "gossip", "topology": topology},
            seed=seed,
            loss=loss,
            seconds=seconds,
        )
        outcome = setting.run(Script(nodes=nodes))
        took_s = time.perf_counter() - started_s
        rate = outcome.node_s / took_s
        print(
            f"wall {named(topology)} {nodes} {loss:g} seed {seed}: {took_s:.1f} s, {rate:.0f} "
            "node-s/s",
            file=sys.stderr,
        )
        for finding in outcome.findings:
            print(f"     {finding}", file=sys.stderr)
        yield outcome


def named(topology: object) -> str:
    return f"{topology['name']}, k {topology['k']}" if isinstance(topology, dict) else str(topology)


def row(topology: str, nodes: int, loss: float, outcomes: list[Outcome]) -> str:
    after_s = [
        None if each.agreed_s is None else max(0.0, each.agreed_s - each.calm_s)
        for each in outcomes
    ]
    agreed = (
        "not all"
        if None in after_s
        else f"{median(filter(lambda each: each is not None, after_s)):.2f}"
    )
    links = fmean(fmean(each.links) for each in outcomes)
    packets, sent = (
        fmean(
            sum(getattr(traffic, what) for traffic in each.traffic) / each.node_s
            for each in outcomes
        )
        for what in ("packets_sent", "bytes_sent")
    )
    alarms = sum(len(each.false_alarms) for each in outcomes)
    return (
        f"| {topology} | {nodes} | {loss:.0%} | {agreed} | {links:.1f} | {packets:.1f} | "
        f"{sent:,.0f} | {alarms} |"
    )


if __name__ == "__main__":
    main()
