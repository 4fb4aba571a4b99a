"""What a list of links says, and what it is too old to say."""

from cluster_kit.connectors.callback.open_links import OpenLinks
from cluster_kit.node import Node

ANN, BOB, CAT = (Node(name=f"{name}@h") for name in ("ann", "bob", "cat"))


def links_with(*nodes):
    links = OpenLinks()
    assert all(links.open(node) for node in nodes)
    return links


def compared(links, listed, local):
    links.list_requested()
    return links.compare(listed, local)


def test_a_link_is_opened_once_and_closed_once():
    links = links_with(BOB)
    assert not links.open(BOB)
    assert (links.close(BOB.key), links.close(BOB.key)) == (BOB, None)


def test_list_shows_what_opened_and_what_closed():
    links = links_with(BOB)
    assert compared(links, [CAT], ANN) == ([CAT], [BOB])


def test_list_that_agrees_shows_no_differences():
    links = links_with(BOB)
    assert compared(links, [BOB], ANN) == ([], [])


def test_changed_description_counts_once():
    links = links_with(BOB)
    tagged = BOB.evolve(metadata={"zone": "a"})
    assert links.with_metadata_of([BOB, CAT]) == []
    assert links.with_metadata_of([tagged]) == [tagged]
    assert (links.change(tagged), links.change(tagged), links.change(CAT)) == (True, False, False)
    assert links.up == {BOB.key: tagged}


def test_this_node_itself_is_not_linked():
    links = OpenLinks()
    assert compared(links, [ANN], ANN) == ([], [])


def test_node_listed_twice_is_opened_once():
    links = OpenLinks()
    assert compared(links, [CAT, CAT], ANN) == ([CAT], [])


def test_a_list_that_was_asked_for_before_a_link_opened_does_not_close_it():
    links = OpenLinks()
    links.list_requested()
    links.open(BOB)
    assert links.compare([], ANN) == ([], [])
    assert compared(links, [], ANN) == ([], [BOB])


def test_a_list_that_was_asked_for_before_a_link_closed_does_not_open_it_again():
    links = links_with(BOB)
    links.list_requested()
    links.close(BOB.key)
    assert links.compare([BOB], ANN) == ([], [])
    assert compared(links, [BOB], ANN) == ([BOB], [])


def test_a_node_is_known_by_its_name_and_by_its_address():
    both = Node(name="bob@h", address="127.0.0.1:4000")
    links = links_with(both)
    for listed in (Node(name="bob@h"), Node(address="127.0.0.1:4000")):
        assert compared(links, [listed], ANN) == ([], [])
