"""The log says why known nodes are not linked, at intervals and in few lines."""

import logging

import pytest
from membership_parts import Driver, error, node

from cluster_kit.abc import Found, Seen
from cluster_kit.errors import ConnectReason
from cluster_kit.events import Reason
from cluster_kit.membership.reconciler import Connect
from cluster_kit.membership.reports import ConnectFailed, Draining
from cluster_kit.membership.unlinked import Unlinked, why_not
from cluster_kit.node import Node
from cluster_kit.pipe.messages import MAX_UNLINKED, Inspected
from cluster_kit.throttle import REPEAT_S
from cluster_kit.worker.isolation_warnings import FOUND_S, LISTED_S, MISSED_S, IsolationWarnings


@pytest.mark.parametrize(
    ("reason", "tries", "next_s", "text"),
    [
        ("refused", 7, 4.2, "not linked: refused, 7 tries, next in 4 s"),
        ("timeout", 1, 0.3, "not linked: timeout, 1 try, next in 1 s"),
        ("refused", 2, 0.0, "not linked: refused, 2 tries, next is due"),
        ("refused", 2, None, "not linked: refused, 2 tries"),
        (None, 0, 0.0, "not linked: next is due"),
        (None, 0, None, "not linked"),
    ],
)
def test_reason_is_short(reason, tries, next_s, text):
    assert why_not(reason, tries, next_s) == text
    assert str(Unlinked("b@there", reason and ConnectReason(reason), tries, next_s)) == text


class Watched:
    """A membership that knows some nodes, none of which answers, and the log of that."""

    def __init__(self, observation, caplog):
        caplog.set_level(logging.INFO, "cluster_kit.worker")
        self._caplog = caplog
        self.cluster = Driver()
        self.cluster.observe(observation)
        self._isolation = IsolationWarnings(
            self.cluster.membership, partial=False, sources=["static"], now_s=self.cluster.now_s
        )

    def pass_time(self, seconds, reason="refused"):
        """Let every dial fail meanwhile, and look each second."""
        for _ in range(round(seconds)):
            for command in self.cluster.plan():
                if isinstance(command, Connect):
                    self.cluster.report(ConnectFailed(command.node, error(reason), 0.5))
            self._isolation.check(self.cluster.now_s)
            self.cluster.wait(1)

    def logged(self):
        said = [(record.levelname, record.getMessage()) for record in self._caplog.records]
        self._caplog.clear()
        return said


def test_unlinked_listed_node_is_logged_soon_and_then_once_a_minute(caplog):
    watched = Watched(Found([node("b")]), caplog)
    watched.pass_time(LISTED_S)
    assert watched.logged() == []
    watched.pass_time(2)
    [(level, text)] = watched.logged()
    assert level == "WARNING"
    assert text.startswith("b@there is not linked: refused, ")
    watched.pass_time(REPEAT_S - LISTED_S)
    assert watched.logged() == []
    watched.pass_time(2 * LISTED_S)
    [(level, text)] = watched.logged()
    assert (level, text.partition(",")[0]) == ("INFO", "b@there is not linked: refused")


def test_node_that_dies_is_forgotten_before_it_is_logged(caplog):
    watched = Watched(Seen(node("b"), FOUND_S - 1), caplog)
    watched.pass_time(2 * REPEAT_S)
    assert watched.logged() == []


def test_node_that_is_seen_all_the_time_and_not_linked_is_logged(caplog):
    watched = Watched(Seen(node("b"), 1000), caplog)
    watched.pass_time(FOUND_S - 1)
    assert watched.logged() == []
    watched.pass_time(LISTED_S + 2)
    assert [level for level, _ in watched.logged()] == ["WARNING"]


def test_node_that_was_linked_is_logged_after_a_minute(caplog):
    watched = Watched(Found([node("b")]), caplog)
    watched.cluster.carry_out()
    watched.cluster.link_down(node("b"), Reason.CLOSED)
    watched.pass_time(MISSED_S - 1)
    assert watched.logged() == []
    watched.pass_time(LISTED_S + 2)
    assert [level for level, _ in watched.logged()] == ["WARNING"]


def test_another_node_that_cannot_be_linked_is_a_warning_again_and_alone(caplog):
    watched = Watched(Found([node("b")]), caplog)
    watched.pass_time(LISTED_S + 2)
    watched.logged()
    watched.cluster.observe(Found([node("b"), node("c")]))
    watched.pass_time(FOUND_S + LISTED_S)
    [(level, text)] = watched.logged()
    assert (level, text.partition(" ")[0]) == ("WARNING", "c@there")


def test_many_nodes_are_summed_up(caplog):
    watched = Watched(
        Found(Node(f"n{number:05}@there", f"10.1.0.1:{number + 1}") for number in range(10_000)),
        caplog,
    )
    watched.pass_time(LISTED_S + 2)
    said = watched.logged()
    assert len(said) == 6
    assert "more are not linked: " in said[-1][1]
    assert said[-1][1].endswith(" refused")


def test_nothing_is_logged_if_all_are_linked_or_none_is_dialled(caplog):
    watched = Watched(Found([node("b")]), caplog)
    watched.cluster.carry_out()
    watched.pass_time(3 * REPEAT_S)
    assert watched.logged() == []


def test_tries_are_counted_from_one_link_to_the_next(caplog):
    watched = Watched(Found([node("b")]), caplog)
    watched.pass_time(20)
    [why] = watched.cluster.membership.unlinked(watched.cluster.now_s)
    assert why.tries > 3
    watched.cluster.observe(Found([node("b", 2)]))  # seen alive, which shortens the wait
    assert [each.tries for each in watched.cluster.membership.unlinked(watched.cluster.now_s)] == [
        why.tries
    ]
    watched.cluster.link_up(node("b", 2))
    assert list(watched.cluster.membership.unlinked(watched.cluster.now_s)) == []


def test_node_that_is_not_meant_to_be_dialled_has_no_next_try():
    cluster = Driver()
    cluster.observe(Found([node("b")]))
    cluster.report(Draining())
    cluster.plan()
    assert list(cluster.membership.unlinked(cluster.now_s)) == [Unlinked("b@there", None, 0, None)]


def test_report_of_unlinked_nodes_is_bounded():
    every = [
        Unlinked(f"n{number}@there", ConnectReason.REFUSED, 1, 1.0) for number in range(10_000)
    ]
    inspected = Inspected.of({}, every, {})
    assert inspected.unlinked == tuple(every[:MAX_UNLINKED])
    assert inspected.failing == {ConnectReason.REFUSED: 10_000}
