"""Real supervisors with real workers, stopped at the end of each test."""

import secrets
import time

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


def until(condition, what, timeout_s=30.0):
    """Wait until ``condition()`` is true; fail with ``what`` if it does not become so."""
    deadline_s = time.monotonic() + timeout_s
    while not (result := condition()):
        assert time.monotonic() < deadline_s, f"not seen within {timeout_s:g} s: {what}"
        time.sleep(0.02)  # a poll of state that has no event to wait for
    return result


def next_of(subscription, kind, timeout_s=30.0, **attributes):
    """Return the next event of class ``kind`` with these attributes, and skip what comes before it."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        event = subscription.get(max(0.01, deadline_s - time.monotonic()))
        assert event is not None, f"subscription ended before {kind.__name__} {attributes}"
        if isinstance(event, kind) and all(str(getattr(event, k)) == str(v) for k, v in attributes.items()):
            return event
