"""Which peers may be linked to, by how each end introduces itself; and what each fault says."""

import pytest

from cluster_kit.connectors.tcp.faults import CAUSES, DialFault, NameTaken, untrusted
from cluster_kit.connectors.tcp.handshake import (
    MAX_DIALLED,
    PATIENCE,
    ClosedAfterHello,
    Presence,
    undiallable,
    unproved_name_fault,
)
from cluster_kit.errors import ConnectReason, NameConflict, UntrustedError
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.wire.frames import Confirm, Hello, Identity, Refusal, Welcome

FENCE = Fence("shop", "web")
BOB = Node(name="bob@h", address="bob:1", boot_id=BootId(50, 0))
ANN = Node(name="ann@h", address="ann:1", boot_id=BootId(40, 0))
TWIN = BOB.evolve(boot_id=BootId(51, 0))
US = Presence(BOB, FENCE, features=("fly",))


def identity(node, fence=FENCE):
    return Identity.of(node, fence, leaving=False, wanted=True)


def hello(identity):
    return Hello(magic="cluster_kit", version=1, identity=identity)


def refusal(reason, **parts):
    return Refusal(reason=reason, **parts)


class TestIntroducing:
    def test_node_says_what_it_can_do_and_whether_it_is_leaving(self):
        us = Presence(BOB, FENCE, leaving=True, features=("fly",))
        said = us.introduction(wanted=False)
        assert (said.node(), said.fence, said.features) == (BOB, FENCE, ["fly"])
        assert (said.leaving, said.wanted) == (True, False)
        assert us.hello().identity == us.introduction(wanted=True)

    @pytest.mark.parametrize("reason", ["foreign", "protocol", "self"])
    def test_refusal_for_these_reasons_carries_no_identity(self, reason):
        assert US.refusal(ConnectReason(reason)) == refusal(reason)

    def test_other_refusals_carry_an_identity(self):
        mine = US.introduction(wanted=False)
        refused = US.refusal(ConnectReason.CONFLICT, BootId(7, 7))
        assert refused == refusal("conflict", identity=mine, rival=(7, 7))
        assert US.refusal(ConnectReason.FULL) == refusal("full", identity=mine)


@pytest.mark.parametrize(
    ("identity", "reason"),
    [
        (identity(ANN), None),
        (None, ConnectReason.PROTOCOL),
        (identity(BOB), ConnectReason.SELF),
        (identity(ANN.evolve(boot_id=BOB.boot_id), Fence("a", "b")), ConnectReason.SELF),
        (identity(ANN, Fence("shop", "lan")), ConnectReason.FOREIGN),
        (identity(TWIN, Fence("shop", "lan")), ConnectReason.FOREIGN),
        (identity(TWIN), ConnectReason.CONFLICT),
    ],
)
def test_hello_is_refused_for_the_first_reason_that_applies(identity, reason):
    assert US.judge_hello(hello(identity)) is reason


def test_hello_is_refused_while_we_are_leaving():
    us = Presence(BOB, FENCE, leaving=True)
    assert us.judge_hello(hello(identity(ANN))) is ConnectReason.LEAVING
    assert us.judge_hello(hello(identity(TWIN))) is ConnectReason.CONFLICT


@pytest.mark.parametrize("target", [ANN, Node(address="ann:1")])
def test_answer_is_good(target):
    assert US.judge_answer(target, identity(ANN)) is None


@pytest.mark.parametrize(
    ("answered", "reason", "says"),
    [
        (identity(BOB), ConnectReason.FAILED, "it claims to be this process"),
        (
            identity(ANN, Fence("shop", "lan")),
            ConnectReason.FOREIGN,
            "belongs to another cluster or group",
        ),
        (identity(TWIN), ConnectReason.CONFLICT, "two live processes use the name 'bob@h'"),
        (identity(ANN.evolve(name="cat@h")), ConnectReason.NAME, "'cat@h' answers there, expected"),
    ],
)
def test_answer_is_turned_down(answered, reason, says):
    fault = US.judge_answer(ANN, answered)
    assert fault.reason is reason
    assert says in fault.cause


class TestRefusals:
    @pytest.mark.parametrize("reason", ["foreign", "crossed", "leaving", "full"])
    def test_these_mean_what_they_say(self, reason):
        fault = US.explain(ANN, refusal(reason))
        assert fault == DialFault(ConnectReason(reason), "; ".join(CAUSES[ConnectReason(reason)]))

    @pytest.mark.parametrize("reason", ["full moon", "auth", "refused"])
    def test_other_reasons_are_unknown(self, reason):
        fault = US.explain(ANN, refusal(reason))
        assert fault.reason is ConnectReason.FAILED
        assert f"a reason unknown here: {reason!r}" in fault.cause

    def test_refusal_from_another_node_is_a_wrong_name(self):
        fault = US.explain(ANN, refusal("leaving", identity=identity(ANN.evolve(name="cat@h"))))
        assert fault.reason is ConnectReason.NAME

    def test_another_version_is_named(self):
        fault = US.explain(ANN, refusal("protocol", version=7))
        assert fault.reason is ConnectReason.PROTOCOL
        assert fault.cause.startswith("it speaks version 7, we speak 1: ")

    def test_rival_for_our_name_is_identified_by_its_boot(self):
        fault = US.explain(ANN, refusal("conflict", rival=(51, 0)))
        assert isinstance(fault, NameTaken)
        assert (fault.ours, fault.rival) == (BOB.boot_id, TWIN.boot_id)

    def test_self_refusal_counts_only_if_our_hello_arrived_here(self):
        assert US.explain(ANN, refusal("self")).reason is ConnectReason.FAILED
        ours = US.explain(ANN, refusal("self"), echoed=True)
        assert (ours.reason, ours.retryable) == (ConnectReason.SELF, True)


class TestFaults:
    def test_each_reason_has_a_cause_and_a_cure(self):
        elsewhere = {ConnectReason.AUTH, ConnectReason.IGNORED}  # by UntrustedError; never by tcp
        assert CAUSES.keys() == set(ConnectReason) - elsewhere
        assert all(what and cure for what, cure in CAUSES.values())

    def test_error_names_the_node_and_the_cause(self):
        error = DialFault.of(ConnectReason.REFUSED, "connection refused").error(ANN)
        assert str(error) == (
            "tcp: cannot link to 'ann@h' at 'ann:1': connection refused: "
            "nothing listens there; start the node or correct its address"
        )
        assert (error.node, error.reason, error.retryable) == ("ann@h", ConnectReason.REFUSED, True)
        anonymous = DialFault.of(ConnectReason.NAME).error(Node(address="ann:1"))
        assert str(anonymous).startswith(
            "tcp: cannot link to 'ann:1': a node may use only its own name"
        )
        assert not anonymous.retryable

    def test_retrying_may_be_against_the_reason(self):
        assert DialFault.of(ConnectReason.SELF, retryable=True).error(ANN).retryable
        assert not DialFault.of(ConnectReason.FAILED, retryable=False).error(ANN).retryable

    def test_name_that_is_taken_is_reported_with_both_boots(self):
        error = NameTaken.by(TWIN.boot_id, BOB).error(ANN)
        assert isinstance(error, NameConflict)
        assert error.node == "ann@h"
        boots = f"by the boot {TWIN.boot_id}, ours is {BOB.boot_id}"
        assert str(error).endswith(f"; 'ann@h' at 'ann:1' knows it {boots}")

    def test_distrust_has_its_own_cure(self):
        fault = untrusted(UntrustedError("it shows no certificate", cure="give it one"))
        assert fault == DialFault(ConnectReason.AUTH, "it shows no certificate: give it one")

    @pytest.mark.parametrize(
        ("address", "says", "retryable"),
        [(None, "no address known", None), ("unix:/run/eve.sock", "not host:port", False)],
    )
    def test_node_that_tcp_cannot_dial(self, address, says, retryable):
        fault = undiallable(Node(name="eve@h", address=address))
        assert (fault.reason, fault.retryable) == (ConnectReason.UNREACHABLE, retryable)
        assert says in fault.cause
        assert undiallable(ANN) is None


class Certificate:
    def objection_to(self, name):
        return None if name == "ann@h" else "has proved to be 'ann@h'"


class TestCertificates:
    @pytest.mark.parametrize(
        "introduced", [hello, Welcome, lambda identity: refusal("leaving", identity=identity)]
    )
    def test_name_counts_once_it_is_proved(self, introduced):
        assert unproved_name_fault(Certificate(), introduced(identity(ANN))) is None
        lie = unproved_name_fault(Certificate(), introduced(identity(BOB)))
        assert lie == "it calls itself 'bob@h', and has proved to be 'ann@h'"

    @pytest.mark.parametrize("frame", [Confirm(), refusal("foreign"), hello(None)])
    def test_frame_without_a_name_claims_none(self, frame):
        assert unproved_name_fault(Certificate(), frame) is None


def test_hang_ups_of_so_many_nodes_are_counted_and_no_more():
    hang_ups = ClosedAfterHello()
    assert not any(hang_ups.again("ann") for _ in range(PATIENCE))
    assert not any(hang_ups.again(f"n{number}") for number in range(MAX_DIALLED - 1))
    assert hang_ups.again("ann")
    hang_ups.answered("nobody")
