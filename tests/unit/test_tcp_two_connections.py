"""The link table with two connections to one peer: which one stays, and how the other ends."""

import pytest
from tcp_tables import (
    ANN,
    BOB,
    CAT,
    DIAL,
    IN,
    IN2,
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

from cluster_kit.connectors.tcp import arbitration
from cluster_kit.connectors.tcp.actions import Close, Conflict, Down, Linked, Probe, Up
from cluster_kit.connectors.tcp.arbitration import (
    ACCEPTED,
    CASES,
    DIALLED,
    HEARD,
    OTHER,
    UNKNOWN,
    UP,
    Verdict,
)
from cluster_kit.errors import ConnectReason, NameConflict
from cluster_kit.events import Reason
from cluster_kit.node import Node
from cluster_kit.wire.frames import Confirm, Goodbye, Refusal, Want


class TestCrossedDials:
    def test_dial_of_the_lower_name_wins_over_ours(self, table):
        dial(table, ANN)
        assert table.receive(IN, hello(ANN)) == [Close(DIAL), Write(IN, answer(BOB, wanted=True))]
        assert table.receive(IN, Confirm()) == [Up(IN, ANN), Linked(DIAL, ANN)]

    def test_our_dial_wins_over_the_dial_of_the_higher_name(self, table):
        dial(table, CAT)
        refused = Refusal(reason="crossed", identity=identity(BOB, wanted=False))
        assert table.receive(IN, hello(CAT)) == [Write(IN, refused), Close(IN)]
        assert Up(DIAL, CAT) in table.receive(DIAL, answer(CAT))

    def test_our_dial_gives_way_as_long_as_it_has_said_nothing(self, table):
        table.connect(DIAL, CAT)
        assert table.receive(IN, hello(CAT)) == [Close(DIAL), Write(IN, answer(BOB, wanted=True))]

    def test_dial_of_unknown_name_that_crosses_settles_by_the_names(self, table):
        dial(table, Node(address="ann:1"))
        assert table.receive(IN, hello(ANN)) == [Write(IN, answer(BOB, wanted=False))]
        assert table.receive(DIAL, answer(ANN)) == [Close(DIAL)]
        assert Linked(DIAL, ANN) in table.receive(IN, Confirm())

    def test_connect_waits_for_a_dial_of_the_peer_that_is_answered(self, table):
        table.receive(IN, hello(ANN))
        assert table.connect(DIAL, ANN) == []
        assert table.receive(IN, Confirm()) == [
            Up(IN, ANN),
            Linked(DIAL, ANN),
            Write(IN, Want(wanted=True)),
        ]

    def test_connect_that_waits_fails_with_what_it_waits_for(self, table):
        dial(table, CAT, attempt=2)
        table.receive(IN, hello(ANN))
        table.connect(DIAL, ANN)
        error = failure(table.closed(IN))
        assert (error.reason, error.retryable) == (ConnectReason.RESET, True)

    def test_connect_goes_on_waiting_when_the_next_dial_of_the_peer_takes_over(self, table):
        table.receive(IN, hello(ANN))
        table.connect(DIAL, ANN)
        table.receive(IN2, hello(ANN))
        assert table.closed(IN) == [Write(IN2, answer(BOB, wanted=True))]
        assert Linked(DIAL, ANN) in table.receive(IN2, Confirm())

    def test_both_answered_lower_name_is_them(self, table):
        dial(table, Node(address="alias:1"))
        table.receive(IN, hello(ANN))
        assert table.receive(DIAL, answer(ANN)) == [Close(DIAL)]
        actions = table.receive(IN, Confirm())
        assert [action for action in actions if isinstance(action, Up | Linked)] == [
            Up(IN, ANN),
            Linked(DIAL, ANN),
        ]

    def test_both_answered_lower_name_is_us(self, table):
        dial(table, Node(address="alias:1"))
        table.receive(IN, hello(CAT))
        actions = table.receive(DIAL, answer(CAT))
        assert actions == [Close(IN), Write(DIAL, Confirm()), Up(DIAL, CAT), Linked(DIAL, CAT)]

    def test_answer_of_a_peer_linked_in_the_meantime_is_not_confirmed(self, table):
        dial(table, Node(address="alias:1"))
        link_by_accepting(table, ANN)
        assert table.receive(DIAL, answer(ANN)) == [
            Close(DIAL),
            Linked(DIAL, ANN),
            Write(IN, Want(wanted=True)),
        ]

    def test_crossed_dial_is_worth_another_try(self, table):
        dial(table, ANN)
        error = failure(table.receive(DIAL, refusal("crossed", ANN)))
        assert (error.reason, error.retryable) == (ConnectReason.CROSSED, True)

    def test_crossed_dial_has_the_link_that_took_its_place(self, table):
        dial(table, Node(address="alias:1"))
        link_by_accepting(table, ANN)
        assert Linked(DIAL, ANN) in table.receive(DIAL, refusal("crossed", ANN))

    def test_crossed_dial_waits_for_the_connection_that_takes_its_place(self, table):
        dial(table, Node(address="alias:1"))
        table.receive(IN, hello(ANN))
        assert table.receive(DIAL, refusal("crossed", ANN)) == [Close(DIAL)]
        assert Linked(DIAL, ANN) in table.receive(IN, Confirm())

    def test_second_dial_of_a_peer_waits_for_the_first(self, table):
        table.receive(IN, hello(ANN))
        assert table.receive(IN2, hello(ANN)) == []
        assert table.closed(IN) == [Write(IN2, answer(BOB, wanted=False))]

    def test_second_dial_of_a_peer_is_refused_when_the_first_is_up(self, table):
        table.receive(IN, hello(ANN))
        table.receive(IN2, hello(ANN))
        assert table.receive(IN, Confirm()) == [
            Up(IN, ANN),
            Write(IN2, refusal_of_bob("crossed")),
            Close(IN2),
        ]

    def test_only_the_latest_dial_of_a_peer_waits(self, table):
        table.receive(IN, hello(ANN))
        table.receive(IN2, hello(ANN))
        assert table.receive(102, hello(ANN)) == [Write(IN2, refusal_of_bob("crossed")), Close(IN2)]
        assert only_frame(table.closed(IN)) == answer(BOB, wanted=False)


class TestSecondConnectionUnderALinkedName:
    def test_link_is_probed_and_nothing_said(self, table):
        link_by_dial(table, ANN)
        assert table.receive(IN, hello(ANN)) == [Probe(DIAL)]

    def test_live_link_of_the_same_process_stays(self, table):
        link_by_dial(table, ANN)
        table.receive(IN, hello(ANN))
        assert table.heard(DIAL) == [Write(IN, refusal_of_bob("crossed")), Close(IN)]

    def test_link_that_closes_makes_way(self, table):
        link_by_dial(table, ANN)
        table.receive(IN, hello(ANN))
        assert table.closed(DIAL) == [
            Down(ANN, Reason.CLOSED),
            Write(IN, answer(BOB, wanted=False)),
        ]

    @pytest.mark.parametrize("reason", [Reason.CLOSED, Reason.SILENT])
    @pytest.mark.parametrize(
        "restarted", [younger(ANN), older(ANN)], ids=["newer boot", "clock set back"]
    )
    def test_dead_link_is_replaced_by_any_other_boot(self, table, reason, restarted):
        link_by_dial(table, ANN)
        table.receive(IN, hello(restarted))
        assert table.closed(DIAL, reason) == [
            Down(ANN, Reason.REPLACED),
            Write(IN, answer(BOB, wanted=False)),
        ]
        assert table.receive(IN, Confirm()) == [Up(IN, restarted)]

    def test_link_with_a_goodbye_has_left_whoever_waits(self, table):
        link_by_dial(table, ANN)
        table.receive(IN, hello(younger(ANN)))
        assert Down(ANN, Reason.LEFT) in table.receive(DIAL, Goodbye(reason="leaving"))

    @pytest.mark.parametrize("other", [younger, older])
    def test_live_link_stays_whatever_the_age_of_the_other_process(self, table, other):
        link_by_dial(table, ANN)
        twin = other(ANN)
        table.receive(IN, hello(twin))
        assert table.heard(DIAL) == [
            Conflict("ann@h", twin.boot_id),
            Write(IN, refusal_of_bob("conflict", rival=(40, 0))),
            Close(IN),
        ]

    def test_link_is_not_what_another_run_of_the_peer_refused_our_dial_for(self, table):
        link_by_accepting(table, ANN)
        dial(table, Node(address="twin:1"))
        error = failure(table.receive(DIAL, refusal("crossed", younger(ANN))))
        assert error.reason is ConnectReason.CROSSED

    def test_link_is_not_what_its_peer_refused_our_dial_for_another_reason(self, table):
        link_by_accepting(table, ANN)
        dial(table, Node(address="ann:2"))
        error = failure(table.receive(DIAL, refusal("leaving", ANN)))
        assert error.reason is ConnectReason.LEAVING

    def test_dial_that_has_crossed_with_an_unknown_peer_fails(self, table):
        dial(table, ANN)
        assert failure(table.receive(DIAL, refusal("crossed"))).reason is ConnectReason.CROSSED

    def test_sign_of_life_settles_only_what_waits_behind_a_link(self, table):
        table.receive(IN, hello(ANN))
        table.receive(IN2, hello(ANN))
        assert table.heard(IN) == table.heard(IN2) == table.heard(99) == []
        assert only_frame(table.closed(IN)) == answer(BOB, wanted=False)

    def test_data_from_the_newcomer_is_no_sign_of_life_of_the_link(self, table):
        link_by_dial(table, ANN)
        table.receive(IN, hello(younger(ANN)))
        assert table.heard(IN) == []

    def test_newcomer_that_gives_up_is_forgotten(self, table):
        link_by_dial(table, ANN)
        table.receive(IN, hello(younger(ANN)))
        assert table.closed(IN) == []
        assert table.heard(DIAL) == []

    @pytest.mark.parametrize("other", [younger, older])
    def test_other_process_that_we_dialled_learns_of_the_conflict(self, table, other):
        link_by_accepting(table, ANN)
        twin = other(ANN)
        dial(table, Node(address="twin:1"))
        assert table.receive(DIAL, answer(twin)) == [Probe(IN)]
        actions = table.heard(IN)
        assert Write(DIAL, Goodbye(reason="conflict", rival=(40, 0))) in actions
        error = failure(actions)
        assert error.reason is ConnectReason.CONFLICT
        assert not isinstance(error, NameConflict)
        assert not any(isinstance(action, Up | Down) for action in actions)

    def test_dialled_successor_of_a_dead_link_is_confirmed(self, table):
        link_by_accepting(table, ANN)
        again = younger(ANN)
        dial(table, Node(address="twin:1"))
        table.receive(DIAL, answer(again))
        assert table.closed(IN, Reason.SILENT) == [
            Down(ANN, Reason.REPLACED),
            Write(DIAL, Confirm()),
            Up(DIAL, again),
            Linked(DIAL, again),
        ]


class TestChangedRows:
    """Verdicts that no row gives today for these cases, carried out all the same."""

    @pytest.fixture
    def judged(self, monkeypatch):
        def judged(verdict, **columns):
            row = next(row for row in CASES if columns.items() <= row._asdict().items())
            changed = [row._replace(verdict=verdict) if each is row else each for each in CASES]
            monkeypatch.setattr(arbitration, "CASES", changed)

        return judged

    def test_link_is_down_before_the_dial_that_replaces_it_is_up(self, table, judged):
        judged(Verdict.REPLACE, role=DIALLED, incumbent=UP, process=OTHER, sign=UNKNOWN)
        link_by_accepting(table, ANN)
        again = younger(ANN)
        dial(table, Node(address="twin:1"))
        assert table.receive(DIAL, answer(again)) == [
            Down(ANN, Reason.REPLACED),
            Close(IN),
            Write(DIAL, Confirm()),
            Up(DIAL, again),
            Linked(DIAL, again),
        ]

    def test_link_is_down_before_the_peer_that_replaces_it_is_answered(self, table, judged):
        judged(Verdict.REPLACE, role=ACCEPTED, incumbent=UP, process=OTHER, sign=HEARD)
        link_by_dial(table, ANN)
        again = younger(ANN)
        table.receive(IN, hello(again))
        assert table.heard(DIAL) == [
            Down(ANN, Reason.REPLACED),
            Close(DIAL),
            Write(IN, answer(BOB, wanted=False)),
        ]
        assert table.receive(IN, Confirm()) == [Up(IN, again)]

    def test_dial_that_yields_to_another_process_fails(self, table, judged):
        judged(Verdict.YIELD, role=DIALLED, incumbent=UP, process=OTHER, sign=UNKNOWN)
        link_by_accepting(table, ANN)
        dial(table, Node(address="twin:1"))
        assert failure(table.receive(DIAL, answer(younger(ANN)))).reason is ConnectReason.CROSSED
