"""A source whose entries expire fails: no node it vouched for is forgotten until it recovers."""

import os
import signal

import pytest
from misbehaving import FORGETS_S, REGISTERED_S
from waiting import next_of, until

from cluster_kit import NodeFound, NodeLost, Reason, Snapshot, TopologyRestarted
from cluster_kit.supervisor.status import State

pytestmark = pytest.mark.once

BOB, CAT, DAN = "bob@127.0.0.1", "cat@127.0.0.1", "dan@127.0.0.1"
STRATEGY = "misbehaving:Registry"


class Registry:
    def __init__(self, path, *names):
        self.path = path
        self.holds(*names)

    def holds(self, *words):
        copy = self.path.with_suffix(".new")
        copy.write_text(" ".join(words))
        copy.replace(self.path)

    @property
    def strategy(self):
        return {"name": STRATEGY, "path": str(self.path)}


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "registry", BOB, CAT)


def looking(bench, *strategies):
    """Start an observing supervisor; return it once bob and cat are known, and its later events."""
    supervisor = bench.start("ann", lan={"strategy": list(strategies), "connector": "none"})
    until(lambda: {BOB, CAT} <= known(supervisor), "the registry to be read")
    events = supervisor.subscribe()
    assert isinstance(events.get(1), Snapshot)
    return supervisor, events


def known(supervisor):
    return {str(node) for node in supervisor.nodes("lan", state="known")}


def faults(supervisor):
    return list(supervisor.status()["lan"].sources.values())


def assert_no_node_is_lost(events, seconds):
    with pytest.raises(TimeoutError):
        next_of(events, NodeLost, timeout_s=seconds)


@pytest.mark.parametrize("word", ["fails", "raises"])
def test_no_node_is_forgotten_while_the_source_fails(bench, registry, word):
    ann, events = looking(bench, registry.strategy)
    registry.holds(word)
    until(lambda: faults(ann)[0], "the fault to be told")
    if word == "raises":
        until(lambda: ann.status()["lan"].state is State.DEGRADED, "it to raise too often")
    assert_no_node_is_lost(events, 3 * REGISTERED_S)
    assert known(ann) == {BOB, CAT}
    registry.holds(BOB)
    lost = next_of(events, NodeLost)
    assert (lost.node.name, lost.reason) == (CAT, Reason.SILENT)
    assert known(ann) == {BOB}
    until(lambda: faults(ann) == [None], "it to work again")


def test_source_that_raises_each_time_it_has_seen_a_node_keeps_the_others(bench, registry):
    ann, events = looking(bench, registry.strategy)
    registry.holds(BOB, "raises")
    until(lambda: faults(ann)[0], "the fault to be told")
    assert_no_node_is_lost(events, 3 * REGISTERED_S)
    assert known(ann) == {BOB, CAT}


def test_sources_that_work_still_forget(bench, registry, tmp_path):
    other = Registry(tmp_path / "other", CAT, DAN)
    ann, events = looking(bench, registry.strategy, other.strategy)
    until(lambda: DAN in known(ann), "the other registry to be read")
    registry.holds("fails")
    until(lambda: faults(ann)[0], "the fault to be told")
    other.holds()
    assert next_of(events, NodeLost, timeout_s=30).node.name == DAN
    assert_no_node_is_lost(events, 2 * REGISTERED_S)
    assert known(ann) == {BOB, CAT}


def test_worker_replaced_while_the_source_fails_forgets_no_node(bench, registry):
    ann, events = looking(bench, registry.strategy, "misbehaving:ForgetsSoon")
    registry.holds("fails")
    until(lambda: faults(ann)[0], "the fault to be told")
    os.kill(ann.status()["lan"].pid, signal.SIGKILL)
    next_of(events, TopologyRestarted)
    until(lambda: faults(ann)[0], "the successor to tell it")
    assert_no_node_is_lost(events, 2 * FORGETS_S)
    registry.holds(BOB, DAN)
    next_of(events, NodeFound, node=DAN)
    assert next_of(events, NodeLost).node.name == CAT
    assert known(ann) == {BOB, DAN}
