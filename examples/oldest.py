"""A leader without an election: whoever has been running longest.

Run it in three terminals, each time with another name. All name the same leader; end that one, and the others name the next::

    python examples/oldest.py a

Everybody decides alone, by what the others' metadata say of their start. That is enough for chores that do no harm when they
are done twice, because while the network is parted each part has a leader of its own. Where that may never be, take a lock in
a store that has consensus.
"""

import sys
import time
from contextlib import suppress

from cluster_kit import Supervisor

config = {
    "node": f"{sys.argv[1]}@127.0.0.1",
    "cluster": "oldest-example",
    "metadata": {"started": f"{time.time_ns():020}"},  # text of one length sorts as the numbers do
    "topologies": {"lan": {"strategy": "gossip"}},
}

leader = None
with suppress(KeyboardInterrupt), Supervisor(config) as cluster:
    for _ in cluster.subscribe():  # the first event is a snapshot; after each the answer may be another
        oldest = min([cluster.local, *cluster.nodes()], key=lambda node: (node.metadata["started"], node.name))
        if oldest.name != leader:
            leader = oldest.name
            print("leader:", "myself" if leader == cluster.local.name else leader, flush=True)
