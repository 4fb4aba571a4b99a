"""One host takes all the connections it can get: others still get in, and no link goes down."""

import secrets
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from cli_process import Cluster, Hosted
from netns_lab import Lab
from waiting import until

pytestmark = [pytest.mark.once, pytest.mark.netns]

PORT = 4369
AT_ONCE = 400
HALF_OPEN = 32  # of one host, as docs/security.md has it
WATCHED_S = 6.0  # longer than a handshake may take
SPARE = 16  # descriptors: the links, and what is just closed or accepted


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path) as cluster:
        yield cluster


def test_hundreds_of_half_open_connections_crowd_out_no_node(cluster):
    with Lab(4) as lab:
        crowded, other, attacker, newcomer = lab.nodes

        def start(place, *seeds):
            nodes = [f"{seed.address}:{PORT}" for seed in seeds]
            entry = {
                "strategy": {"name": "static", "nodes": nodes},
                "connector": {"name": "tcp", "port": PORT},
            }
            return cluster.keep(
                Hosted(place, cluster.write(f"{place.name}.yaml", {"lan": entry}, secret=secret))
            )

        secret = secrets.token_hex(32)
        node = start(crowded)
        linked = start(other, crowded)
        linked.wait_for("node_up", node=node.name)
        [worker] = psutil.Process(node.process.pid).children()
        before = worker.num_fds()
        flood = attacker.run(
            [
                sys.executable,
                Path(__file__).with_name("half_open.py"),
                crowded.address,
                PORT,
                AT_ONCE,
            ],
            stdout=subprocess.PIPE,
        )
        assert flood.stdout.readline() == b"begun\n"
        until(lambda: worker.num_fds() >= before + HALF_OPEN / 2, "a flood")
        start(newcomer, crowded).wait_for("node_up", node=node.name)
        most, until_s = 0, time.monotonic() + WATCHED_S
        while time.monotonic() < until_s:
            most = max(most, worker.num_fds())
            time.sleep(0.02)  # a poll of state that has no event to wait for
        assert most <= before + HALF_OPEN + SPARE
        assert flood.poll() is None
        assert not node.heard("node_down")
        assert not linked.heard("node_down")
