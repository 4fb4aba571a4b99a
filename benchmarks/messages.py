"""Messages between two applications on loopback: latency of a question, throughput one way.

``python benchmarks/messages.py`` measures every system that is installed, in turns: topics of
cluster_kit under a secret, pyzmq (``pip install pyzmq``), Redis (``pip install redis``, and
``redis-server``) and Erlang (``erl`` and ``epmd``). Each has two processes of its own.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex
from statistics import median

from messaging import ends

HERE = Path(__file__).parent
LIMIT_S = 300.0
TITLES = {
    "ask_p50": ("question and answer of 100 bytes, p50", "ms", 1e3),
    "ask_p99": ("question and answer of 100 bytes, p99", "ms", 1e3),
    "small": ("100 bytes one way, received", "1/s", 1.0),
    "large": ("64 KiB one way, received", "MB/s", 1e-6),
}


def main() -> None:
    """Measure, and print a table."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--runs", type=int, default=3)
    options.add_argument(
        "--only", help="systems, with commas between them: topics,zeromq,redis_pubsub,beam"
    )
    options.add_argument("role", nargs="*", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.role:
        play(*given.role)
        return
    chosen = given.only.split(",") if given.only else list(SYSTEMS)
    systems = {name: SYSTEMS[name] for name in chosen if is_there(name)}
    samples: dict[str, list[Mapping[str, float]]] = {name: [] for name in systems}
    for _ in range(given.runs):
        for name, run in systems.items():
            samples[name].append(run(name))
            print(name, json.dumps(samples[name][-1]), file=sys.stderr, flush=True)
    print(table(samples))


def play(role: str, system: str, port: str, secret: str) -> None:
    """Be one of the two processes."""
    module = importlib.import_module(f"messaging.{system}")
    if role == "serve":
        module.serve(int(port), secret)
    else:
        print(json.dumps(ends.measure(module.DRIVER(int(port), secret))), flush=True)
        sys.exit()


def in_python(system: str) -> Mapping[str, float]:
    """Measure two Python processes."""
    return between(system, free_port())


def through_redis(system: str) -> Mapping[str, float]:
    """Measure two Python processes with a Redis server of their own between them."""
    port = free_port()
    # else it hangs up on a slow subscriber
    options = ["--save", "", "--client-output-buffer-limit", "pubsub 0 0 0"]
    with (
        tempfile.TemporaryDirectory() as folder,
        running(["redis-server", "--port", str(port), "--dir", folder, *options], b"Ready"),
    ):
        return between(system, port)


def between(system: str, port: int) -> Mapping[str, float]:
    """Run both ends."""
    program, secret = [sys.executable, str(HERE / "messages.py")], f"ck1-{token_hex(32)}"
    with running([*program, "serve", system, str(port), secret], b"ready"):
        return result([*program, "drive", system, str(port), secret])


def two_beams(system: str) -> Mapping[str, float]:
    """Measure two Erlang nodes that have an EPMD of their own."""
    environment = os.environ | {"ERL_EPMD_PORT": str(free_port())}
    mark = token_hex(4)
    program = ["escript", str(HERE / "messaging" / "beam.escript")]
    served, driver = f"served-{mark}@127.0.0.1", f"driver-{mark}@127.0.0.1"
    sizes = (ends.QUESTIONS, ends.SMALL_BYTES, ends.SMALL, ends.LARGE_BYTES, ends.LARGE)
    epmd = subprocess.Popen(["epmd", "-address", "127.0.0.1"], env=environment)
    try:
        with running([*program, "serve", served, mark], b"ready", environment):
            return result([*program, "drive", driver, mark, served, *map(str, sizes)], environment)
    finally:
        epmd.kill()
        epmd.wait()


def result(command: list[str], environment: Mapping[str, str] | None = None) -> Mapping[str, float]:
    """Return what the driving end prints."""
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, timeout=LIMIT_S, env=environment
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def running(
    command: list[str], ready: bytes, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Have a process run inside the block, from its word on."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        try:
            while ready not in (line := process.stdout.readline()):
                if not line:
                    raise SystemExit(f"{command[0]} has ended before it was ready")
            yield
        finally:
            process.kill()


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


SYSTEMS: dict[str, Callable[[str], Mapping[str, float]]] = {
    "topics": in_python,
    "zeromq": in_python,
    "redis_pubsub": through_redis,
    "beam": two_beams,
}
NEEDS = {
    "topics": lambda: True,
    "zeromq": lambda: find_spec("zmq"),
    "redis_pubsub": lambda: find_spec("redis") and shutil.which("redis-server"),
    "beam": lambda: shutil.which("escript") and shutil.which("epmd"),
}


def is_there(system: str) -> bool:
    """Whether what ``system`` needs is installed; say so if it isn't."""
    if NEEDS[system]():
        return True
    print(f"{system}: not installed here, left out", file=sys.stderr)
    return False


def table(samples: Mapping[str, list[Mapping[str, float]]]) -> str:
    """Return the medians as a Markdown table, with the range of the samples."""
    lines = ["| | unit | " + " | ".join(samples) + " |", "|---|---|" + "---|" * len(samples)]
    for key, (title, unit, factor) in TITLES.items():
        cells = [cell([run[key] * factor for run in runs]) for runs in samples.values()]
        lines.append(f"| {title} | {unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(values: list[float]) -> str:
    """Return a median and its range."""
    return f"{median(values):,.4g} ({min(values):,.4g} to {max(values):,.4g})"


if __name__ == "__main__":
    main()
