"""What linked peers send each other later: whether they want the link, and what has changed."""

from tcp_tables import (
    ANN,
    BOB,
    CAT,
    DIAL,
    IN,
    Write,
    answer,
    dial,
    hello,
    link_by_accepting,
    link_by_dial,
    only_frame,
)

from cluster_kit.connectors.tcp.actions import Changed, Close, Down, Linked, PeerLeaving, Up
from cluster_kit.events import Reason
from cluster_kit.wire.frames import Confirm, Goodbye, Update, Want


class TestWantedLinks:
    def test_peer_is_notified_when_the_link_is_no_longer_wanted(self, table):
        link_by_dial(table, ANN)
        assert table.disconnect(ANN) == [Write(DIAL, Want(wanted=False))]
        assert table.disconnect(ANN) == []

    def test_link_that_the_peer_wants_stays(self, table):
        link_by_dial(table, ANN)
        table.receive(DIAL, Want(wanted=True))
        table.disconnect(ANN)
        assert table.closed(DIAL) == [Down(ANN, Reason.CLOSED)]

    def test_link_that_we_want_stays_when_the_peer_does_not(self, table):
        link_by_dial(table, ANN)
        assert table.receive(DIAL, Want(wanted=False)) == []

    def test_link_that_the_peer_wants_again_stays_though_we_do_not(self, table):
        link_by_accepting(table, ANN)
        assert table.receive(IN, Want(wanted=True)) == []

    def test_link_that_the_peer_never_wanted_comes_up_and_stays(self, table):
        dial(table, ANN)
        actions = table.receive(DIAL, answer(ANN, wanted=False))
        assert actions == [Write(DIAL, Confirm()), Up(DIAL, ANN), Linked(DIAL, ANN)]

    def test_unwanted_link_is_closed_by_the_end_that_learns_it_last(self, table):
        link_by_accepting(table, ANN)
        assert table.receive(IN, Want(wanted=False)) == [
            Write(IN, Goodbye(reason="unwanted")),
            Close(IN),
            Down(ANN, Reason.UNWANTED),
        ]

    def test_goodbye_to_an_unwanted_link_says_so(self, table):
        link_by_dial(table, ANN)
        assert table.receive(DIAL, Goodbye(reason="unwanted")) == [
            Close(DIAL),
            Down(ANN, Reason.UNWANTED),
        ]

    def test_link_that_neither_wanted_from_the_start_is_closed(self, table):
        table.receive(IN, hello(ANN, wanted=False))
        assert table.receive(IN, Confirm())[-1] == Down(ANN, Reason.UNWANTED)

    def test_wish_given_up_after_the_answer_is_taken_back(self, table):
        dial(table, ANN)
        assert only_frame(table.receive(IN, hello(ANN))).identity.wanted
        table.abandon(DIAL)
        assert table.receive(IN, Confirm()) == [Up(IN, ANN), Write(IN, Want(wanted=False))]

    def test_disconnect_from_a_stranger_does_nothing(self, table):
        assert table.disconnect(ANN) == []


class TestUpdates:
    def test_every_peer_is_sent_what_changed(self, table):
        link_by_dial(table, ANN)
        link_by_accepting(table, CAT)
        news = Update(metadata={"zone": "b"}, leaving=False)
        assert table.update(BOB.evolve(metadata={"zone": "b"}), leaving=False) == [
            Write(DIAL, news),
            Write(IN, news),
        ]

    def test_unchanged_node_is_not_sent_to_peers(self, table):
        link_by_dial(table, ANN)
        assert table.update(BOB, leaving=False) == []

    def test_hello_says_how_we_are_once_the_stream_is_open(self, table):
        table.connect(DIAL, ANN)
        now = BOB.evolve(metadata={"zone": "b"})
        table.update(now, leaving=False)
        assert only_frame(table.established(DIAL)) == hello(now)
        actions = table.receive(DIAL, answer(ANN))
        assert actions == [Write(DIAL, Confirm()), Up(DIAL, ANN), Linked(DIAL, ANN)]

    def test_peer_that_changes_is_not_leaving_for_that(self, table):
        link_by_dial(table, ANN)
        changed = ANN.evolve(metadata={"zone": "c"})
        news = Update(metadata={"zone": "c"}, leaving=False)
        assert table.receive(DIAL, news) == [Changed(DIAL, changed)]

    def test_news_of_a_peer_is_reported_once(self, table):
        link_by_dial(table, ANN)
        news = Update(metadata={"zone": "c"}, leaving=True)
        changed = ANN.evolve(metadata={"zone": "c"})
        assert table.receive(DIAL, news) == [Changed(DIAL, changed), PeerLeaving(changed)]
        assert table.receive(DIAL, news) == []
        assert table.closed(DIAL) == [Down(changed, Reason.CLOSED)]
