"""A cluster inside a plain script: be a node, and learn who else is there.

Run it in two terminals, each time with another name. Each reports the other; end one with Ctrl-C,
and the other reports that it left::

    python examples/embed.py a
    python examples/embed.py b

On loopback it needs no secret. With ``CLUSTER_KIT_SECRET`` in both terminals, as ``cluster-kit
secret`` makes one, no other user of this machine can join.

There is no ``if __name__ == "__main__"`` to remember: workers don't import this script.
"""

import sys
from contextlib import suppress

from cluster_kit import NodeDown, NodeUp, Snapshot, Supervisor

config = {
    "node": f"{sys.argv[1]}@127.0.0.1",
    "cluster": "embed-example",
    "topologies": {"lan": {"strategy": "gossip"}},
}

with suppress(KeyboardInterrupt), Supervisor(config) as cluster:
    print("I am", cluster.local.name, flush=True)
    for event in cluster.subscribe():
        match event:
            case Snapshot(up=nodes):  # how things stand; what follows are changes of it
                print("here already:", *nodes, flush=True)
            case NodeUp(node=node):
                print("joined:", node, flush=True)
            case NodeDown(node=node, reason=reason):
                print(f"{reason}:", node, flush=True)
