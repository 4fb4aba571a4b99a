"""Real nodes whose clocks are years apart: nothing that a secret protects asks what time it is."""

import os
import secrets
import signal
import time
from pathlib import Path

import psutil
import pytest
from cli_process import Cluster
from watched import free_port

pytestmark = pytest.mark.once

YEARS = (0, -40, 30)  # from now; certificates begin with the year 2000
DAYS = 365


@pytest.fixture
def environ(require):
    """Return a function that returns the environment in which the clock is some years off."""
    require("faketime")
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))

    def environ(years):
        if not years:
            return None
        offset = {"FAKETIME": f"{DAYS * years:+}d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        return os.environ | offset | {"LD_PRELOAD": str(library)}

    return environ


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path) as cluster:
        yield cluster
    for process in cluster.processes:  # what libfaketime leaves behind of one that was killed
        for name in ("faketime_shm", "sem.faketime_sem"):
            Path(f"/dev/shm/{name}_{process.process.pid}").unlink(missing_ok=True)


def years_of(event):
    """Return how many years from now it was where an event was reported."""
    return round((event["t"] - time.time()) / (DAYS * 86400))


def is_off(process):
    """Whether the workers of a node have its clock, too."""
    workers = psutil.Process(process.process.pid).children(recursive=True)
    return workers and all(
        "libfaketime" in Path(f"/proc/{worker.pid}/maps").read_text() for worker in workers
    )


def linked(running, clocks, times=None):
    """Wait until all are linked, each by its own clock."""
    for name, node in running.items():
        for other in running.keys() - {name}:
            told = node.wait_for("node_up", times=(times or {}).get(other, 1), node=other)
            assert years_of(told) == clocks[name], "the clock is not set"


def test_nodes_whose_clocks_are_years_apart_link(cluster, environ):
    topologies = {"lan": {"strategy": {"name": "gossip", "port": free_port()}}}
    file = cluster.write("secret.yaml", topologies, secret=secrets.token_hex(32))
    clocks = {f"n{number}@127.0.0.{number}": years for number, years in enumerate(YEARS, 1)}
    running = {
        name: cluster.run(name, file=file, env=environ(years)) for name, years in clocks.items()
    }
    linked(running, clocks)
    assert all(is_off(node) for name, node in running.items() if clocks[name])
    ahead = max(clocks, key=clocks.get)
    running[ahead].signal_all(signal.SIGKILL)
    running[ahead].wait()
    # once its clock is set right, its run seems the older one
    running[ahead], clocks[ahead] = cluster.run(ahead, file=file), 0
    linked(running, clocks, {ahead: 2})
