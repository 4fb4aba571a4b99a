"""With connector ``none``, what discovery knows of an up node is shown; changes are events."""

import os
import signal

import pytest
from waiting import next_of, until

from cluster_kit import NodeDown, NodeUp, NodeUpdated, Reason

pytestmark = pytest.mark.once

B = "b@127.0.0.1"


def by_gossip():
    return {"lan": {"strategy": "gossip", "connector": "none"}}


def test_metadata_that_changes_reaches_the_others(bench):
    a, b = bench.start("a", **by_gossip()), bench.start("b", **by_gossip())
    a.wait_for(2, timeout_s=30)
    with a.subscribe() as events:
        for zone in "xyz":
            b.update_metadata({"zone": zone})
            assert next_of(events, NodeUpdated, node=B).node.metadata == {"zone": zone}
    assert [dict(node.metadata) for node in a.nodes()] == [{"zone": "z"}]


def test_run_that_takes_the_place_of_a_killed_one_is_down_and_up(bench):
    a, b = bench.start("a", **by_gossip()), bench.start("b", **by_gossip())
    a.wait_for(2, timeout_s=30)
    [before] = a.nodes()
    with a.subscribe() as events:
        os.kill(b.status()["lan"].pid, signal.SIGKILL)
        down = next_of(events, NodeDown, node=B)
        assert (down.node.boot_id, down.reason) == (before.boot_id, Reason.REPLACED)
        now = next_of(events, NodeUp, node=B).node
    assert now.boot_id > before.boot_id
    until(
        lambda: a.nodes() == a.nodes(state="known") == (now,), "the new run to be shown everywhere"
    )


@pytest.mark.parametrize("connector", ["none", "callback"])
def test_node_without_a_boot_id_is_another_run_at_another_address(bench, tmp_path, connector):
    hosts = tmp_path / "hosts"

    def says(address):
        copy = hosts.with_suffix(".new")
        copy.write_text(f"b@{address}\n")
        copy.replace(hosts)

    says("127.0.0.1:4001")
    links = (
        {"connector": "none"}
        if connector == "none"
        else {"connect": "misbehaving:links_to_anybody"}
    )
    a = bench.start(
        "a",
        lan={"strategy": {"name": "hosts_file", "path": str(hosts), "interval_s": 0.05}, **links},
    )
    a.wait_for(2, timeout_s=30)
    with a.subscribe() as events:
        says("127.0.0.1:4002")
        down = next_of(events, NodeDown, node=B)
        assert (down.node.address, down.reason) == ("127.0.0.1:4001", Reason.REPLACED)
        assert next_of(events, NodeUp, node=B).node.address == "127.0.0.1:4002"
    until(
        lambda: [node.address for node in a.nodes(state="known")] == ["127.0.0.1:4002"],
        "the new address to be known",
    )
    assert [node.address for node in a.nodes()] == ["127.0.0.1:4002"]
