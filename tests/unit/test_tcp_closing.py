"""The end of links and dials: stops, goodbyes, lost connections, and peers that hang up."""

from weakref import ref

import pytest
from tcp_tables import (
    ANN,
    CAT,
    DIAL,
    IN,
    IN2,
    Write,
    answer,
    dial,
    failure,
    hello,
    link_by_accepting,
    link_by_dial,
    refusal,
    younger,
)

from cluster_kit.connectors.tcp.actions import Close, Down
from cluster_kit.connectors.tcp.faults import DialFault
from cluster_kit.connectors.tcp.handshake import MAX_DIALLED, PATIENCE, ClosedAfterHello
from cluster_kit.errors import ConnectReason
from cluster_kit.events import Reason
from cluster_kit.node import BootId
from cluster_kit.wire.frames import Goodbye, Want


class TestEnd:
    def test_stop_says_goodbye_to_all_and_reports_each_down(self, table):
        link_by_accepting(table, CAT)
        link_by_dial(table, ANN)
        table.receive(IN2, hello(ANN.evolve(name="dan@h", boot_id=BootId(7, 7))))
        goodbye = Goodbye(reason="leaving")
        assert table.stop() == [
            Write(DIAL, goodbye),
            Down(ANN, Reason.SHUTDOWN),
            Write(IN, goodbye),
            Down(CAT, Reason.SHUTDOWN),
            Write(IN2, goodbye),
            Close(IN),
            Close(DIAL),
            Close(IN2),
        ]

    def test_stop_fails_what_is_under_way(self, table):
        table.connect(DIAL, ANN)
        actions = table.stop()
        assert actions[0] == Close(DIAL)
        error = failure(actions)
        assert error.reason is ConnectReason.FAILED
        assert ": we are stopping: " in str(error)

    def test_nothing_is_reported_after_stop(self, table):
        link_by_dial(table, ANN)
        table.stop()
        assert table.closed(DIAL) == []
        assert table.receive(DIAL, Want(wanted=False)) == []

    @pytest.mark.parametrize("reason", ["leaving", "some later reason"])
    def test_goodbye_is_leaving(self, table, reason):
        link_by_dial(table, ANN)
        assert table.receive(DIAL, Goodbye(reason=reason)) == [Close(DIAL), Down(ANN, Reason.LEFT)]

    def test_lost_link_is_down_once(self, table):
        link_by_dial(table, ANN)
        assert table.closed(DIAL, Reason.SILENT) == [Down(ANN, Reason.SILENT)]
        assert table.closed(DIAL) == []


class TestHangingUp:
    @pytest.fixture
    def hang_up(self, table):
        def hang_up(node=ANN):
            dial(table, node)
            return failure(table.closed(DIAL)).reason

        return hang_up

    def test_peer_that_always_hangs_up_on_our_hello_has_another_protocol(self, hang_up):
        assert {hang_up() for _ in range(PATIENCE)} == {ConnectReason.RESET}
        assert hang_up() is hang_up() is ConnectReason.PROTOCOL
        assert hang_up(CAT) is ConnectReason.RESET

    @pytest.mark.parametrize(
        "word", [answer(ANN), refusal("leaving", ANN)], ids=["answer", "refusal"]
    )
    def test_one_reply_resets_the_count_of_hang_ups(self, table, hang_up, word):
        for _ in range(PATIENCE):
            hang_up()
        dial(table, ANN)
        table.receive(DIAL, word)
        table.closed(DIAL)
        assert {hang_up() for _ in range(PATIENCE)} == {ConnectReason.RESET}

    def test_peer_that_we_keep_waiting_may_hang_up(self, table, hang_up):
        link_by_dial(table, ANN)
        for _ in range(2 * PATIENCE):
            table.wires.pop(IN, None)
            table.receive(IN, hello(younger(ANN)))
            table.closed(IN)
        table.closed(DIAL)
        assert hang_up() is ConnectReason.RESET

    def test_silence_is_no_hanging_up(self, table, hang_up):
        for _ in range(2 * PATIENCE):
            dial(table, ANN)
            assert (
                failure(table.closed(DIAL, fault=DialFault.of(ConnectReason.TIMEOUT))).reason
                is ConnectReason.TIMEOUT
            )
        assert hang_up() is ConnectReason.RESET

    def test_oldest_hang_ups_are_forgotten(self):
        hang_ups = ClosedAfterHello()
        for _ in range(PATIENCE):
            hang_ups.again("ann")
        for number in range(MAX_DIALLED):
            assert not hang_ups.again(f"n{number}")
        assert not hang_ups.again("ann")


def test_stranger_that_hangs_up_is_forgotten(table):
    link = ref(table.accept(IN))
    assert table.closed(IN) == []
    assert link() is None
