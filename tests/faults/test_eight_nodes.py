"""Eight nodes by gossip on loopback: all others report each change of one exactly once."""

import signal

import pytest
from cli_process import Cluster

pytestmark = pytest.mark.once

NAMES = [f"n{number}" for number in range(1, 9)]
LINKS = ("node_up", "node_down")


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path) as cluster:
        yield cluster


def full(name):
    return f"{name}@127.0.0.1"


def linked(nodes):
    """Wait until every node has reported a link to every other, and check that that is all."""
    others = len(nodes) - 1
    for name, node in nodes.items():
        node.until(lambda node=node: len(node.heard(*LINKS)) >= others, "a full mesh")
        assert sorted(node.heard(*LINKS)) == sorted(
            ("node_up", full(other)) for other in nodes if other != name
        )


def reported_by_all(nodes, event, name, *, before):
    """Check that ``event`` is all the others report after ``before``; return their reasons."""
    for observer, node in nodes.items():
        node.until(
            lambda node=node, n=before[observer]: len(node.heard(*LINKS)) > n, f"{event} of {name}"
        )
        assert node.heard(*LINKS)[before[observer] :] == [(event, full(name))]
    return {node.wait_for(event, node=full(name)).get("reason") for node in nodes.values()}


def so_far(nodes):
    return {name: len(node.heard(*LINKS)) for name, node in nodes.items()}


def test_everything_that_happens_is_reported_exactly_once(cluster):
    nodes = {name: cluster.run(name) for name in NAMES}
    linked(nodes)

    before = so_far(nodes)
    newcomer = cluster.run("n9")
    reported_by_all(nodes, "node_up", "n9", before=before)
    newcomer.until(lambda: len(newcomer.heard(*LINKS)) >= 8, "the newcomer links to all")
    nodes["n9"] = newcomer

    killed = nodes.pop("n8")
    before = so_far(nodes)
    killed.signal_all(signal.SIGKILL)
    assert reported_by_all(nodes, "node_down", "n8", before=before) == {"closed"}

    frozen = nodes.pop("n7")
    before = so_far(nodes)
    frozen.signal_all(signal.SIGSTOP)
    assert reported_by_all(nodes, "node_down", "n7", before=before) == {"silent"}
    before = so_far(nodes)
    frozen.signal_all(signal.SIGCONT)
    reported_by_all(nodes, "node_up", "n7", before=before)
    frozen.until(
        lambda: len(frozen.heard("node_up")) == 7 + 1 + 7, "the thawed node links to all again"
    )
    nodes["n7"] = frozen

    leaving = nodes.pop("n6")
    before = so_far(nodes)
    leaving.signal(signal.SIGTERM)
    assert reported_by_all(nodes, "node_down", "n6", before=before) == {"left"}
    assert leaving.wait() == 0

    for name in sorted(nodes):
        nodes[name].signal(signal.SIGTERM)
    assert [node.wait() for node in nodes.values()] == [0] * 7
    assert [node.errors for node in nodes.values()] == [[]] * 7
