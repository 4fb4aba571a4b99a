"""The third node of the phone book, as a script: its dict holds the classes, not their names.

Run it from this folder beside the nodes of ``cluster.yaml``; it links to ``b`` alone, because the
topology is a chain::

    python app.py
"""

import os
from contextlib import suppress
from pathlib import Path

from homemade import Chain, PhoneBook

from cluster_kit import Snapshot, Supervisor

config = {
    "node": "c@127.0.0.1",
    "cluster": "homemade",
    "topologies": {
        "line": {
            "strategy": PhoneBook(path=Path(os.environ.get("PHONE_BOOK", "phonebook.txt"))),
            "connector": {"name": "tcp", "port": int(os.environ.get("PORT", "7103"))},
            "topology": Chain,
        }
    },
}

with suppress(KeyboardInterrupt), Supervisor(config) as cluster:
    for event in cluster.subscribe():
        nodes = event.up if isinstance(event, Snapshot) else [getattr(event, "node", "")]
        print(type(event).__name__, *nodes, flush=True)
