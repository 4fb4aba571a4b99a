"""What a list of links tells, and what it is too old to tell."""

from cluster_kit.connectors.callback.ledger import Ledger
from cluster_kit.node import Node

ANN, BOB, CAT = (Node(name=f"{name}@h") for name in ("ann", "bob", "cat"))


def ledger_with(*nodes):
    ledger = Ledger()
    assert all(ledger.open(node) for node in nodes)
    return ledger


def compared(ledger, listed, local):
    ledger.ask()
    return ledger.compare(listed, local)


def test_a_link_is_opened_once_and_closed_once():
    ledger = ledger_with(BOB)
    assert not ledger.open(BOB)
    assert (ledger.close(BOB.key), ledger.close(BOB.key)) == (BOB, None)


def test_a_list_tells_what_opened_and_what_closed():
    ledger = ledger_with(BOB)
    assert compared(ledger, [CAT], ANN) == ([CAT], [BOB])


def test_a_list_that_agrees_tells_nothing():
    ledger = ledger_with(BOB)
    assert compared(ledger, [BOB], ANN) == ([], [])


def test_a_changed_description_is_news_once():
    ledger = ledger_with(BOB)
    tagged = BOB.evolve(metadata={"zone": "a"})
    assert ledger.described([BOB, CAT]) == []
    assert ledger.described([tagged]) == [tagged]
    assert (ledger.change(tagged), ledger.change(tagged), ledger.change(CAT)) == (
        True,
        False,
        False,
    )
    assert ledger.up == {BOB.key: tagged}


def test_this_node_itself_is_not_linked():
    ledger = Ledger()
    assert compared(ledger, [ANN], ANN) == ([], [])


def test_nobody_is_told_twice():
    ledger = Ledger()
    assert compared(ledger, [CAT, CAT], ANN) == ([CAT], [])


def test_a_list_that_was_asked_for_before_a_link_opened_does_not_close_it():
    ledger = Ledger()
    ledger.ask()
    ledger.open(BOB)
    assert ledger.compare([], ANN) == ([], [])
    assert compared(ledger, [], ANN) == ([], [BOB])


def test_a_list_that_was_asked_for_before_a_link_closed_does_not_open_it_again():
    ledger = ledger_with(BOB)
    ledger.ask()
    ledger.close(BOB.key)
    assert ledger.compare([BOB], ANN) == ([], [])
    assert compared(ledger, [BOB], ANN) == ([BOB], [])


def test_a_node_is_known_by_its_name_and_by_its_address():
    both = Node(name="bob@h", address="127.0.0.1:4000")
    ledger = ledger_with(both)
    for listed in (Node(name="bob@h"), Node(address="127.0.0.1:4000")):
        assert compared(ledger, [listed], ANN) == ([], [])
