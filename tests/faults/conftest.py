"""Real supervisors with real workers, stopped at the end of each test."""

import secrets

import pytest

from cluster_kit import Supervisor


class Bench:
    """Makes supervisors that belong to one cluster of their own."""

    def __init__(self):
        self.cluster = f"test-{secrets.token_hex(6)}"
        self.running = []

    def config(self, name, **topologies):
        return {
            "node": f"{name}@127.0.0.1",
            "cluster": self.cluster,
            "topologies": topologies or {"lan": {"strategy": "gossip"}},
        }

    def start(self, name, **topologies):
        supervisor = Supervisor(self.config(name, **topologies))
        self.running.append(supervisor)
        return supervisor.start()

    def stop(self):
        for supervisor in reversed(self.running):
            supervisor.stop()


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    bench.stop()
