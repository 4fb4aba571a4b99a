"""DistrustThrottle reports each peer with another secret once a minute, and bounds the log."""

from cluster_kit.network import Endpoint
from cluster_kit.strategies.gossip.distrust import (
    ANOTHER,
    MOST_AT_ONCE,
    WE_ALONE,
    Distrusted,
    DistrustThrottle,
)


def distrusted(number=1, why=ANOTHER):
    return Distrusted(f"node{number}@10.0.0.1", Endpoint("10.0.0.1", 40_000 + number), why)


def test_warning_names_the_sender_its_address_and_the_cure():
    assert str(distrusted()) == (
        "gossip: node1@10.0.0.1 at 10.0.0.1: its secret differs from this node's; give all nodes "
        "of a cluster the same secret"
    )
    assert str(Distrusted("", Endpoint("10.0.0.1", 1), WE_ALONE)).startswith(
        "gossip: a node at 10.0.0.1: "
    )


def test_each_sender_is_warned_about_once_a_minute():
    warnings = DistrustThrottle()
    passed_s = [second for second in range(180) if warnings.passes(distrusted(), float(second))]
    assert passed_s == [0, 60, 120]


def test_several_senders_are_warned_about_at_once():
    warnings = DistrustThrottle()
    assert all(warnings.passes(distrusted(number), 0.0) for number in range(3))
    assert not warnings.passes(distrusted(0), 1.0)


def test_made_up_senders_are_warned_about_no_more_than_a_log_can_bear():
    warnings = DistrustThrottle()
    passed = sum(warnings.passes(distrusted(number), number / 1000) for number in range(600_000))
    assert passed <= MOST_AT_ONCE * 11
