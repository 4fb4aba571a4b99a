"""One node with a wrong secret among real ones: both sides report it, once a minute.

By gossip each names the other with its address. Over a link, the dialler names its peer. The
dialled node knows an address and no name, since TLS ends before a dialler that doesn't trust it has
shown anything of itself.

``tox -e attacks`` waits for the second minute as well.
"""

import itertools
import re
from collections import Counter

import pytest
from waiting import until
from watched import FULL, Recorder, Watched, free_port

pytestmark = [pytest.mark.once, pytest.mark.timeout(300)]

WITHIN_S = 60.0
HEARTBEATS = 4  # of each node after the first warning, none of which may cause another warning


@pytest.fixture
def watched(caplog):
    with Watched(caplog) as watched:
        yield watched


def warnings_of(caplog, pattern):
    """Return when each node warned of each other one that ``pattern`` finds in its words."""
    found = {}
    for record in caplog.records:
        if match := re.search(pattern, record.getMessage()):
            found.setdefault((record.node, match[1]), []).append(record.created)
    return found


def pairs(watched, right, wrong):
    """Return which nodes have to warn of which."""
    names, eve = [watched.name(number) for number in right], watched.name(wrong)
    return {(name, eve) for name in names} | {(eve, name) for name in names}


def comes_back_each_minute(caplog, pattern, expected):
    """In the full attack, wait for each one's second warning; there is at most one a minute."""
    if FULL:
        until(
            lambda: all(len(warnings_of(caplog, pattern)[pair]) > 1 for pair in expected),
            "the second warnings",
            2 * WITHIN_S,
        )
    for times in warnings_of(caplog, pattern).values():
        assert all(later - earlier > 59 for earlier, later in itertools.pairwise(times))


def test_gossip_says_so_at_both_ends_by_name_and_address(watched, caplog):
    pattern = r"gossip: (\S+@(\S+)) at \2: its secret differs from this node's"
    expected = pairs(watched, (1, 2, 3), wrong=4)
    with Recorder(watched.port) as recorder:
        watched.form(1, 2, 3)
        watched.start(4, secret="a guess")
        until(
            lambda: expected <= warnings_of(caplog, pattern).keys(),
            "both sides to say so",
            WITHIN_S,
        )

        def beats():
            return Counter(host for _, (host, _) in recorder.heard)

        first = beats()
        until(
            lambda: all(beats()[host] >= first[host] + HEARTBEATS for host in first), "heartbeats"
        )
    assert warnings_of(caplog, pattern).keys() == expected
    comes_back_each_minute(caplog, pattern, expected)
    for number in (1, 2, 3):
        assert len(watched.nodes[watched.name(number)].nodes()) == 2
    assert not watched.nodes[watched.name(4)].nodes(state="known")


def test_dialler_reports_name_and_address_and_dialled_node_the_address(watched, caplog):
    dialled, dialler = watched.name(1), watched.name(2)
    ann = watched.start(1, {"name": "static", "nodes": []})
    until(lambda: watched.addresses()[dialled], "it listens")
    address = watched.addresses()[dialled]
    entry = f"n1@{address}"
    watched.start(2, {"name": "static", "nodes": [entry]}, secret="a guess")
    by_name = rf"cannot link to '(n1@\S+)' at '{re.escape(address)}': it does not hold our secret"
    by_address = r"refused the node at (127\.0\.0\.\d+): it does not accept our secret"
    until(
        lambda: warnings_of(caplog, by_name) and warnings_of(caplog, by_address),
        "both sides to say so",
        WITHIN_S,
    )
    assert warnings_of(caplog, by_name).keys() == {(dialler, dialled)}
    [(teller, _)] = warnings_of(caplog, by_address)
    assert teller == dialled
    until(lambda: _tries(watched.nodes[dialler]) >= HEARTBEATS, "it dials again and again")
    comes_back_each_minute(caplog, by_name, warnings_of(caplog, by_name))
    comes_back_each_minute(caplog, by_address, warnings_of(caplog, by_address))
    assert not ann.nodes()


def test_dialler_of_several_nodes_names_each(watched, caplog):
    listed = [watched.name(number) for number in (1, 3, 4)]
    for number in (1, 3, 4):
        watched.start(number, {"name": "static", "nodes": []})
    until(lambda: all(watched.addresses().values()), "they listen")
    entries = [
        f"{name.partition('@')[0]}@{address}" for name, address in watched.addresses().items()
    ]
    watched.start(2, {"name": "static", "nodes": entries}, secret="a guess")
    pattern = r"cannot link to '(n\d@\S+)' at '\S+': it does not hold our secret"
    until(lambda: len(warnings_of(caplog, pattern)) == len(listed), "all to be named", WITHIN_S / 2)
    assert warnings_of(caplog, pattern).keys() == {(watched.name(2), name) for name in listed}


def _tries(node):
    return max((each.tries for each in node.status()["lan"].unlinked), default=0)


def test_nodes_that_dial_each_other_both_say_so_by_name_and_address(watched, caplog):
    ports = {number: free_port() for number in (1, 2)}
    for number, other in ((1, 2), (2, 1)):
        nodes = [f"n{other}@127.0.0.{other}:{ports[other]}"]
        watched.start(
            number, {"name": "static", "nodes": nodes}, secret=f"guess {number}", port=ports[number]
        )
    pattern = r"cannot link to '(n\d@(\S+))' at '\2:\d+': it does not hold our secret"
    expected = pairs(watched, (1,), wrong=2)
    until(lambda: warnings_of(caplog, pattern).keys() == expected, "both to say so", WITHIN_S)
    comes_back_each_minute(caplog, pattern, expected)
