"""What messages of 64 MiB cost others: delayed heartbeats and small messages of another topic.

``python benchmarks/large_messages.py`` has three nodes on loopback under a secret, each in a
process of its own. The first sends large messages to the second, one behind the other, and
meanwhile 100 bytes on another topic to the second and to the third, which stamp them on arrival;
all share the machine's monotonic clock. It prints how late those are without large messages and
with them, and the round trips that heartbeats measure on the link meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from secrets import token_hex
from statistics import quantiles

from messages import free_port

from cluster_kit import Gap, Supervisor

SMALL_BYTES = 100
EACH_S = 0.005  # between two small messages
QUIET_S = 5.0
LIMIT_BYTES = 128 * 1024 * 1024
HEARTBEAT_S = 0.1  # so that there are many to look at


def main() -> None:
    """Measure, and print a table."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--mib", type=int, default=64, help="size of a large message")
    options.add_argument("--count", type=int, default=10, help="how many of them")
    options.add_argument("role", nargs="*", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.role:
        listen(*given.role)
        return
    port, secret = free_port(), f"ck1-{token_hex(32)}"
    listeners = [Listener(name, port, secret) for name in ("same", "other")]
    try:
        with supervisor("sender", port, secret) as cluster:
            cluster.wait_for(3, timeout_s=60)
            measure(cluster, listeners, given.mib << 20, given.count)
    finally:
        for each in listeners:
            each.process.kill()


def supervisor(name: str, port: int, secret: str) -> Supervisor:
    """Return a node whose messages may be long."""
    connector = {"name": "tcp", "max_message_bytes": LIMIT_BYTES, "heartbeat_s": HEARTBEAT_S}
    topology = {"strategy": {"name": "gossip", "port": port}, "connector": connector}
    config = {
        "node": f"{name}@127.0.0.1",
        "cluster": f"large-{port}",
        "secret": secret,
        "topologies": {"lan": topology},
    }
    return Supervisor(config)


class Listener:
    """A listening node in its own process, and the lateness of each small message it received."""

    def __init__(self, name: str, port: int, secret: str) -> None:
        self.title = "the node that takes the large ones" if name == "same" else "another node"
        self.late_s: list[float] = []
        self.large = 0
        self.process = subprocess.Popen(
            [sys.executable, __file__, name, str(port), secret], stdout=subprocess.PIPE
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            self.large += "large" in said
            self.late_s += said.get("late_s", [])

    def take(self) -> list[float]:
        """Return what has come since the last call."""
        late_s, self.late_s = self.late_s, []
        return late_s


def listen(name: str, port: str, secret: str) -> None:
    """Take in what comes, and say how late it was, until killed."""
    cluster = supervisor(name, int(port), secret)
    small, large = cluster.topic("small"), cluster.topic("large")
    saying = threading.Lock()

    def say(what: Mapping[str, object]) -> None:
        with saying:
            print(json.dumps(what), flush=True)

    def took_small(item: object) -> None:
        if not isinstance(item, Gap):
            say({"late_s": [time.monotonic() - item.data["sent_s"]]})  # type: ignore[attr-defined]

    small.subscribe(took_small)
    if name == "same":
        large.subscribe(
            lambda item: say({"large": not isinstance(item, Gap)}), max_bytes=LIMIT_BYTES
        )
    with cluster:
        threading.Event().wait()


def measure(cluster: Supervisor, listeners: Sequence[Listener], size: int, count: int) -> None:
    """Say small messages without large ones, then with them."""
    rows = ["| | messages | p50 ms | p99 ms | most ms |", "|---|---|---|---|---|"]
    for phase in ("quiet", "large"):
        over, rtts_s = threading.Event(), list[float]()
        threads = [
            threading.Thread(target=say_small, args=(cluster, over)),
            threading.Thread(target=watch, args=(cluster, over, rtts_s)),
        ]
        for thread in threads:
            thread.start()
        since_s = time.monotonic()
        if phase == "quiet":
            time.sleep(QUIET_S)
        else:
            send_large(cluster, listeners[0], size, count)
        took_s = time.monotonic() - since_s
        over.set()
        for thread in threads:
            thread.join()
        time.sleep(0.5)
        for each in listeners:
            rows.append(row(f"{phase}: small messages to {each.title}", each.take()))
        rows.append(row(f"{phase}: heartbeats to {listeners[0].title} and back", rtts_s))
    print("\n".join(rows))
    print(f"{count} messages of {size >> 20} MiB: {count * size / took_s / 1e6:,.0f} MB/s")


def send_large(cluster: Supervisor, taker: Listener, size: int, count: int) -> None:
    """Send large messages, and wait until all have been received."""
    topic, data = cluster.topic("large"), os.urandom(size)
    for _ in range(count):
        topic.send("same@127.0.0.1", data, timeout_s=120)
    deadline_s = time.monotonic() + 120
    while taker.large < count:
        if time.monotonic() > deadline_s:
            raise SystemExit(f"{count - taker.large} of {count} large messages did not arrive")
        time.sleep(0.01)


def say_small(cluster: Supervisor, over: threading.Event) -> None:
    """Say one small message after another, to both."""
    topic = cluster.topic("small")
    while not over.wait(EACH_S):
        topic.publish({"sent_s": time.monotonic(), "rest": b"x" * SMALL_BYTES})


def watch(cluster: Supervisor, over: threading.Event, rtts_s: list[float]) -> None:
    """Record each round trip that heartbeats measure on the link with the large messages."""
    while not over.wait(HEARTBEAT_S):
        for link in cluster.status()["lan"].links:
            if link.node.name == "same@127.0.0.1" and link.rtt_s is not None:
                rtts_s.append(link.rtt_s)


def row(title: str, late_s: Sequence[float]) -> str:
    """Return a row of the table."""
    if len(late_s) < 2:
        return f"| {title} | {len(late_s)} | | | |"
    cuts = quantiles(late_s, n=100)
    return (
        f"| {title} | {len(late_s)} | {cuts[49] * 1e3:.1f} | {cuts[98] * 1e3:.1f} | "
        f"{max(late_s) * 1e3:.1f} |"
    )


if __name__ == "__main__":
    main()
