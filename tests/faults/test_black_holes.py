"""Peers beside a thousand addresses that never answer: the dead must not hold up the living."""

import contextlib
import socket

import pytest
from waiting import next_of

from cluster_kit import NodeDown, NodeUp, Supervisor

pytestmark = pytest.mark.once

HOLES = 1_000
PATIENCE_S = 90  # of each dial: whoever had to wait for these would wait for a quarter of an hour


@pytest.fixture
def black_holes():
    """Return addresses at which the kernel drops every SYN, because the listen queue is full."""
    with contextlib.ExitStack() as stack:
        hole = stack.enter_context(socket.socket())
        hole.bind(("0.0.0.0", 0))
        hole.listen(0)
        port = hole.getsockname()[1]
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filling.connect(("127.0.0.1", port))
        yield [f"127.1.{number // 250}.{number % 250 + 1}:{port}" for number in range(HOLES)]


@pytest.fixture
def port():
    with socket.socket() as sock:
        sock.bind(("127.9.9.9", 0))
        return sock.getsockname()[1]


def config(cluster, name, nodes, port=0):
    lan = {
        "strategy": {"name": "static", "nodes": nodes},
        "connector": {"name": "tcp", "port": port},
    }
    return {
        "node": name,
        "cluster": cluster,
        "topologies": {"lan": lan | {"connect_timeout_s": PATIENCE_S}},
    }


def test_living_peer_is_linked_and_linked_again(bench, black_holes, port):
    seeds = [*black_holes, f"127.9.9.9:{port}"]  # the living one is the last by any order
    events = (seeker := Supervisor(config(bench.cluster, "a@127.0.0.1", seeds))).subscribe()
    with seeker:
        for _ in range(2):
            with Supervisor(config(bench.cluster, "z@127.9.9.9", [], port)):
                next_of(events, NodeUp, node="z@127.9.9.9")
            next_of(events, NodeDown, node="z@127.9.9.9")
