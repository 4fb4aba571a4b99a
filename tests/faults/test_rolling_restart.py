"""Five nodes restart in turn: no link between others breaks, and no dial to a ready node fails."""

import logging
import re

import pytest
from waiting import until

from cluster_kit.events import NodeDown, NodeLeaving, NodeUp

pytestmark = pytest.mark.once

NAMES = ("a", "b", "c", "d", "e")


def test_rolling_restart_does_not_disturb_other_nodes(bench, caplog):
    caplog.set_level(logging.DEBUG, logger="cluster_kit")
    nodes = {name: bench.start(name) for name in NAMES}
    for node in nodes.values():
        node.wait_for(5, timeout_s=60)
    for name in NAMES:
        caplog.clear()
        others = {other: nodes[other].subscribe() for other in NAMES if other != name}
        nodes[name].drain()
        heard = {other: events_until(events, NodeLeaving, name) for other, events in others.items()}
        nodes[name].stop()
        nodes[name] = bench.start(name)
        for other, events in others.items():
            heard[other] += events_until(events, NodeUp, name)
        nodes[name].wait_for(5, timeout_s=60)
        for other, events in heard.items():
            changes = [each for each in events if isinstance(each, NodeLeaving | NodeDown | NodeUp)]
            assert [(type(each), str(each.node)) for each in changes] == [
                (NodeLeaving, f"{name}@127.0.0.1"),
                (NodeDown, f"{name}@127.0.0.1"),
                (NodeUp, f"{name}@127.0.0.1"),
            ], f"seen by {other}"
            assert changes[1].reason == "left"
        assert failed_links(caplog) <= {f"{name}@127.0.0.1"}  # while it was away
    until(lambda: all(len(node.nodes()) == 4 for node in nodes.values()), "all are linked with all")


def events_until(subscription, kind, name, timeout_s=60.0):
    """Return the events up to the one of class ``kind`` about ``name``."""
    events = [subscription.get(timeout_s)]
    while not (isinstance(events[-1], kind) and str(events[-1].node) == f"{name}@127.0.0.1"):
        events.append(subscription.get(timeout_s))
        assert events[-1] is not None, f"subscription ended before {kind.__name__} of {name}"
    return events


def failed_links(caplog):
    """Return from the workers' logs whose links failed; crossing dials count as one."""
    lines = [
        record.getMessage()
        for record in caplog.records
        if "the other connection is used" not in record.getMessage()
    ]
    found = (re.search(r"cannot link to (\S+?)(?: at \S+)?:", line) for line in lines)
    return {match[1] for match in found if match}
