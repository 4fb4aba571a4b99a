"""Peers forgotten by one end or both: their streams are numbered from one again."""

import pytest
from message_ends import WIDE, lost, narrow

from cluster_kit.topics import peers
from cluster_kit.topics.outcomes import Arrived
from cluster_kit.wire import topics as wire


def test_stream_restarts_if_both_ends_forgot_each_other(pair, monkeypatch):
    monkeypatch.setattr(peers, "MAX_AWAY", 0)
    pair.ann.messenger.publish("t", b"1")
    pair.pump()
    pair.bob.told()
    pair.ann.messenger.publish("t", b"lost")
    pair.cut()
    assert lost(pair.bob.told()) == [None]
    pair.connect()
    pair.ann.messenger.publish("t", b"2")
    pair.pump()
    assert [(type(each), each.number) for each in pair.bob.told()] == [(Arrived, 1)]


def test_stream_restarts_with_a_gap_if_only_the_sender_forgot_the_peer(pair, monkeypatch):
    for _ in range(3):
        pair.ann.messenger.publish("t", b"1")
    pair.pump()
    pair.bob.told()
    pair.ann.messenger.publish("t", b"lost")
    pair.cut()
    monkeypatch.setattr(peers, "MAX_AWAY", 0)
    pair.connect()
    pair.ann.said()
    pair.ann.messenger.down(pair.ann.link, 0.0)
    monkeypatch.undo()
    pair.bob.messenger.down(pair.bob.link, 0.0)
    pair.connect()
    pair.ann.messenger.publish("t", b"2")
    pair.pump()
    outcomes = pair.bob.told()
    assert lost(outcomes) == [None]
    assert [(each.number, each.data) for each in outcomes if type(each) is Arrived] == [(1, b"2")]


def test_message_received_before_the_sender_was_forgotten_is_not_counted_lost(pair, monkeypatch):
    pair.ann.messenger.publish("t", b"1")
    pair.pump()
    assert pair.bob.data() == [b"1"]
    pair.ann.messenger.publish("t", b"lost")
    pair.ann.said()
    pair.ann.messenger.down(pair.ann.link, 0.0)
    monkeypatch.setattr(peers, "MAX_AWAY", 0)
    assert lost(pair.bob.messenger.down(pair.bob.link, 0.0)) == [None]
    monkeypatch.undo()
    pair.connect()
    pair.pump()
    assert lost(pair.bob.told()) == [None]


@pytest.fixture
def forgetful(pair, monkeypatch):
    """Return a pair whose bob has forgotten an earlier peer."""
    monkeypatch.setattr(peers, "MAX_AWAY", 0)
    pair.cut()
    monkeypatch.undo()
    pair.bob.told()
    pair.restart("ann")
    pair.connect()
    return pair


def test_forgetful_receiver_reports_no_gap_if_nothing_was_sent(forgetful):
    assert forgetful.bob.hear(wire.Opening(b"\x0b" * 16, 0), wire.Missed(1, 0)) == []


def test_forgetful_receiver_counts_every_loss_but_the_first(forgetful):
    outcomes = forgetful.bob.hear(
        wire.Opening(b"\x0b" * 16, 0), wire.Missed(1, 1), wire.Data(1, 5, b"")
    )
    assert lost(outcomes) == [None, 3]


def test_forgetful_receiver_counts_losses_of_a_new_epoch(forgetful):
    forgetful.bob.hear(wire.Opening(b"\x0b" * 16, 5))
    forgetful.connect()
    outcomes = forgetful.bob.hear(wire.Opening(b"\x0b" * 16, 6), wire.Missed(1, 2))
    assert lost(outcomes) == [None, 2]


def test_reading_messages_of_an_earlier_epoch_does_not_disturb_the_new_one(pair, monkeypatch):
    for data in (b"1", b"2"):
        pair.ann.messenger.publish("t", data)
    pair.pump()
    arrived = pair.bob.told()
    monkeypatch.setattr(peers, "MAX_AWAY", 0)
    pair.ann.messenger.down(pair.ann.link, 0.0)
    monkeypatch.undo()
    pair.bob.messenger.down(pair.bob.link, 0.0)
    pair.connect()
    pair.read(arrived)
    pair.bob.messenger.tick(1.0)
    pair.ann.messenger.publish("t", b"3")
    pair.pump()
    assert pair.bob.data() == [b"3"]


def test_reading_messages_of_an_earlier_epoch_sends_no_credit(monkeypatch):
    pair = narrow(messages=5)
    for _ in range(5):
        pair.ann.messenger.publish("t", b"")
    pair.pump()
    arrived = pair.bob.told()
    with monkeypatch.context() as patch:
        patch.setattr(peers, "MAX_AWAY", 0)
        pair.ann.messenger.down(1, 0.0)  # ann forgets bob
    pair.bob.messenger.down(1, 0.0)
    pair.connect()
    pair.read(arrived)
    pair.bob.messenger.listen("u", WIDE)
    said = pair.bob.records()
    assert wire.Credit not in map(type, said)
    pair.ann.hear(*said)
    pair.ann.messenger.publish("t", b"new")
    pair.pump()
    assert pair.bob.data() == [b"new"]
