"""The link table: how links come up, which peers may link, and which are refused for their name."""

from typing import get_args

import pytest
from tcp_tables import (
    ANN,
    BOB,
    CAT,
    DIAL,
    IN,
    Table,
    Write,
    answer,
    dial,
    failure,
    hello,
    identity,
    link_by_accepting,
    link_by_dial,
    older,
    only_frame,
    refusal,
    refusal_of_bob,
    younger,
)

from cluster_kit.connectors.tcp import actions as do
from cluster_kit.connectors.tcp.actions import (
    Close,
    Conflict,
    Dial,
    Down,
    Echo,
    Linked,
    PeerLeaving,
    Rekeyed,
    Up,
)
from cluster_kit.connectors.tcp.faults import DialFault
from cluster_kit.errors import ConnectReason, NameConflict
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.wire.frames import Confirm, Goodbye, Hello, Refusal, Secrets, Update, Want, encode
from cluster_kit.wire.link import LinkState


class TestComingUp:
    def test_dialled_link_is_up_with_the_answer_and_confirmed_first(self, table):
        assert link_by_dial(table, ANN) == [
            Write(DIAL, Confirm()),
            Up(DIAL, ANN),
            Linked(DIAL, ANN),
        ]

    def test_accepted_link_is_up_only_with_the_confirmation(self, table):
        actions = table.receive(IN, hello(ANN))
        assert actions == [Write(IN, answer(BOB, wanted=False))]
        assert table.receive(IN, Confirm()) == [Up(IN, ANN)]

    def test_node_of_unknown_name_takes_the_name_it_gives(self, table):
        dial(table, Node(address="ann:1"))
        assert Linked(DIAL, ANN) in table.receive(DIAL, answer(ANN))

    def test_peer_that_announces_no_address_has_the_one_that_was_dialled(self, table):
        dial(table, Node(address="1.2.3.4:5"))
        actions = table.receive(DIAL, answer(ANN.evolve(address=None)))
        assert Linked(DIAL, ANN.evolve(address="1.2.3.4:5")) in actions

    def test_peer_that_is_leaving_is_reported_so(self, table):
        table.receive(IN, hello(ANN, leaving=True))
        assert table.receive(IN, Confirm()) == [Up(IN, ANN), PeerLeaving(ANN)]

    def test_connect_to_a_linked_peer_returns_it_and_says_that_the_link_is_wanted(self, table):
        link_by_accepting(table, ANN)
        assert table.connect(DIAL, ANN) == [Linked(DIAL, ANN), Write(IN, Want(wanted=True))]
        assert table.connect(2, ANN) == [Linked(2, ANN)]

    @pytest.mark.parametrize("known", [Node(name="ann@h"), Node(address="alias:1")])
    def test_linked_peer_is_recognised_by_name_and_dialled_address(self, table, known):
        dial(table, Node(address="alias:1"))
        table.receive(DIAL, answer(ANN))
        assert table.connect(2, known) == [Linked(2, ANN)]

    def test_address_that_a_linked_peer_claims_is_dialled_all_the_same(self, table):
        link_by_accepting(table, ANN)
        seed = Node(address=ANN.address)
        assert table.connect(DIAL, seed) == [Dial(DIAL, seed)]
        table.established(DIAL)
        assert Linked(DIAL, ANN) in table.receive(DIAL, answer(ANN))

    def test_news_since_the_hello_follows_the_confirmation(self, table):
        dial(table, ANN)
        table.update(BOB.evolve(metadata={"zone": "b"}), leaving=True)
        actions = table.receive(DIAL, answer(ANN))
        assert actions[0] == Write(DIAL, Confirm())
        assert Write(DIAL, Update(metadata={"zone": "b"}, leaving=True)) in actions

    def test_secrets_are_sent_when_the_link_is_up_and_when_they_change(self):
        table = Table(secrets=(b"new", b"old"))
        dial(table, ANN)
        assert Write(DIAL, Secrets([b"new", b"old"])) in table.receive(DIAL, answer(ANN))
        assert table.update(BOB, leaving=False, secrets=(b"new", b"old")) == []
        assert table.update(BOB, leaving=False, secrets=(b"new",)) == [
            Write(DIAL, Secrets([b"new"]))
        ]

    def test_secrets_of_a_peer_are_reported(self, table):
        link_by_accepting(table, ANN)
        assert table.receive(IN, Secrets([b"new", b"old"])) == [Rekeyed(ANN, (b"new", b"old"))]

    def test_hello_has_the_metadata_of_that_moment(self, table):
        table.connect(DIAL, ANN)
        table.update(BOB.evolve(metadata={"zone": "b"}), leaving=False)
        assert only_frame(table.established(DIAL)).identity.metadata == {"zone": "b"}

    def test_given_up_connect_closes_its_dial(self, table):
        dial(table, ANN)
        assert table.abandon(DIAL) == [Close(DIAL)]
        assert table.receive(DIAL, answer(ANN)) == []

    def test_connect_that_is_over_leaves_its_link(self, table):
        link_by_dial(table, ANN)
        assert table.abandon(DIAL) == []

    def test_node_without_an_address_fails_at_once(self, table):
        error = failure(table.connect(DIAL, Node(name="ann@h")))
        assert error.reason is ConnectReason.UNREACHABLE
        assert error.node == "ann@h"


class TestWhoMayLink:
    def test_our_own_boot_is_self_on_both_ends(self, table):
        dial(table, Node(address="bob:1"))
        assert table.receive(IN, hello(BOB)) == [Echo(IN), Write(IN, refusal("self")), Close(IN)]
        error = failure(table.receive(DIAL, refusal("self")))
        assert (error.reason, error.retryable) == (ConnectReason.SELF, True)

    @pytest.mark.parametrize("word", [refusal("self"), answer(BOB)], ids=["refusal", "answer"])
    def test_word_of_a_stranger_makes_no_address_ours(self, table, word):
        table.receive(IN, hello(BOB))  # whoever sent that
        dial(table, Node(address="bob:1"))
        error = failure(table.receive(DIAL, word))
        assert (error.reason, error.retryable) == (ConnectReason.FAILED, True)
        assert "it claims to be this process" in str(error)

    @pytest.mark.parametrize("fence", [Fence("shop", "db"), Fence("mall", "web")])
    def test_foreigner_is_refused_without_a_name(self, table, fence):
        assert table.receive(IN, hello(ANN, fence=fence)) == [
            Write(IN, refusal("foreign")),
            Close(IN),
        ]

    def test_answer_of_a_foreigner_is_not_confirmed(self, table):
        dial(table, ANN)
        actions = table.receive(DIAL, answer(ANN, fence=Fence("mall", "web")))
        assert actions[0] == Close(DIAL)
        assert failure(actions).reason is ConnectReason.FOREIGN

    def test_another_version_is_refused(self, table):
        actions = table.receive(IN, Hello(magic="cluster_kit", version=2, identity=None))
        assert actions == [Write(IN, refusal("protocol")), Close(IN)]

    def test_refusal_of_our_version_names_both(self, table):
        dial(table, ANN)
        error = failure(table.receive(DIAL, Refusal(reason="protocol", version=7)))
        assert error.reason is ConnectReason.PROTOCOL
        assert "version 7, we speak 1" in str(error)

    @pytest.mark.parametrize(
        "frame",
        [answer(CAT), refusal("crossed", CAT), refusal("leaving", CAT)],
        ids=lambda frame: str(frame)[:7],
    )
    def test_other_name_than_expected_is_not_linked(self, table, frame):
        dial(table, ANN)
        actions = table.receive(DIAL, frame)
        error = failure(actions)
        assert error.reason is ConnectReason.NAME
        assert not error.retryable
        assert "'ann@h'" in str(error)
        assert "'cat@h'" in str(error)
        assert Close(DIAL) in actions
        assert not any(isinstance(action, Up | do.Write) for action in actions)

    def test_leaving_node_takes_no_new_link(self, table):
        table.update(BOB, leaving=True)
        assert only_frame(table.receive(IN, hello(ANN))) == Refusal(
            reason="leaving", identity=identity(BOB, wanted=False, leaving=True)
        )

    def test_refusal_by_a_leaving_peer_passes(self, table):
        dial(table, ANN)
        error = failure(table.receive(DIAL, refusal("leaving", ANN)))
        assert (error.reason, error.retryable) == (ConnectReason.LEAVING, True)

    def test_refusal_for_an_unknown_reason_is_retryable(self, table):
        dial(table, ANN)
        error = failure(table.receive(DIAL, refusal("full moon")))
        assert (error.reason, error.retryable) == (ConnectReason.FAILED, True)
        assert "full moon" in str(error)

    def test_lost_dial_fails_with_its_cause(self, table):
        table.connect(DIAL, ANN)
        error = failure(
            table.closed(DIAL, fault=DialFault.of(ConnectReason.REFUSED, "connection refused"))
        )
        assert error.reason is ConnectReason.REFUSED
        assert str(error).startswith("tcp: cannot link to 'ann@h' at 'ann:1': connection refused: ")


class TestOurName:
    def test_hello_under_our_name_is_a_conflict(self, table):
        twin = younger(BOB)
        assert table.receive(IN, hello(twin)) == [
            Conflict("bob@h", twin.boot_id),
            Write(
                IN, Refusal(reason="conflict", identity=identity(BOB, wanted=False), rival=(50, 0))
            ),
            Close(IN),
        ]

    def test_answer_under_our_name_is_a_conflict(self, table):
        twin = older(BOB)
        dial(table, Node(address="twin:1"))
        actions = table.receive(DIAL, answer(twin))
        assert isinstance(failure(actions), NameConflict)
        assert Conflict("bob@h", twin.boot_id) in actions

    def test_refusal_for_an_older_process_names_both_boots(self, table):
        dial(table, ANN)
        actions = table.receive(DIAL, refusal("conflict", ANN, rival=(7, 9)))
        error = failure(actions)
        assert isinstance(error, NameConflict)
        assert str(BootId(7, 9)) in str(error)
        assert str(BOB.boot_id) in str(error)
        assert Conflict("bob@h", BootId(7, 9)) in actions

    def test_goodbye_for_an_older_process_replaces_us(self, table):
        link_by_dial(table, ANN)
        actions = table.receive(DIAL, Goodbye(reason="conflict", rival=(7, 9)))
        assert actions == [Conflict("bob@h", BootId(7, 9)), Close(DIAL), Down(ANN, Reason.REPLACED)]


def test_address_of_another_connector_is_refused_for_good(table):
    (failed,) = table.connect(DIAL, Node(name="eve@h", address="unix:/run/eve.sock"))
    assert (failed.error.reason, failed.error.retryable) == (ConnectReason.UNREACHABLE, False)
    assert "its address is not host:port, it belongs to another connector" in str(failed.error)


def test_link_is_found_by_its_peer_and_only_by_the_run_that_is_meant(table):
    link_by_dial(table, ANN)
    for known in (ANN, Node(name=ANN.name), Node(address=ANN.address)):
        assert table.conn_to(known) == DIAL
    for unknown in (younger(ANN), CAT, Node(address="cat:1")):
        assert table.conn_to(unknown) is None


def test_dial_makes_way_for_a_link_by_another_address(table):
    dial(table, ANN)
    dial(table, Node(address="ann:2"), attempt=2)
    link = table.protocol_of(DIAL)
    assert table.receive(2, answer(ANN)) == [
        Write(2, Confirm()),
        Up(2, ANN),
        Close(DIAL),
        Linked(DIAL, ANN),
        Linked(2, ANN),
    ]
    assert link.state is LinkState.CLOSED


def test_connection_is_turned_away_whoever_dialled(table):
    link = table.wires[IN] = table.accept(IN)
    list(link.receive(encode(hello(ANN))))
    assert table.refuse(IN, ConnectReason.FULL) == [Write(IN, refusal_of_bob("full")), Close(IN)]


def test_peer_without_an_address_has_the_one_that_we_dialled(table):
    nowhere = ANN.evolve(address=None)
    assert link_by_dial(table, ANN)[1] == Up(DIAL, ANN)  # as it says
    table.closed(DIAL)
    dial(table, ANN)
    assert table.receive(DIAL, answer(nowhere))[1] == Up(DIAL, ANN)
    table.closed(DIAL)
    assert link_by_accepting(table, nowhere) == [Up(IN, nowhere)]


def test_connections_are_numbered_from_one(table):
    assert [table.next_number() for _ in range(3)] == [1, 2, 3]


def test_actions_are_values():
    assert all(each.__struct_config__.frozen for each in get_args(do.Action))
