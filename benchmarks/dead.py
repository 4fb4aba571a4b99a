"""How fast a living peer among many dead ones is linked, and linked again after a restart.

``python benchmarks/dead.py``. The dead are addresses of this machine at which the kernel drops
every SYN, listed in ``static`` before the living one; each dial to them takes until its deadline,
as to a host that is down. The line without any dead is what the others compare with.
"""

from __future__ import annotations

import argparse
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from secrets import token_hex
from typing import Any

from cluster_kit import NodeDown, NodeUp, Subscription, Supervisor

DEAD = (0, 200, 1000)
LIVING = "z@127.9.9.9"
LONG_S = 20.0  # by now every dead one has been dialled again and again
LIMIT_S = 120.0


def main() -> None:
    """Measure, one line for each number of dead peers."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--dead", type=int, nargs="*", default=DEAD)
    columns = ("dead peers", "first link, s", "linked after a restart, s", "CPU s of the worker")
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    with black_holes() as hole:
        for count in options.parse_args().dead:
            measure([f"127.1.{number // 250}.{number % 250 + 1}:{hole}" for number in range(count)])


def measure(dead: list[str]) -> None:
    """Start a node with these peers and a living one, and restart that."""
    cluster, port = token_hex(8), free_port()
    seeker = Supervisor(config(cluster, "a@127.0.0.1", [*dead, f"127.9.9.9:{port}"]))
    events = seeker.subscribe()
    with Supervisor(config(cluster, LIVING, [], port)) as living:
        living.wait_for(1, timeout_s=LIMIT_S)
        with seeker:
            started_s = time.monotonic()
            seen(events, NodeUp)
            first_s = time.monotonic() - started_s
            time.sleep(LONG_S)
            living.stop()
            seen(events, NodeDown)
            with Supervisor(config(cluster, LIVING, [], port)) as again:
                again.wait_for(1, timeout_s=LIMIT_S)
                restarted_s = time.monotonic()
                seen(events, NodeUp)
                again_s = time.monotonic() - restarted_s
                cpu_s = cpu_of(seeker)
    print(f"| {len(dead)} | {first_s:.2f} | {again_s:.2f} | {cpu_s:.2f} |", flush=True)


@contextmanager
def black_holes() -> Iterator[int]:
    """Yield a port at which no loopback address answers: the listen queue is full."""
    with ExitStack() as held:
        hole = held.enter_context(socket.socket())
        hole.bind(("0.0.0.0", 0))
        hole.listen(0)
        port: int = hole.getsockname()[1]
        for _ in range(4):
            filling = held.enter_context(socket.socket())
            filling.setblocking(False)
            with suppress(BlockingIOError):
                filling.connect(("127.0.0.1", port))
        yield port


def free_port() -> int:
    """Return a port that nobody has now."""
    with socket.socket() as sock:
        sock.bind(("127.9.9.9", 0))
        port: int = sock.getsockname()[1]
        return port


def config(cluster: str, name: str, nodes: list[str], port: int = 0) -> dict[str, Any]:
    """Return a configuration with a list of nodes."""
    lan = {
        "strategy": {"name": "static", "nodes": nodes},
        "connector": {"name": "tcp", "port": port},
    }
    return {"node": name, "cluster": cluster, "topologies": {"lan": lan}}


def seen(events: Subscription, kind: type) -> None:
    """Wait for an event about the living one."""
    deadline_s = time.monotonic() + LIMIT_S
    while True:
        event = events.get(max(0.01, deadline_s - time.monotonic()))
        if isinstance(event, kind) and str(getattr(event, "node", "")) == LIVING:
            return


def cpu_of(supervisor: Supervisor) -> float:
    """Return the processor time of its worker."""
    import psutil

    times = psutil.Process(supervisor.status()["lan"].pid).cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
