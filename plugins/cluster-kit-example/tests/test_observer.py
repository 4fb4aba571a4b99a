"""The observer logs who joins and leaves, and what needs attention."""

import logging

import pytest

from cluster_kit import Node, NodeFound, Reason, TopologyDegraded
from cluster_kit_example import hooks

DAN = Node(name="dan@127.0.0.1")


@pytest.fixture(autouse=True)
def _everything(caplog):
    caplog.set_level(logging.DEBUG)


def test_join_is_logged(caplog):
    hooks.cluster_kit_node_up("lan", DAN)
    assert caplog.messages == ["lan: dan@127.0.0.1 joined"]


def test_leave_is_logged_with_its_reason(caplog):
    hooks.cluster_kit_node_down("lan", DAN, Reason.SILENT)
    assert caplog.messages == ["lan: dan@127.0.0.1 is gone (silent)"]


def test_trouble_is_a_warning(caplog):
    hooks.cluster_kit_event(TopologyDegraded(topology="lan", error="boom"))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "lan: degraded: boom")
    ]


def test_other_events_pass_by(caplog):
    hooks.cluster_kit_event(NodeFound(topology="lan", node=DAN))
    assert not caplog.records
