"""A cluster inside a plain script: be a node, and hear who else is there.

Run it in two terminals, each time with another name. Each prints that the other joined; end one with Ctrl-C, and the other prints
that it left::

    python examples/embed.py a
    python examples/embed.py b

There is no ``if __name__ == "__main__"`` to remember: workers don't import this script.
"""

import sys
from contextlib import suppress

from cluster_kit import NodeDown, NodeUp, Supervisor

config = {
    "node": f"{sys.argv[1]}@127.0.0.1",
    "cluster": "embed-example",
    "topologies": {"lan": {"strategy": "gossip"}},
}

with suppress(KeyboardInterrupt), Supervisor(config) as cluster:
    print("I am", cluster.local.name, flush=True)
    for event in cluster.subscribe():
        match event:
            case NodeUp(node=node):
                print(node.name, "joined", flush=True)
            case NodeDown(node=node, reason=reason):
                print(node.name, "is down:", reason, flush=True)
