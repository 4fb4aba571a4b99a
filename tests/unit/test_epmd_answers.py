"""Which nodes count as present, by the answers that the EPMDs give or fail to give."""

import pytest

from cluster_kit.node import Node
from cluster_kit.strategies.epmd.answers import EpmdAnswers
from cluster_kit.strategies.epmd.options import EpmdQuestion

HERE, THERE = EpmdQuestion("here", "here"), EpmdQuestion("there", "there")
ANN = Node(name="ann@here", address="here:1")
BOB = Node(name="bob@there", address="there:2")


@pytest.fixture
def ledger():
    ledger = EpmdAnswers(gone_after_s=10.0)
    ledger.keep([HERE, THERE])
    return ledger


def test_ledger_is_empty_at_first(ledger):
    assert ledger.nodes == frozenset()
    assert not ledger.answered


def test_all_targets_vouch(ledger):
    ledger.record(HERE, [ANN], 0.0)
    ledger.record(THERE, [BOB], 0.0)
    assert ledger.nodes == {ANN, BOB}


def test_empty_answer_is_an_answer(ledger):
    ledger.record(HERE, [], 0.0)
    assert ledger.answered


def test_no_epmd_to_ask_counts_as_an_answer(ledger):
    ledger.keep([])
    assert ledger.answered


def test_fault_keeps_what_its_target_vouched_for(ledger):
    ledger.record(HERE, [ANN], 0.0)
    ledger.record_fault(HERE, "down")
    ledger.record(THERE, [BOB], 99.0)
    assert ledger.nodes == {ANN, BOB}
    assert ledger.faults == {HERE: "down"}


def test_answer_ends_a_fault(ledger):
    ledger.record_fault(HERE, "down")
    ledger.record(HERE, [], 1.0)
    assert ledger.faults == {}


def test_name_that_answers_lack_for_long_enough_is_gone(ledger):
    ledger.record(HERE, [ANN], 0.0)
    ledger.record(HERE, [], 5.0)
    ledger.record(HERE, [], 14.9)
    assert ledger.nodes == {ANN}
    ledger.record(HERE, [], 15.0)
    assert ledger.nodes == frozenset()


def test_one_empty_answer_is_never_enough():
    ledger = EpmdAnswers(gone_after_s=0.0)
    ledger.keep([HERE])
    ledger.record(HERE, [ANN], 0.0)
    ledger.record(HERE, [], 100.0)
    assert ledger.nodes == {ANN}
    ledger.record(HERE, [], 100.0)
    assert ledger.nodes == frozenset()


def test_name_that_is_back_starts_anew(ledger):
    ledger.record(HERE, [ANN], 0.0)
    ledger.record(HERE, [], 5.0)
    ledger.record(HERE, [ANN], 10.0)
    ledger.record(HERE, [], 20.0)
    ledger.record(HERE, [], 29.0)
    assert ledger.nodes == {ANN}


def test_time_without_an_answer_does_not_confirm(ledger):
    ledger.record(HERE, [ANN], 0.0)
    ledger.record(HERE, [], 5.0)
    ledger.record_fault(HERE, "down")
    assert ledger.nodes == {ANN}


def test_name_at_another_port_is_replaced_at_once(ledger):
    moved = ANN.evolve(address="here:9")
    ledger.record(HERE, [ANN], 0.0)
    ledger.record(HERE, [moved], 5.0)
    assert ledger.nodes == {moved}


def test_target_that_is_given_up_vouches_no_more(ledger):
    ledger.record(HERE, [ANN], 0.0)
    ledger.record_fault(THERE, "down")
    ledger.keep([])
    assert ledger.nodes == frozenset()
    assert ledger.faults == {}


def test_answer_that_comes_too_late_is_ignored(ledger):
    ledger.keep([THERE])
    ledger.record(HERE, [ANN], 0.0)
    ledger.record_fault(HERE, "down")
    assert ledger.nodes == frozenset()
    assert ledger.faults == {}
    assert not ledger.answered


def test_target_keeps_its_word_when_others_come(ledger):
    ledger.record(HERE, [ANN], 0.0)
    ledger.keep([THERE, HERE])
    assert ledger.nodes == {ANN}


def test_of_two_targets_that_know_a_name_the_first_counts(ledger):
    alias = ANN.evolve(address="there:1")
    ledger.record(THERE, [alias], 0.0)
    ledger.record(HERE, [ANN], 0.0)
    assert ledger.nodes == {ANN}


def test_target_that_does_not_answer_after_a_restart_keeps_what_it_had_vouched_for():
    ledger = EpmdAnswers(10.0, [ANN, BOB])
    ledger.keep([HERE, THERE])
    ledger.record(HERE, [ANN], 0.0)
    ledger.record_fault(THERE, "down")
    assert ledger.nodes == {ANN, BOB}


def test_only_target_keeps_nodes_of_other_hosts_after_a_restart():
    elsewhere = ANN.evolve(name="ann@elsewhere")
    ledger = EpmdAnswers(10.0, [elsewhere])
    ledger.keep([HERE])
    ledger.record(HERE, [], 0.0)
    assert ledger.nodes == {elsewhere}


def test_name_that_answers_lack_after_a_restart_is_gone_as_at_any_time():
    ledger = EpmdAnswers(10.0, [ANN])
    ledger.keep([HERE])
    ledger.record(HERE, [], 0.0)
    assert ledger.nodes == {ANN}
    ledger.record(HERE, [], 10.0)
    assert ledger.nodes == frozenset()
