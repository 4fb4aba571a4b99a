"""When a node that answers lack is gone."""

import pytest

from cluster_kit.confirmations import Confirmations
from cluster_kit.node import Node

ANN = Node(name="ann@here", address="here:1")
BOB = Node(name="bob@here", address="here:2")


def test_an_answer_adds_at_once_and_removes_when_it_repeats():
    known = Confirmations(2, earlier=[ANN])
    known.answered([BOB])
    assert list(known.nodes) == [BOB, ANN]
    known.answered([BOB])
    assert list(known.nodes) == [BOB]


def test_an_incomplete_answer_confirms_nothing():
    known = Confirmations(1, earlier=[ANN])
    known.answered([], complete=False)
    assert list(known.nodes) == [ANN]
    known.answered([])
    assert not known.nodes


@pytest.mark.parametrize(("at_least", "left"), [(1, []), (2, [ANN])])
def test_an_answer_can_ask_for_more_confirmations_than_configured(at_least, left):
    known = Confirmations(1, earlier=[ANN])
    known.answered([], at_least=at_least)
    assert list(known.nodes) == left


def test_the_period_begins_with_the_first_answer_that_lacks_a_node():
    known = Confirmations(2, period_s=10.0, earlier=[ANN])
    known.answered([], 5.0)
    known.answered([], 14.9)
    assert list(known.nodes) == [ANN]
    known.answered([], 15.0)
    assert not known.nodes


def test_a_node_that_is_back_is_missing_anew():
    known = Confirmations(2, earlier=[ANN])
    known.answered([])
    known.answered([ANN])
    known.answered([])
    assert list(known.nodes) == [ANN]


def test_a_later_answer_replaces_what_is_known_of_a_node():
    moved = ANN.evolve(address="here:9")
    known = Confirmations(2, earlier=[ANN])
    known.answered([moved])
    assert list(known.nodes) == [moved]
    assert next(iter(known.nodes)).address == "here:9"


def test_forgotten_node_no_longer_counts():
    known = Confirmations(2, earlier=[ANN, BOB])
    known.forget({ANN.key, "nobody@here"})
    assert list(known.nodes) == [BOB]
