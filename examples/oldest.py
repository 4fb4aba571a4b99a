"""One of many does the chore: the one that has been running longest.

Run it in three terminals, each time with another name. The first one is on duty; end it, and the
next oldest takes over::

    python examples/oldest.py a

While the network is parted, each part has a node on duty, which is enough for chores that do no
harm when they are done twice. With ``min_nodes``, more than half of all nodes there are, only one
part has. Where two may never do it, not even for the moment that it takes to notice a cut, take a
lease in a store that has consensus.
"""

import sys
from contextlib import suppress

from cluster_kit import Supervisor

config = {
    "node": f"{sys.argv[1]}@127.0.0.1",
    "cluster": "oldest-example",
    "topologies": {"lan": {"strategy": "gossip"}},
}

with suppress(KeyboardInterrupt), Supervisor(config) as cluster:
    while True:
        print("waiting", flush=True)
        with cluster.once("chore") as duty:
            print("on duty", flush=True)
            while duty.wait(1):
                print("working, for all of:", *cluster.nodes(), flush=True)
