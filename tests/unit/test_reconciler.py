from itertools import pairwise

import pytest
from membership_parts import error, node

from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.membership.peer import NO_OFFER, CommandKind, Offer, Peers
from cluster_kit.membership.reconciler import (
    CROSSED_RETRY_S,
    FINAL_RETRY_S,
    FIRST_RETRY_S,
    LAST_RETRY_S,
    LIVELY_S,
    MAX_DOUBTFUL,
    MAX_HOPEFUL,
    PROMPT_S,
    RENEW_S,
    STABLE_S,
    Connect,
    Disconnect,
    GiveUp,
    Reconciler,
)
from cluster_kit.node import Node

B, C = node("b"), node("c")
LONG_S = 1000.0


def peer_of(reconciler, node):
    return reconciler._peers[node.key]


def want(reconciler, nodes, now_s):
    """Make exactly these nodes wanted."""
    offers = {each.key: Offer(each, None) for each in nodes}
    peers = [reconciler._peers[key] for key in sorted(reconciler._peers.keys() | offers.keys())]
    changed = [peer for peer in peers if peer.wanted != (peer.key in offers)]
    for peer in peers:
        peer.offer = offers.get(peer.key, NO_OFFER)
        peer.wanted = peer.key in offers
    reconciler.reconsider(changed, now_s)


def link_up(reconciler, key, now_s):
    peer = reconciler._peers[key]
    peer.up_since_s = now_s
    reconciler.linked(peer, now_s)


def link_down(reconciler, key, now_s):
    peer = reconciler._peers[key]
    since_s, peer.up_since_s = peer.up_since_s, None
    reconciler.unlinked(peer, now_s, since_s=since_s)


def wanting(*nodes):
    reconciler = Reconciler(Peers())
    want(reconciler, nodes, 0)
    return reconciler


def linked(*nodes):
    """Return a reconciler that connected all these nodes at time 0."""
    reconciler = wanting(*nodes)
    for command in reconciler.plan(0):
        link_up(reconciler, command.node.key, 0)
        reconciler.connected(peer_of(reconciler, command.node), command.node, 0)
    return reconciler


def fail(reconciler, reason="refused", *, now_s, jitter=0.5):
    for command in reconciler.plan(now_s):
        reconciler.failed(peer_of(reconciler, command.node), error(reason), now_s, jitter)


# -- commands --------------------------------------------------------------------------------------


def test_wanted_nodes_are_dialled_in_order():
    assert wanting(C, B).plan(0) == [Connect(B), Connect(C)]


def test_planning_again_gives_nothing():
    reconciler = wanting(B)
    reconciler.plan(0)
    assert reconciler.plan(0) == []
    assert reconciler.next_s() is None


def test_settled_peer_needs_nothing():
    reconciler = linked(B)
    assert reconciler.plan(LONG_S) == []
    assert reconciler.next_s() is None


def test_latest_address_is_dialled():
    reconciler = wanting(B)
    moved = node("b", address="10.1.1.1:1")
    want(reconciler, [moved], 0)
    assert reconciler.plan(0) == [Connect(moved)]


def test_peer_no_longer_wanted_is_disconnected():
    reconciler = linked(B)
    want(reconciler, [], 1)
    assert reconciler.plan(1) == [Disconnect(B)]
    reconciler.disconnected(peer_of(reconciler, B), 1)
    assert reconciler.plan(1) == []


def test_peer_that_was_never_requested_needs_no_disconnect():
    reconciler = wanting(B)
    want(reconciler, [], 0)
    assert reconciler.plan(0) == []


def test_peer_unwanted_during_a_wait_needs_no_wake_up():
    reconciler = wanting(B)
    fail(reconciler, now_s=0)
    want(reconciler, [], 0)
    assert reconciler.next_s() is None


def test_peer_unwanted_during_its_dial_is_disconnected_after_it():
    reconciler = wanting(B)
    reconciler.plan(0)
    want(reconciler, [], 0)
    assert reconciler.plan(0) == []
    link_up(reconciler, B.key, 1)
    reconciler.connected(peer_of(reconciler, B), B, 1)
    assert reconciler.plan(1) == [Disconnect(B)]


def test_peer_wanted_again_during_its_disconnect_is_connected_after_it():
    reconciler = linked(B)
    want(reconciler, [], 1)
    reconciler.plan(1)
    want(reconciler, [B], 1)
    assert reconciler.plan(1) == []
    reconciler.disconnected(peer_of(reconciler, B), 1)
    assert reconciler.plan(1) == [Connect(B)]


def test_link_that_the_peer_opened_is_requested_too():
    reconciler = Reconciler(Peers())
    link_up(reconciler, B.key, 0)
    assert reconciler.plan(0) == []
    want(reconciler, [B], 0)
    assert reconciler.plan(0) == [Connect(B)]


def test_link_that_replaced_another_is_requested_anew():
    reconciler = linked(B)
    link_up(reconciler, B.key, 1)
    assert reconciler.plan(1) == [Connect(B)]


def test_name_learned_by_the_dial_is_settled_with_it():
    bare = Node(None, B.address)
    reconciler = wanting(bare)
    reconciler.plan(0)
    link_up(reconciler, B.key, 0)
    reconciler.connected(peer_of(reconciler, bare), B, 0)
    want(reconciler, [B], 0)
    assert reconciler.plan(0) == []
    want(reconciler, [], 1)
    assert reconciler.plan(1) == [Disconnect(B)]


def test_commands_in_flight_are_bounded_and_the_longest_due_goes_first():
    nodes = [Node(f"n{number:03}@there") for number in range(MAX_HOPEFUL + 2)]
    early = Node("z@there")
    reconciler = wanting(early)
    want(reconciler, [*nodes, early], 1)
    first = reconciler.plan(1)
    assert first == [Connect(early), *map(Connect, nodes[: MAX_HOPEFUL - 1])]
    assert reconciler.plan(1) == []
    assert reconciler.next_s() == 1 + PROMPT_S
    reconciler.failed(peer_of(reconciler, early), error("refused"), 1, 0.0)
    assert reconciler.plan(1) == [Connect(nodes[MAX_HOPEFUL - 1])]


def test_draining_node_dials_no_more_but_still_disconnects():
    reconciler = linked(B)
    want(reconciler, [B, C], 1)
    reconciler.drain()
    assert reconciler.next_s() is None
    assert reconciler.plan(1) == []
    want(reconciler, [C], 1)
    assert reconciler.plan(LONG_S) == [Disconnect(B)]


def test_dial_in_flight_when_draining_begins_may_end():
    reconciler = wanting(B)
    reconciler.plan(0)
    reconciler.drain()
    reconciler.connected(peer_of(reconciler, B), B, 0)
    assert reconciler.plan(LONG_S) == []


# -- patience --------------------------------------------------------------------------------------


def test_failed_dials_are_spaced_up_to_a_bound():
    reconciler, now_s, gaps = wanting(B), 0.0, []
    for _ in range(10):
        fail(reconciler, now_s=now_s, jitter=1.0)
        gaps.append(reconciler.next_s() - now_s)
        now_s = reconciler.next_s()
    assert gaps[:3] == pytest.approx([FIRST_RETRY_S, 2 * FIRST_RETRY_S, 4 * FIRST_RETRY_S])
    assert max(gaps) == pytest.approx(LAST_RETRY_S)


@pytest.mark.parametrize(("jitter", "wait_s"), [(0.0, FINAL_RETRY_S / 2), (1.0, FINAL_RETRY_S)])
def test_final_errors_are_retried_rarely(jitter, wait_s):
    reconciler = wanting(B)
    fail(reconciler, "name", now_s=0, jitter=jitter)
    assert reconciler.next_s() == wait_s


def test_final_errors_count_towards_later_backoff():
    reconciler = wanting(B)
    fail(reconciler, "name", now_s=0)
    fail(reconciler, now_s=LONG_S, jitter=1.0)
    assert reconciler.next_s() == pytest.approx(LONG_S + 2 * FIRST_RETRY_S)


@pytest.mark.parametrize("reason", ["refused", "name", "crossed"])
def test_redial_of_a_peer_that_answers_is_hopeful(reason):
    reconciler = wanting(B)
    fail(reconciler, reason, now_s=0)
    assert peer_of(reconciler, B).command is CommandKind.HOPEFUL


@pytest.mark.parametrize("reason", ["refused", "name"])
def test_every_other_dial_goes_elsewhere_in_turns_and_soon(reason):
    """Where the address may be forged, an answer by another node is as good as no answer."""
    reconciler, now_s, dialled = wanting(B), 0.0, []
    elsewhere = [B.evolve(address="10.0.0.8:1"), B.evolve(address="10.0.0.9:1")]
    while len(dialled) < 8:
        for command in reconciler.plan(now_s):
            dialled.append(command.node.address)
            reconciler.failed(peer_of(reconciler, B), error(reason), now_s, 0.5, elsewhere)
        now_s = reconciler.next_s()
    assert dialled[::2] == [B.address] * 4
    assert set(dialled[1::2]) == {"10.0.0.8:1", "10.0.0.9:1"}
    assert now_s < 8 * LAST_RETRY_S


def test_dial_after_a_link_goes_to_the_latest_address():
    reconciler = wanting(B)
    reconciler.plan(0)
    reconciler.failed(
        peer_of(reconciler, B), error("refused"), 0, 0.5, [B.evolve(address="10.0.0.8:1")]
    )
    link_up(reconciler, B.key, 0)
    link_down(reconciler, B.key, 10)
    assert reconciler.plan(10) == [Connect(B)]


def test_the_error_says_whether_it_is_final():
    reconciler = wanting(B)
    reconciler.plan(0)
    final = ConnectError("x", reason=ConnectReason.REFUSED, retryable=False)
    reconciler.failed(peer_of(reconciler, B), final, 0, 0.0)
    assert reconciler.next_s() == FINAL_RETRY_S / 2


def test_crossed_dial_is_no_failure():
    reconciler = wanting(B)
    for now_s in (0.0, CROSSED_RETRY_S, 2 * CROSSED_RETRY_S):
        fail(reconciler, "crossed", now_s=now_s)
        assert reconciler.next_s() == now_s + CROSSED_RETRY_S
    fail(reconciler, now_s=LONG_S, jitter=1.0)
    assert reconciler.next_s() == pytest.approx(LONG_S + FIRST_RETRY_S)


def test_link_that_the_peer_opens_ends_the_wait():
    reconciler = wanting(B)
    fail(reconciler, "name", now_s=0)
    link_up(reconciler, B.key, 1)
    assert reconciler.plan(1) == [Connect(B)]


def test_lost_link_is_redialled_at_once():
    reconciler = linked(B)
    link_down(reconciler, B.key, STABLE_S)
    assert reconciler.plan(STABLE_S) == [Connect(B)]


def test_lasting_link_ends_the_row_of_failures():
    reconciler = wanting(B)
    for now_s in (0, 10, 20):
        fail(reconciler, now_s=now_s)
    link_up(reconciler, B.key, 30)
    link_down(reconciler, B.key, 30 + STABLE_S)
    fail(reconciler, now_s=100, jitter=1.0)
    assert reconciler.next_s() == pytest.approx(100 + FIRST_RETRY_S)


def test_peer_that_drops_each_link_soon_is_dialled_ever_less():
    reconciler, now_s, gaps = linked(B), 0.0, []
    for _ in range(10):
        link_down(reconciler, B.key, now_s)
        gaps.append(reconciler.next_s() - now_s)
        now_s = reconciler.next_s()
        reconciler.plan(now_s)
        link_up(reconciler, B.key, now_s)
        reconciler.connected(peer_of(reconciler, B), B, now_s)
    assert gaps == sorted(gaps)
    assert gaps[-1] == pytest.approx(LAST_RETRY_S)


def test_success_without_a_link_is_not_repeated_at_once():
    reconciler = wanting(B)
    reconciler.plan(0)
    reconciler.connected(peer_of(reconciler, B), B, 0)
    assert reconciler.plan(0) == []
    assert peer_of(reconciler, B).command is CommandKind.HOPEFUL  # it did answer
    assert reconciler.plan(FIRST_RETRY_S) == [Connect(B)]


def test_encouragement_ends_the_wait_but_for_the_shortest():
    reconciler = wanting(B)
    fail(reconciler, "name", now_s=0)
    reconciler.dial_soon(peer_of(reconciler, B), 0.01)
    assert reconciler.next_s() == FIRST_RETRY_S
    fail(reconciler, "name", now_s=1)
    reconciler.dial_soon(peer_of(reconciler, B), 5)
    assert reconciler.plan(5) == [Connect(B)]


def test_dial_soon_resets_the_backoff():
    reconciler = wanting(B)
    for now_s in (0, 10, 20):
        fail(reconciler, now_s=now_s)
    reconciler.dial_soon(peer_of(reconciler, B), 30)
    fail(reconciler, now_s=30, jitter=1.0)
    assert reconciler.next_s() == pytest.approx(30 + FIRST_RETRY_S)


def test_encouragement_never_makes_it_later():
    reconciler = wanting(B)
    fail(reconciler, now_s=0, jitter=0.0)
    reconciler.dial_soon(peer_of(reconciler, B), 0)
    assert reconciler.plan(0) == [Connect(B)]


def test_postponed_peer_is_not_dialled_before():
    reconciler = linked(B)
    link_down(reconciler, B.key, STABLE_S)
    reconciler.postpone(peer_of(reconciler, B), STABLE_S + 1, STABLE_S)
    assert reconciler.plan(STABLE_S) == []
    assert reconciler.next_s() == STABLE_S + 1


def test_failures_are_forgotten_when_the_peer_is_unwanted():
    reconciler = wanting(B)
    fail(reconciler, "name", now_s=0)
    want(reconciler, [], 1)
    want(reconciler, [B], 1)
    assert reconciler.plan(1) == [Connect(B)]


# -- who doesn't answer keeps nobody waiting -------------------------------------------------------


def black_holes(count):
    return [Node(f"dead{number:04}@there") for number in range(count)]


class BlackHoles:
    """A network where nothing answers: each dial ends at its deadline, or when it is given up."""

    TIMEOUT_S = 5.0

    def __init__(self, *nodes):
        self.now_s = 0.0
        self.reconciler = wanting(*nodes)
        self.dials = {}  # key -> when it fails

    def run(self, seconds):
        """Let time pass; return which peers were dialled, and when."""
        dialled, until_s = [], self.now_s + seconds
        while True:
            for command in self.reconciler.plan(self.now_s):
                if isinstance(command, GiveUp):
                    self.dials[command.key] = self.now_s
                else:
                    dialled.append((self.now_s, command.node.key))
                    self.dials[command.node.key] = self.now_s + self.TIMEOUT_S
            ended = [key for key, at_s in self.dials.items() if at_s <= self.now_s]
            for key in ended:
                del self.dials[key]
                self.reconciler.failed(
                    self.reconciler._peers[key], error("timeout"), self.now_s, 0.5
                )
            if ended:
                continue
            next_s = self.reconciler.next_s()
            times = [*self.dials.values(), *([] if next_s is None else [next_s])]
            if min(times) > until_s:
                self.now_s = until_s
                return dialled
            self.now_s = max(self.now_s, min(times))


def test_first_dial_waits_for_no_black_hole():
    last = Node("zzz@there")
    dialled = BlackHoles(*black_holes(1000), last).run(1.0)
    assert min(at_s for at_s, key in dialled if key == last.key) <= PROMPT_S


def test_all_black_holes_are_dialled_again_and_again_and_the_more_there_are_the_more_seldom():
    network = BlackHoles(*black_holes(1000))
    network.run(60)
    dialled = network.run(60)
    assert {key for _, key in dialled} == {node.key for node in black_holes(1000)}
    assert len(dialled) <= 60 * MAX_DOUBTFUL / RENEW_S + MAX_DOUBTFUL


def test_few_black_holes_have_all_the_time_that_a_dial_may_take():
    network = BlackHoles(*black_holes(10))
    network.run(20)
    reconciler, in_flight = network.reconciler, len(network.dials)
    assert in_flight
    reconciler.plan(network.now_s + network.TIMEOUT_S)
    commands = reconciler.plan(network.now_s + 2 * network.TIMEOUT_S)
    assert not any(isinstance(command, GiveUp) for command in commands)


def test_peer_that_was_lately_alive_is_dialled_before_all_black_holes():
    network = BlackHoles(*black_holes(1000))
    network.run(120)
    want(network.reconciler, [*black_holes(1000), B], network.now_s)
    link_up(network.reconciler, B.key, network.now_s)
    link_down(network.reconciler, B.key, network.now_s)
    dialled = [at_s for at_s, key in network.run(LIVELY_S - 1) if key == B.key]
    gaps = [later - earlier for earlier, later in pairwise(dialled)]
    assert max(gaps) <= network.TIMEOUT_S + LAST_RETRY_S


def test_peer_that_shows_up_is_dialled_at_once_beside_black_holes():
    network = BlackHoles(*black_holes(1000), B)
    network.run(120)
    network.reconciler.dial_soon(peer_of(network.reconciler, B), network.now_s)
    since_s = network.now_s
    dialled = [at_s - since_s for at_s, key in network.run(2) if key == B.key]
    assert dialled[0] <= PROMPT_S


def test_dial_begun_before_the_peer_showed_up_starts_anew():
    reconciler = wanting(B)
    reconciler.plan(0)
    reconciler.dial_soon(peer_of(reconciler, B), RENEW_S / 2)
    assert reconciler.plan(RENEW_S / 2) == []
    reconciler.dial_soon(peer_of(reconciler, B), RENEW_S)
    assert reconciler.plan(RENEW_S) == [GiveUp(B.key)]
    assert reconciler.plan(RENEW_S) == []
    reconciler.failed(peer_of(reconciler, B), error("timeout"), RENEW_S, 0.0)
    assert reconciler.plan(RENEW_S) == [Connect(B)]


def test_dial_that_already_ended_is_not_abandoned():
    reconciler = wanting(B)
    reconciler.plan(0)
    reconciler.dial_soon(peer_of(reconciler, B), RENEW_S)
    reconciler.failed(peer_of(reconciler, B), error("refused"), RENEW_S, 0.0)
    assert reconciler.plan(RENEW_S) == [Connect(B)]


def test_prompt_refusals_cost_no_patience():
    reconciler = wanting(*black_holes(MAX_HOPEFUL + 1))
    fail(reconciler, now_s=0, jitter=1.0)
    assert reconciler.plan(0) == [Connect(black_holes(MAX_HOPEFUL + 1)[-1])]
    assert len(reconciler.plan(FIRST_RETRY_S)) == MAX_HOPEFUL - 1
