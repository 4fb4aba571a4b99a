"""Which nodes are named, when and how often, if they still use a dropped secret."""

import logging

import pytest

from cluster_kit.worker.trust_warnings import GRACE_S, DroppedSecrets

OLD, NEW, NEXT = b"old", b"new", b"next"


@pytest.fixture
def linked():
    return {"b@h": (NEW, OLD), "c@h": (OLD, NEW), "d@h": ()}


@pytest.fixture
def dropped(linked):
    return DroppedSecrets(linked)


@pytest.fixture
def names(caplog):
    """Return a function that returns the nodes that each warning names."""

    def names():
        assert all(record.levelno == logging.WARNING for record in caplog.records)
        return [
            message.partition("still use: ")[2].partition(": ")[0] for message in caplog.messages
        ]

    return names


def test_node_that_uses_it_is_named_once(dropped, names):
    dropped.changed((NEW, OLD), (NEW,), 100.0)
    dropped.log_users(100.0 + GRACE_S - 0.1)
    assert names() == []
    for _ in range(3):
        dropped.log_users(100.0 + GRACE_S)
    assert names() == ["c@h"]


def test_node_that_switches_in_time_is_not_named(dropped, linked, names):
    dropped.changed((NEW, OLD), (NEW,), 0.0)
    linked["c@h"] = (NEW, OLD)
    dropped.log_users(GRACE_S)
    assert names() == []


def test_node_whose_link_ends_in_time_is_not_named(dropped, linked, names):
    dropped.changed((NEW, OLD), (NEW,), 0.0)
    del linked["c@h"]
    dropped.log_users(GRACE_S)
    assert names() == []


def test_secret_that_comes_back_in_time_causes_no_warning(dropped, names):
    dropped.changed((NEW, OLD), (NEW,), 0.0)
    dropped.changed((NEW,), (NEW, OLD), 1.0)
    dropped.log_users(2 * GRACE_S)
    assert names() == []


def test_change_that_drops_none_keeps_the_warning_that_is_due(dropped, names):
    dropped.changed((NEW, OLD), (NEW,), 0.0)
    dropped.changed((NEW,), (NEW,), GRACE_S - 1)
    dropped.log_users(GRACE_S)
    assert names() == ["c@h"]


def test_later_change_names_those_behind_it_only(dropped, names):
    dropped.changed((NEW, OLD), (NEW,), 0.0)
    dropped.log_users(GRACE_S)
    dropped.changed((NEW,), (NEXT,), 100.0)
    dropped.log_users(100.0 + GRACE_S)
    assert names() == ["c@h", "b@h"]


def test_of_many_some_are_named(dropped, linked, names):
    linked.update({f"n{number:03}@h": (OLD,) for number in range(200)})
    dropped.changed((NEW, OLD), (NEW,), 0.0)
    dropped.log_users(GRACE_S)
    assert names() == [
        "c@h, " + ", ".join(f"n{number:03}@h" for number in range(9)) + " and 191 more"
    ]
