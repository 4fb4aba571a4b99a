"""Events as lines: every kind of event has its JSON object and its sentence."""

import json

import pytest

from cluster_kit import events
from cluster_kit.cli.event_lines import as_json, as_text
from cluster_kit.events import (
    Event,
    NodeDown,
    NodeFound,
    NodeLeaving,
    NodeLost,
    NodeUp,
    NodeUpdated,
    Reason,
    Snapshot,
    TopologyDegraded,
    TopologyEvent,
    TopologyReady,
    TopologyRecovered,
    TopologyRestarted,
)
from cluster_kit.node import Node

B = Node("b@h", "10.0.0.2:7", {"zone": "x"})
NAMED = {"node": "b@h", "address": "10.0.0.2:7", "metadata": {"zone": "x"}}
COMMON = {"topology": "lan", "seq": 3, "t": 0.25}

CASES = [
    (NodeFound(**COMMON, node=B), "node_found", NAMED, "found b@h at 10.0.0.2:7 (zone=x)"),
    (
        NodeLost(**COMMON, node=B, reason=Reason.GONE),
        "node_lost",
        NAMED | {"reason": "gone"},
        "lost b@h: gone",
    ),
    (NodeUp(**COMMON, node=B), "node_up", NAMED, "b@h is up at 10.0.0.2:7 (zone=x)"),
    (
        NodeDown(**COMMON, node=B, reason=Reason.SILENT),
        "node_down",
        NAMED | {"reason": "silent"},
        "b@h is down: silent",
    ),
    (NodeUpdated(**COMMON, node=B), "node_updated", NAMED, "b@h changed at 10.0.0.2:7 (zone=x)"),
    (NodeLeaving(**COMMON, node=B), "node_leaving", NAMED, "b@h is about to leave"),
    (TopologyReady(**COMMON, address="h:1"), "ready", {"address": "h:1"}, "ready at h:1"),
    (TopologyReady(**COMMON, address=None), "ready", {"address": None}, "ready"),
    (
        TopologyDegraded(**COMMON, error="why"),
        "topology_degraded",
        {"error": "why"},
        "degraded: why",
    ),
    (TopologyRecovered(**COMMON), "topology_recovered", {}, "recovered"),
    (
        TopologyRestarted(**COMMON, error="why", restarts=2),
        "topology_restarted",
        {"error": "why", "restarts": 2},
        "worker replaced (restart 2): why",
    ),
    (
        TopologyEvent(**COMMON, kind="k", data={"a": 1}),
        "topology_event",
        {"kind": "k", "data": {"a": 1}},
        "k {'a': 1}",
    ),
    (
        Snapshot(**COMMON, known=(B,), up=(B,)),
        "snapshot",
        {"known": ["b@h"], "up": ["b@h"]},
        "fell behind, some events were skipped; up now: b@h",
    ),
]


def test_every_event_has_its_case():
    kinds = {
        value
        for value in vars(events).values()
        if isinstance(value, type) and issubclass(value, Event)
    }
    assert kinds - {Event} == {type(event) for event, *_ in CASES}


@pytest.mark.parametrize(
    ("event", "kind", "members", "_"),
    CASES,
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_json_has_the_common_members_and_its_own(event, kind, members, _):
    assert json.loads(as_json(event)) == {"t": 0.25, "event": kind, "topology": "lan"} | members


@pytest.mark.parametrize(("event", "_", "__", "sentence"), CASES)
def test_text_is_a_sentence_with_time_and_topology(event, _, __, sentence):
    clock, rest = as_text(event).split(" ", 1)
    assert clock.endswith(":00.250")
    assert rest == f"lan: {sentence}"


def test_metadata_can_t_move_the_cursor_nor_make_lines_of_its_own():
    node = Node(
        "b@h",
        metadata={
            "zone": "\x1b[2J\x1b]0;x\x07",
            "rack": "r1\n12:00:00.000 lan: a@h is up",
            "name": "\u202eabc",
        },
    )
    line = as_text(NodeFound(**COMMON, node=node))
    assert line.isprintable()
    assert "zone=\\x1b[2J\\x1b]0;x\\x07" in line


def test_bytes_become_text():
    event = TopologyEvent(**COMMON, kind="k", data=[b"ab\xff"])
    assert json.loads(as_json(event))["data"] == ["ab\\xff"]


def test_json_is_one_line():
    assert "\n" not in as_json(TopologyDegraded(**COMMON, error="two\nlines"))
