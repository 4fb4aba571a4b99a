"""The state of the running supervisors, as ``cluster-kit status`` prints it."""

import json

from cli_process import cluster_kit

GOSSIP = {"topologies": {"lan": {"strategy": "gossip"}}}


def statuses(*arguments):
    """Return the status of each supervisor that the arguments choose, or of all."""
    done = cluster_kit("status", "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]
