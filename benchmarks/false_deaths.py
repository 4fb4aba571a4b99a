"""How often a live node is declared dead on a busy machine and a lossy network, in virtual time.

python benchmarks/false_deaths.py [--unguarded]

Each run is a cluster of its own, in a full mesh. For some time some of its nodes are starved, which
run for a tenth of a second at most between pauses of up to two seconds, and the network loses
packets all the time. False is every event by which any node is told that another one is down or
lost, since all of them are alive and reachable. ``--unguarded`` has the judges of silence take the
time in which they did not run for silence. The output is the same each time, but for progress.

Source: the grid of kinship, https://pypi.org/project/kinship/.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from multiprocessing import Pool
from unittest.mock import patch

from cluster_kit.testing.simulation import Script, Simulation, Starve

STARVED = (0.0, 0.10)
LOSSES = (0.01, 0.02, 0.03, 0.04, 0.05)
START_S = 2.0
JUDGES = (
    "cluster_kit.worker.worker",
    "cluster_kit.connectors.tcp.hub",
    "cluster_kit.strategies.gossip.session",
)

Cell = tuple[float, float]
"""Which fraction of the nodes is starved, and which of the packets is lost."""


class UnattendedClock:
    """Counts as attended what was not."""

    def __init__(self, monotonic: Callable[[], float], period_s: float) -> None:
        self.now_s = monotonic

    def tick(self) -> float:
        """Miss nothing."""
        return 0.0


def cell_of(seed: int) -> Cell:
    """Return the fraction of nodes that are starved in a run, and that of packets that are lost."""
    cells = [(starved, loss) for starved in STARVED for loss in LOSSES]
    return cells[seed % len(cells)]


def run(seed: int, options: argparse.Namespace) -> tuple[int, list[str]]:
    """Return the false deaths of one run, after its seed."""
    starved, loss = cell_of(seed)
    count = round(options.nodes * starved)
    starve = Starve(
        at_s=START_S, nodes=tuple(range(1, count + 1)), most_s=2.0, for_s=options.seconds
    )
    script = Script(nodes=options.nodes, steps=(starve,) if count else ())
    with ExitStack() as stack:
        for judge in JUDGES if options.unguarded else ():
            stack.enter_context(patch(f"{judge}.AttendedClock", UnattendedClock))
        outcome = Simulation(script, seed=seed, loss=loss, seconds=START_S + options.seconds).run()
    return seed, [*map(str, outcome.findings), *map(str, outcome.false_alarms)]


def measure(options: argparse.Namespace) -> tuple[Counter[Cell], Counter[Cell], list[str]]:
    """Run the grid; return per cell the runs, those with false deaths, and the false deaths."""
    runs: Counter[Cell] = Counter()
    hit: Counter[Cell] = Counter()
    dead: list[str] = []
    since = time.monotonic()
    with Pool(options.jobs) as pool:
        for seed, deaths in pool.imap(
            partial(run, options=options), range(options.runs), chunksize=20
        ):
            cell = cell_of(seed)
            runs[cell] += 1
            hit[cell] += bool(deaths)
            dead += [
                f"seed {seed}, {cell[0]:.0%} starved, {cell[1]:.0%} loss: {death}"
                for death in deaths
            ]
            if not (seed + 1) % 100:
                left_s = (time.monotonic() - since) / (seed + 1) * (options.runs - seed - 1)
                print(
                    f"{seed + 1} runs, {len(dead)} false deaths, {left_s:.0f} s left",
                    file=sys.stderr,
                    flush=True,
                )
    return runs, hit, dead


def report(runs: Counter[Cell], hit: Counter[Cell], dead: list[str]) -> None:
    """Print a table."""
    print(*dead, sep="\n", end="\n" * bool(dead))
    print("starved   " + "".join(f"{f'loss {loss:.0%}':>12}" for loss in LOSSES))
    for starved in STARVED:
        row = [f"{hit[starved, loss]} of {runs[starved, loss]}" for loss in LOSSES]
        print(f"{starved:<10.0%}" + "".join(f"{each:>12}" for each in row))
    print(f"{sum(hit.values())} of {sum(runs.values())} runs have false deaths, {len(dead)} in all")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3600)
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="for how long nodes are starved"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="how many runs go side by side"
    )
    parser.add_argument("--unguarded", action="store_true", help="with late taken for dead")
    report(*measure(parser.parse_args()))


if __name__ == "__main__":
    main()
