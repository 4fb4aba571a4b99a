"""Measure discovery by Kubernetes, DNS and multicast DNS, each with the other party on loopback.

    python benchmarks/sources.py [kubernetes] [dns] [mdns]

Prints a Markdown table: the median and the range of some rounds. Needs a checkout, as the API
server and Debian's ``named`` come from its tests. Times are from the change to the event in the
application.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, Self, TypeVar

import psutil

from cluster_kit import Event, NodeFound, Supervisor, TopologyReady

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from dns_named import ZONE, Named
from kubernetes_api import SLICES, KubernetesApi, in_thread
from kubernetes_objects import endpoint_slice

ROUNDS = 20
ENDPOINTS = 5_000
PER_SLICE = 100  # what the EndpointSlice controller puts into one
IDLE_S = 60.0
DNS_INTERVAL_S = 1.0
DEADLINE_S = 60.0

Row = tuple[str, str, list[float]]  # what, unit, samples
_Event = TypeVar("_Event", bound=Event)


def main() -> None:
    sources: dict[str, Callable[[Path], Iterator[Row]]] = {
        "kubernetes": kubernetes,
        "dns": dns,
        "mdns": mdns,
    }
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", nargs="*", choices=[[], *sources], help="default: all of them")
    chosen = parser.parse_args().source or sources
    print("| source | measure | median | range |\n| --- | --- | --- | --- |")
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="cluster-kit-benchmark-") as folder:
            for what, unit, samples in sources[name](Path(folder)):
                print(
                    f"| `{name}` | {what}, {unit} | {median(samples):.3g} | {min(samples):.3g} to "
                    f"{max(samples):.3g} |",
                    flush=True,
                )


def kubernetes(folder: Path) -> Iterator[Row]:
    """List many endpoints, then watch."""
    api = KubernetesApi()
    with in_thread(api) as run:
        config = {
            "kubeconfig": str(api.kubeconfig(folder / "kubeconfig")),
            "service_name": "web",
            "node_basename": "web",
        }
        with Application("kubernetes", config) as application:
            run(api.until_watched())
            yield (
                "change to event",
                "s",
                [_change(run, api, application, number) for number in range(ROUNDS)],
            )
            asked = len(api.asked)
            time.sleep(IDLE_S)
            yield f"requests of an idle watch in {IDLE_S:g} s", "number", [len(api.asked) - asked]
        run(api.put(SLICES, *_slices()))
        with Application("kubernetes", config) as application:
            told_s = max(application.found() for _ in range(ENDPOINTS))
            yield (
                f"{ENDPOINTS:,} endpoints, from the strategy's start to the last event",
                "s",
                [told_s - application.ready_s],
            )
            worker = psutil.Process(application.supervisor.status()["lan"].pid)
            yield (
                f"worker with {ENDPOINTS:,} endpoints, PSS",
                "MiB",
                [worker.memory_full_info().pss / 2**20],
            )


def _slices() -> Iterator[dict[str, Any]]:
    ips = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(ENDPOINTS)]
    for start in range(0, ENDPOINTS, PER_SLICE):
        yield endpoint_slice(f"many-{start}", *ips[start : start + PER_SLICE])


def _change(
    run: Callable[[Any], Any], api: KubernetesApi, application: Application, number: int
) -> float:
    ip = f"10.200.0.{number}"
    since_s = time.time()
    run(api.put(SLICES, endpoint_slice(f"one-{number}", ip)))
    return application.found(f"web@{ip}") - since_s


def dns(folder: Path) -> Iterator[Row]:
    """Add a record to a zone."""
    with Named(folder / "named", "web A 10.0.0.1") as named:
        config = {
            "query": f"web.{ZONE}",
            "resolver": named.resolver,
            "interval_s": DNS_INTERVAL_S,
            "node_basename": "web",
            "port": 4370,
        }
        with Application("dns", config) as application:
            samples = []
            for number in range(2, 2 + ROUNDS):
                named.rewrite(*(f"web A 10.0.0.{each}" for each in range(1, number + 1)))
                since_s = time.time()
                samples.append(application.found(f"web@10.0.0.{number}") - since_s)
            yield f"served to event, asked every {DNS_INTERVAL_S:g} s", "s", samples


def mdns(folder: Path) -> Iterator[Row]:
    """Start another node."""
    config = {"service_type": "_ckbench._tcp.local."}
    with Application("mdns", config) as application:
        samples = []
        for number in range(ROUNDS):
            name = f"joins{number}@127.0.0.1"
            with Application("mdns", config, name) as other:
                samples.append(application.found(name) - other.started_s)
        yield "join, from its worker's start", "s", samples


class Application:
    """An application with one topology that discovers and links to nobody.

    Attributes:
        supervisor: Its supervisor, which is running.
        started_s: When its worker was started, in Unix seconds.
        ready_s: When its strategy had begun, in Unix seconds.
    """

    def __init__(
        self, strategy: str, config: dict[str, Any], name: str = "bench@127.0.0.1"
    ) -> None:
        topology = {"strategy": strategy, "config": config, "connector": "none"}
        self.supervisor = Supervisor({"node": name, "topologies": {"lan": topology}})
        self._events = self.supervisor.subscribe(maxsize=10 * ENDPOINTS)

    def __enter__(self) -> Self:
        self.started_s = time.time()
        self.supervisor.start()
        self.ready_s = self._next(TopologyReady).t
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.stop()

    def found(self, name: str | None = None) -> float:
        """Return when the next node was found, or that of this name."""
        while True:
            event = self._next(NodeFound)
            if name in (None, event.node.name):
                return event.t

    def _next(self, kind: type[_Event]) -> _Event:
        while True:
            event = self._events.get(DEADLINE_S)
            if isinstance(event, kind):
                return event


if __name__ == "__main__":
    main()
