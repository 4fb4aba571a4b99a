"""The link table, rule by rule: which connection counts, and which actions follow."""

from typing import get_args
from weakref import ref

import pytest

from cluster_kit.abc import MAX_GREETING_BYTES
from cluster_kit.connectors.tcp import actions as do
from cluster_kit.connectors.tcp import arbitration
from cluster_kit.connectors.tcp.actions import (
    AttemptFailed,
    Changed,
    Close,
    Conflict,
    Dial,
    Down,
    Echo,
    Linked,
    PeerLeaving,
    Probe,
    Rekeyed,
    Up,
)
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
from cluster_kit.connectors.tcp.connection import MESSAGES
from cluster_kit.connectors.tcp.faults import DialFault
from cluster_kit.connectors.tcp.handshake import MAX_DIALLED, PATIENCE, ClosedAfterHello
from cluster_kit.connectors.tcp.table import LinkTable
from cluster_kit.errors import ConnectReason, NameConflict, RemoteProtocolError
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.wire.frames import (
    GREETING_BYTES,
    HEADER_BYTES,
    MAX_GREETING_FRAMES,
    Confirm,
    Goodbye,
    Greeting,
    Hello,
    Identity,
    Refusal,
    Secrets,
    Update,
    Want,
    Welcome,
    decode,
    encode,
)
from cluster_kit.wire.link import LinkState

FENCE = Fence("shop", "web")
# we are bob: ann's name is lower than ours, cat's is higher
BOB = Node(name="bob@h", address="bob:1", boot_id=BootId(50, 0))
ANN = Node(name="ann@h", address="ann:1", boot_id=BootId(40, 0))
CAT = Node(name="cat@h", address="cat:1", boot_id=BootId(60, 0))
DIAL, IN, IN2 = 1, 100, 101  # numbers of connections


class Table(LinkTable):
    """A table that takes frames as if they came in on the wire."""

    def __init__(self, **options):
        super().__init__(BOB, FENCE, **options)
        self.wires = {}

    def established(self, conn):
        self.wires[conn] = self.protocol_of(conn)
        return super().established(conn)

    def receive(self, conn, frame):
        if conn not in self.wires:
            self.wires[conn] = self.accept(conn)
        frames = self.wires[conn].receive(encode(frame))
        return [action for heard in frames for action in LinkTable.receive(self, conn, heard)]


@pytest.fixture
def table():
    return Table()


def Write(conn, frame):  # noqa: N802 - stands for the action
    return do.Write(conn, encode(frame))


def said(action):
    """Return the frame that is sent."""
    return decode(action.data[HEADER_BYTES:])


def identity(node, *, wanted=True, leaving=False, fence=FENCE, features=()):
    return Identity.of(node, fence, leaving=leaving, wanted=wanted, features=features)


def hello(node, **said):
    return Hello(magic="cluster_kit", version=1, identity=identity(node, **said))


def answer(node, **said):
    return Welcome(identity=identity(node, **said))


def refusal(reason, node=None, rival=None):
    return Refusal(reason=reason, identity=identity(node) if node else None, rival=rival)


def younger(node):
    return node.evolve(boot_id=BootId(node.boot_id.started_ms + 1, 0))


def older(node):
    return node.evolve(boot_id=BootId(node.boot_id.started_ms - 1, 0))


def dial(table, node, attempt=DIAL):
    """Dial and greet."""
    assert table.connect(attempt, node) == [Dial(attempt, node)]
    (greeting,) = table.established(attempt)
    assert isinstance(said(greeting), Hello)


def link_by_dial(table, node, attempt=DIAL):
    dial(table, node, attempt)
    return table.receive(attempt, answer(node))


def link_by_accepting(table, node, conn=IN):
    table.receive(conn, hello(node))
    return table.receive(conn, Confirm())


def told(taken):
    """Return the one frame that is sent."""
    (frame,) = [said(action) for action in taken if isinstance(action, do.Write)]
    return frame


def failure(actions):
    (failed,) = [action for action in actions if isinstance(action, AttemptFailed)]
    return failed.error


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

    def test_node_of_unknown_name_becomes_who_it_says_it_is(self, table):
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

    def test_secrets_are_told_when_the_link_is_up_and_when_they_change(self):
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

    def test_hello_tells_the_metadata_of_that_moment(self, table):
        table.connect(DIAL, ANN)
        table.update(BOB.evolve(metadata={"zone": "b"}), leaving=False)
        assert told(table.established(DIAL)).identity.metadata == {"zone": "b"}

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
        assert told(table.receive(IN, hello(ANN))) == Refusal(
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

    def test_refusal_for_an_older_process_tells_both_boots(self, table):
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


class TestCrossedDials:
    def test_dial_of_the_lower_name_wins_over_ours(self, table):
        dial(table, ANN)
        assert table.receive(IN, hello(ANN)) == [Close(DIAL), Write(IN, answer(BOB, wanted=True))]
        assert table.receive(IN, Confirm()) == [Up(IN, ANN), Linked(DIAL, ANN)]

    def test_our_dial_wins_over_that_of_the_higher_name(self, table):
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

    def test_answer_of_a_peer_that_is_linked_meanwhile_is_not_confirmed(self, table):
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
        assert told(table.closed(IN)) == answer(BOB, wanted=False)


def refusal_of_bob(reason, rival=None):
    return Refusal(reason=reason, identity=identity(BOB, wanted=False), rival=rival)


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
        assert told(table.closed(IN)) == answer(BOB, wanted=False)

    def test_newcomer_that_gives_up_is_forgotten(self, table):
        link_by_dial(table, ANN)
        table.receive(IN, hello(younger(ANN)))
        assert table.closed(IN) == []
        assert table.heard(DIAL) == []

    @pytest.mark.parametrize("other", [younger, older])
    def test_other_process_that_we_dialled_is_told_of_the_conflict(self, table, other):
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


class TestWishes:
    def test_peer_is_told_when_the_link_is_no_longer_wanted(self, table):
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

    def test_link_that_nobody_wants_is_closed_by_who_hears_it(self, table):
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
        assert told(table.receive(IN, hello(ANN))).identity.wanted
        table.abandon(DIAL)
        assert table.receive(IN, Confirm()) == [Up(IN, ANN), Write(IN, Want(wanted=False))]

    def test_disconnect_from_a_stranger_does_nothing(self, table):
        assert table.disconnect(ANN) == []


class TestTelling:
    def test_every_peer_is_told_what_changed(self, table):
        link_by_dial(table, ANN)
        link_by_accepting(table, CAT)
        news = Update(metadata={"zone": "b"}, leaving=False)
        assert table.update(BOB.evolve(metadata={"zone": "b"}), leaving=False) == [
            Write(DIAL, news),
            Write(IN, news),
        ]

    def test_nobody_is_told_what_has_not_changed(self, table):
        link_by_dial(table, ANN)
        assert table.update(BOB, leaving=False) == []

    def test_hello_says_how_we_are_once_the_stream_is_open(self, table):
        table.connect(DIAL, ANN)
        now = BOB.evolve(metadata={"zone": "b"})
        table.update(now, leaving=False)
        assert told(table.established(DIAL)) == hello(now)
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

    def test_who_always_hangs_up_on_our_hello_does_not_speak_our_protocol(self, hang_up):
        assert {hang_up() for _ in range(PATIENCE)} == {ConnectReason.RESET}
        assert hang_up() is hang_up() is ConnectReason.PROTOCOL
        assert hang_up(CAT) is ConnectReason.RESET

    @pytest.mark.parametrize(
        "word", [answer(ANN), refusal("leaving", ANN)], ids=["answer", "refusal"]
    )
    def test_who_answers_once_may_hang_up_anew(self, table, hang_up, word):
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

    def test_who_has_not_hung_up_for_long_is_forgotten(self):
        hang_ups = ClosedAfterHello()
        for _ in range(PATIENCE):
            hang_ups.again("ann")
        for number in range(MAX_DIALLED):
            assert not hang_ups.again(f"n{number}")
        assert not hang_ups.again("ann")


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


def test_stranger_that_hangs_up_is_forgotten(table):
    link = ref(table.accept(IN))
    assert table.closed(IN) == []
    assert link() is None


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


# greetings


def greeting_table(*greetings):
    """Return a table of a node that greets otherwise each time."""
    return Table(features=(MESSAGES,), greeting=iter(greetings).__next__)


def frames(actions):
    return [said(action) for action in actions if isinstance(action, do.Write)]


def up(actions):
    (link,) = [action for action in actions if isinstance(action, Up)]
    return link.greeting, link.sent


def test_acceptor_greets_before_its_answer_with_the_greeting_of_that_moment():
    table = greeting_table(b"now", b"later")
    greeted, answered = frames(table.receive(IN, hello(ANN, features=[MESSAGES])))
    assert greeted == Greeting(b"now")
    assert isinstance(answered, Welcome)
    assert table.receive(IN, Greeting(b"I am ")) == table.receive(IN, Greeting(b"ann")) == []
    assert up(table.receive(IN, Confirm())) == (b"I am ann", b"now")
    assert frames(table.receive(IN2, hello(CAT, features=[MESSAGES])))[0] == Greeting(b"later")


def test_dialler_greets_before_it_confirms():
    table = greeting_table(b"now")
    dial(table, ANN)
    assert table.receive(DIAL, Greeting(b"I am ann")) == []
    actions = table.receive(DIAL, answer(ANN, features=[MESSAGES]))
    assert frames(actions) == [Greeting(b"now"), Confirm()]
    assert up(actions) == (b"I am ann", b"now")


def test_long_greeting_is_said_in_pieces():
    greeting = bytes(range(200)) * 50
    greeted = frames(greeting_table(greeting).receive(IN, hello(ANN, features=[MESSAGES])))[:-1]
    assert [len(piece.data) for piece in greeted] == [GREETING_BYTES, GREETING_BYTES, 2000]
    assert b"".join(piece.data for piece in greeted) == greeting


def test_empty_greeting_takes_no_word():
    table = greeting_table(b"")
    (answered,) = frames(table.receive(IN, hello(ANN, features=[MESSAGES])))
    assert isinstance(answered, Welcome)
    assert up(table.receive(IN, Confirm())) == (b"", b"")


@pytest.mark.parametrize(("ours", "theirs"), [((), [MESSAGES]), ((MESSAGES,), []), ((), [])])
def test_who_carries_no_messages_is_not_greeted_and_does_not_greet(ours, theirs):
    table = Table(features=ours, greeting=lambda: b"now")
    (answered,) = frames(table.receive(IN, hello(ANN, features=theirs)))
    assert isinstance(answered, Welcome)
    table.receive(IN, Greeting(b"all the same"))
    assert up(table.receive(IN, Confirm())) == (None, b"")


def test_greeting_of_too_many_bytes_breaks_the_protocol():
    table = greeting_table(b"")
    table.receive(IN, hello(ANN, features=[MESSAGES]))
    for start in range(0, MAX_GREETING_BYTES, GREETING_BYTES):
        table.receive(IN, Greeting(bytes(min(GREETING_BYTES, MAX_GREETING_BYTES - start))))
    with pytest.raises(RemoteProtocolError, match="greeting of more than"):
        table.receive(IN, Greeting(b"x"))


def test_greeting_in_too_many_pieces_breaks_the_protocol():
    table = greeting_table(b"")
    table.receive(IN, hello(ANN, features=[MESSAGES]))
    for _ in range(MAX_GREETING_FRAMES):
        table.receive(IN, Greeting(b"x"))
    with pytest.raises(RemoteProtocolError, match="greeting of more than"):
        table.receive(IN, Greeting(b"x"))
