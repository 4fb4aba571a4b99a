"""Measure clusters of cluster_kit beside those of libcluster and Serf, in turns, on this machine.

    python benchmarks/cluster.py --nodes 2 8 16 32 --runs 3 --libcluster DIR --serf

Prints a Markdown table with medians. ``docs/performance.md`` says what is measured, and how to get
a ``DIR``. Run as root, the clusters live in a network of their own, and partitions and idle cost
are measured, too.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import lives
from nodes import BenchmarkError, Cluster
from places import Bridge, Loopback, enter_private_network
from processes import adopt_orphans, kill_descendants
from report import Results
from systems import System
from systems.cluster_kit import ClusterKit
from systems.libcluster import Libcluster
from systems.serf import Serf

FAULTS_N = 8
IMPORT_ROUNDS = 20
SCENARIOS = ("formation", "join", "frozen", "worker", "idle", "partition", "import")
COMPILE = "import compileall, cluster_kit; compileall.compile_dir(cluster_kit.__path__[0], quiet=2)"
LOADED = (
    "import sys; before = len(sys.modules); import cluster_kit; print(len(sys.modules) - before)"
)

Scenario = Callable[[Cluster[Any]], Iterator[lives.Sample]]


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what pip installs has its bytecode
    adopt_orphans()
    private = enter_private_network()
    if not private:
        print("not root: on the shared loopback, without partitions and idle cost", file=sys.stderr)
    try:
        with tempfile.TemporaryDirectory(prefix="cluster-kit-benchmark-") as folder:
            benchmark = Benchmark(options, Path(folder))
            benchmark.run(private=private)
            print(benchmark.results.table())
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        kill_descendants()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    executable = Path(sys.executable).with_name("cluster-kit")
    parser.add_argument(
        "--nodes", type=int, nargs="+", default=[2, 8, 16, 32], help="cluster sizes"
    )
    parser.add_argument("--runs", type=int, default=3, help="clusters of each size and system")
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=SCENARIOS, help=",".join(SCENARIOS)
    )
    parser.add_argument(
        "--executable", type=Path, default=executable, help="the cluster-kit to measure"
    )
    parser.add_argument(
        "--former", type=Path, metavar="EXECUTABLE", help="another cluster-kit to measure beside"
    )
    parser.add_argument(
        "--secret", action="store_true", help="measure cluster_kit with a secret, too"
    )
    parser.add_argument(
        "--libcluster",
        type=Path,
        metavar="DIR",
        help="folder of compiled applications, such as _build/prod/lib",
    )
    parser.add_argument("--serf", action="store_true", help="measure the serf that is on the path")
    options = parser.parse_args()
    if unknown := set(options.only) - set(SCENARIOS):
        parser.error(
            f"--only: no such scenario: {', '.join(sorted(unknown))}; choose from "
            f"{', '.join(SCENARIOS)}"
        )
    return options


class Benchmark:
    """Runs the wanted scenarios with every system, in turns."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._python = str(options.executable.with_name("python"))
        self._systems: list[System] = [ClusterKit(options.executable)]
        self._systems += [ClusterKit(options.former, "former")] if options.former else []
        self._systems += (
            [ClusterKit(options.executable, "with a secret", secret=True)] if options.secret else []
        )
        self._systems += [Libcluster(options.libcluster)] if options.libcluster else []
        self._systems += [Serf()] if options.serf else []
        self.results = Results([system.name for system in self._systems])

    def run(self, *, private: bool) -> None:
        """Measure everything; failures go to standard error and leave a gap."""
        for executable in filter(None, (self._options.executable, self._options.former)):
            subprocess.run([str(executable.with_name("python")), "-c", COMPILE], check=True)
        for system in self._systems:
            (self._folder / system.name).mkdir()
            system.prepare(self._folder / system.name)
        if self._wanted("formation", "join"):
            for n in self._options.nodes:
                self._in_turns(n, Loopback, {"join": lives.change})
        if self._wanted("frozen", "worker"):
            self._in_turns(
                FAULTS_N, Loopback, {"frozen": lives.freeze, "worker": lives.replace_worker}
            )
        if private and self._wanted("idle", "partition"):
            self._in_turns(FAULTS_N, Bridge, {"idle": lives.idle, "partition": lives.partition})
        if self._wanted("import"):
            self._measure_import()

    def _wanted(self, *names: str) -> list[str]:
        return [name for name in names if name in self._options.only]

    def _in_turns(
        self, n: int, place: type[Loopback | Bridge], scenarios: dict[str, Scenario]
    ) -> None:
        for _ in range(self._options.runs):
            for system in self._systems:
                names = [
                    name
                    for name in self._wanted(*scenarios)
                    if name != "worker" or isinstance(system, ClusterKit)
                ]
                self._live(system, n, place, [scenarios[name] for name in names])

    def _live(
        self, system: System, n: int, place: type[Loopback | Bridge], scenarios: Sequence[Scenario]
    ) -> None:
        cluster: Cluster[Any] = Cluster(system, place(), self._folder / system.name)
        try:
            formation = list(lives.form(cluster, n))
            if place is Loopback:
                self._keep(system, n, formation)
            for scenario in scenarios:
                self._keep(system, n, scenario(cluster))
        except BenchmarkError as error:
            print(f"{system.name}, N = {n}: {error}", file=sys.stderr)
        finally:
            cluster.close()

    def _keep(
        self, system: System, n: int, samples: Iterator[lives.Sample] | list[lives.Sample]
    ) -> None:
        for sample in samples:
            print(f"{system.name}, N = {n}: {sample.measure} {sample.value:.3f}", file=sys.stderr)
            self.results.add(sample.measure, n, system.name, sample.value)

    def _measure_import(self) -> None:
        name = self._systems[0].name
        rounds = [
            (self._run_s("pass"), self._run_s("import cluster_kit")) for _ in range(IMPORT_ROUNDS)
        ]
        bare_s, imported_s = map(median, zip(*rounds, strict=True))
        self.results.add("import", 1, name, imported_s - bare_s)
        loaded = subprocess.run(
            [self._python, "-c", LOADED], check=True, capture_output=True, text=True
        ).stdout
        self.results.add("import_modules", 1, name, int(loaded))

    def _run_s(self, code: str) -> float:
        began_s = time.monotonic()
        subprocess.run([self._python, "-c", code], check=True)
        return time.monotonic() - began_s


if __name__ == "__main__":
    main()
