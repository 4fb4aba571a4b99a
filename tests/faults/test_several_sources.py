"""One topology, several strategies: any source keeps a node known; a failing one removes none."""

import os
import signal
import socket

import pytest
from misbehaving import FORGETS_S
from waiting import next_of, until

from cluster_kit import NodeDown, NodeFound, NodeLost, NodeUp, Reason, Snapshot, TopologyRestarted
from cluster_kit.strategies.hosts_file import HostsFileStrategy
from cluster_kit.strategies.static import StaticStrategy
from cluster_kit.supervisor.status import State

pytestmark = pytest.mark.once

BOB = "bob@127.0.0.1:45002"
CAT = "cat@127.0.0.1:45003"
DAN = "dan@127.0.0.1:45004"
EVE = "eve@127.0.0.1:45005"


def name_of(entry):
    return entry.rpartition(":")[0]


class HostsFile:
    """A file that is replaced as a whole."""

    def __init__(self, path, *entries):
        self.path = path
        self.holds(*entries)

    def holds(self, *entries):
        self.write("# who is there\n" + "".join(f"{entry}\n" for entry in entries))

    def write(self, text):
        copy = self.path.with_suffix(".new")
        copy.write_text(text)
        copy.replace(self.path)

    @property
    def strategy(self):
        return {"name": "hosts_file", "path": str(self.path), "interval_s": 0.05}


@pytest.fixture
def one(tmp_path):
    return HostsFile(tmp_path / "one", BOB, CAT)


@pytest.fixture
def two(tmp_path):
    return HostsFile(tmp_path / "two", BOB, DAN)


def known(supervisor):
    return {str(node) for node in supervisor.nodes("lan", state="known")}


def sources(supervisor):
    return dict(supervisor.status()["lan"].sources)


def losses(events):
    """Return the names of those lost so far, in order."""
    lost = []
    while events.queued:
        event = events.get()
        if isinstance(event, NodeLost):
            lost.append(str(event.node))
    return lost


def looking(bench, *strategies, **keys):
    """Start an observing supervisor; return it and its events once each file has a known node."""
    supervisor = bench.start("ann", lan={"strategy": list(strategies), "connector": "none", **keys})
    until(lambda: {name_of(CAT), name_of(DAN)} <= known(supervisor), "both files to be read")
    events = supervisor.subscribe()
    assert isinstance(events.get(1), Snapshot)
    return supervisor, events


# -- a node is known while any source vouches for it -----------------------------------------------


def test_node_is_lost_when_the_last_source_that_vouched_takes_it_back(bench, one, two):
    ann, events = looking(bench, one.strategy, two.strategy)
    assert known(ann) == {name_of(entry) for entry in (BOB, CAT, DAN)}
    one.holds(CAT, EVE)
    next_of(events, NodeFound, node=name_of(EVE))
    assert name_of(BOB) in known(ann)
    two.holds(DAN)
    assert next_of(events, NodeLost).node.name == name_of(BOB)
    assert known(ann) == {name_of(entry) for entry in (CAT, DAN, EVE)}


def test_order_in_which_they_take_it_back_does_not_matter(bench, one, two):
    ann, events = looking(bench, one.strategy, two.strategy)
    two.holds(DAN, EVE)
    next_of(events, NodeFound, node=name_of(EVE))
    assert name_of(BOB) in known(ann)
    one.holds(CAT)
    lost = next_of(events, NodeLost)
    assert (lost.node.name, lost.reason) == (name_of(BOB), Reason.GONE)


def test_broken_source_loses_no_node_and_the_other_goes_on(bench, one, two):
    ann, events = looking(bench, one.strategy, two.strategy)
    one.write(f"{CAT}\nbob@127.0.0.1\n")
    until(lambda: sources(ann)["hosts_file"], "the fault to be told")
    assert f"{one.path}:2: cannot use 'bob@127.0.0.1'" in sources(ann)["hosts_file"]
    assert sources(ann)["hosts_file#2"] is None
    two.holds(EVE)  # dan is gone at once, bob is kept by the broken file
    assert next_of(events, NodeLost).node.name == name_of(DAN)
    next_of(events, NodeFound, node=name_of(EVE))
    assert known(ann) == {name_of(entry) for entry in (BOB, CAT, EVE)}
    one.holds(CAT)
    assert next_of(events, NodeLost).node.name == name_of(BOB)
    until(lambda: sources(ann) == {"hosts_file": None, "hosts_file#2": None}, "both to work")


def test_no_node_is_lost_when_all_sources_are_broken(bench, one, two):
    ann, events = looking(bench, one.strategy, two.strategy)
    one.path.unlink()
    two.write("")
    until(lambda: all(sources(ann).values()), "both to fail")
    assert "no such file" in sources(ann)["hosts_file"]
    assert "is empty" in sources(ann)["hosts_file#2"]
    assert known(ann) == {name_of(entry) for entry in (BOB, CAT, DAN)}
    assert losses(events) == []
    assert ann.status()["lan"].state is State.READY


def test_node_known_by_its_address_here_and_its_name_there_is_one(bench, one, two):
    ann, events = looking(bench, one.strategy, two.strategy)
    address = BOB.partition("@")[2]
    one.holds(CAT, EVE, address)
    next_of(events, NodeFound, node=name_of(EVE))
    assert address not in known(ann)
    two.holds(DAN)
    next_of(events, NodeFound, node=address)  # it is still vouched for, as far as anybody says
    one.holds(CAT)
    next_of(events, NodeLost, node=address)


def test_strategy_that_raises_keeps_what_it_had_reported_and_disturbs_no_other(bench, one, two):
    raising = {
        "name": "misbehaving:RaisesOnThirdAnswer",
        "peer": "peer@127.0.0.1",
        "address": "127.0.0.1:45009",
    }
    ann, events = looking(bench, one.strategy, raising, two.strategy)
    until(lambda: ann.status()["lan"].state is State.DEGRADED, "it to raise too often")
    assert "one too many" in sources(ann)["misbehaving:RaisesOnThirdAnswer#2"]
    assert (sources(ann)["hosts_file"], sources(ann)["hosts_file#3"]) == (None, None)
    two.holds(DAN, EVE)
    next_of(events, NodeFound, node=name_of(EVE))
    assert "peer@127.0.0.1" in known(ann)
    assert losses(events) == []


def test_never_prune_holds_for_all_sources(bench, one, two):
    _, events = looking(bench, one.strategy, two.strategy, prune=False)
    one.holds(EVE)
    next_of(events, NodeFound, node=name_of(EVE))
    two.write("# nobody\n")
    one.holds("fay@127.0.0.1:45009")
    next_of(events, NodeFound, node="fay@127.0.0.1")
    assert losses(events) == []


def test_worker_killed_while_a_source_is_broken_loses_no_node(bench, one, two):
    """The successor keeps the inherited nodes as long as a source fails, and no longer."""
    ann, events = looking(bench, one.strategy, two.strategy, "misbehaving:ForgetsSoon")
    one.write("web\n")
    until(lambda: sources(ann)["hosts_file"], "the fault to be told")
    os.kill(ann.status()["lan"].pid, signal.SIGKILL)
    next_of(events, TopologyRestarted)
    until(lambda: sources(ann)["hosts_file"], "the successor to tell it")
    with pytest.raises(TimeoutError):
        next_of(events, NodeLost, timeout_s=2 * FORGETS_S)
    assert name_of(CAT) in known(ann)
    one.holds(BOB)
    assert next_of(events, NodeLost).node.name == name_of(CAT)


# -- every form of a strategy ----------------------------------------------------------------------


def test_every_form_may_stand_in_a_list(bench, one, two):
    strategies = [
        "gossip",
        one.strategy,
        {"name": HostsFileStrategy, "path": two.path, "interval_s": 0.05},
        StaticStrategy(nodes=(EVE,)),
    ]
    ann, _ = looking(bench, *strategies)
    until(
        lambda: known(ann) == {name_of(entry) for entry in (BOB, CAT, DAN, EVE)},
        "all sources to be heard",
    )
    assert list(sources(ann)) == [
        "gossip",
        "hosts_file#2",
        "cluster_kit.strategies.hosts_file:HostsFileStrategy#3",
        "cluster_kit.strategies.static:StaticStrategy#4",
    ]


# -- with links ------------------------------------------------------------------------------------


def a_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_gossip_and_a_file_together(bench, one):
    """A node leaves in gossip, stays in the file, returns; the file breaks, then drops it."""
    port = a_port()
    one.holds(f"bob@127.0.0.1:{port}")
    strategies = {"strategy": ["gossip", one.strategy]}
    ann = bench.start("ann", lan=strategies)
    events = ann.subscribe()
    bob = bench.start("bob", lan=strategies | {"connector": {"name": "tcp", "port": port}})
    next_of(events, NodeUp, node="bob@127.0.0.1")
    bob.wait_for(2, timeout_s=30)
    bob.stop()
    assert next_of(events, NodeDown, node="bob@127.0.0.1").reason is Reason.LEFT
    assert known(ann) == {"bob@127.0.0.1"}  # as the file says
    again = bench.start("bob", lan=strategies | {"connector": {"name": "tcp", "port": port}})
    next_of(events, NodeUp, node="bob@127.0.0.1")
    again.wait_for(2, timeout_s=30)
    one.write("")
    until(lambda: sources(ann)["hosts_file#2"], "the fault to be told")
    assert sources(ann)["gossip"] is None
    one.holds("ann@127.0.0.1:1")
    until(lambda: sources(ann)["hosts_file#2"] is None, "the file to be read")
    assert known(ann) == {"bob@127.0.0.1"}  # as gossip says
    assert [str(node) for node in ann.nodes("lan")] == ["bob@127.0.0.1"]
    assert losses(events) == []
    again.stop()
    assert next_of(events, NodeLost, node="bob@127.0.0.1").reason is Reason.LEFT


def test_node_that_is_in_the_file_alone_is_linked_to_and_let_go(bench, one, two):
    """It does no multicast and lists nobody: the file finds it, and it learns of us by the link."""
    port = a_port()
    bob = bench.start(
        "bob", lan={"strategy": two.strategy, "connector": {"name": "tcp", "port": port}}
    )
    two.write("# nobody\n")
    one.holds(f"127.0.0.1:{port}")
    ann = bench.start("ann", lan={"strategy": [one.strategy, "gossip"]})
    events = ann.subscribe()
    next_of(events, NodeUp, node="bob@127.0.0.1")
    bob.wait_for(2, timeout_s=30)
    one.write("# nobody\n")
    next_of(events, NodeDown, node="bob@127.0.0.1")
    until(lambda: known(ann) == set(), "bob to be forgotten")
