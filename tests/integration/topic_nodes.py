"""Real nodes of one cluster, whose topics exist before the nodes start."""

import secrets
from contextlib import ExitStack

from cluster_kit import Supervisor

DEADLINE_S = 30


class Nodes(ExitStack):
    """Makes the nodes of a cluster that is closed to all others, and stops them at the end."""

    def __init__(self):
        super().__init__()
        self._cluster = f"test-{secrets.token_hex(6)}"
        self._secret = secrets.token_hex(32)

    def config(self, name, **topologies):
        gossip = {"lan": {"strategy": "gossip"}}
        return {
            "node": f"{name}@127.0.0.1",
            "cluster": self._cluster,
            "secret": self._secret,
            "topologies": topologies or gossip,
        }

    def make(self, name, **topologies):
        """Return a node that has not started, so that it can subscribe before it is linked."""
        supervisor = Supervisor(self.config(name, **topologies))
        self.callback(supervisor.stop)
        return supervisor

    def start(self, *supervisors):
        """Start nodes, and return them once they are linked to one another."""
        for each in supervisors:
            each.start()
        for each in supervisors:
            each.wait_for(len(supervisors), timeout_s=DEADLINE_S)
        return supervisors


def read(subscription, count):
    return [subscription.get(DEADLINE_S) for _ in range(count)]
