"""Which hints each peer is sent, and which hints of peers are believed."""

import asyncio

import pytest

from cluster_kit.connectors.tcp import exchange
from cluster_kit.connectors.tcp.exchange import (
    BATCH_S,
    HINT_TTL_S,
    LOST_TTL_S,
    REPEAT_S,
    Exchange,
    Exchanger,
)
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Node
from cluster_kit.testing import run_virtually
from cluster_kit.wire.frames import MAX_HINTS, Hint, Hints


def node(name, host="10.0.0.1", port=4000, boot=1):
    return Node(name=f"{name}@h", address=f"{host}:{port}", boot_id=BootId(boot, 0))


US, ANN, BOB, CAT = (
    node(name, port=port) for port, name in enumerate(("us", "ann", "bob", "cat"), 3999)
)


def linked(*peers, wants_hints=True):
    """Return an exchange with these links, numbered from 1, all hinted already."""
    links = Exchange(US)
    for conn, peer in enumerate(peers, 1):
        links.up(conn, peer, wants_hints=wants_hints)
    links.take()
    return links


def hinted(links):
    """Return the names hinted to each connection now, in order."""
    said = {}
    for conn, peers in links.take():
        said.setdefault(conn, []).extend(hint.name[: -len("@h")] for hint in peers.hints)
    return said


def learned(links, *nodes, teller=ANN, nearby=False, now_s=0.0):
    return links.receive(
        teller, Hints([Hint.of(each) for each in nodes]), nearby=nearby, now_s=now_s
    )


class TestUpdates:
    def test_newcomer_learns_of_everybody_and_everybody_of_the_newcomer(self):
        links = linked(ANN, BOB)
        links.up(3, CAT, wants_hints=True)
        assert links.owes
        assert hinted(links) == {1: ["cat"], 2: ["cat"], 3: ["ann", "bob"]}
        assert not links.owes

    def test_a_hint_has_name_address_and_boot(self):
        links = linked(ANN)
        links.up(2, BOB, wants_hints=True)
        assert (2, Hints([Hint("ann@h", "10.0.0.1:4000", (1, 0))])) in links.take()

    def test_peer_that_wants_no_hints_gets_none(self):
        links = linked(ANN, wants_hints=False)
        links.up(2, BOB, wants_hints=True)
        links.repeat()
        assert hinted(links) == {2: ["ann"]}

    def test_peer_gone_before_the_first_hint_is_never_hinted(self):
        links = linked(ANN)
        links.up(2, BOB, wants_hints=True)
        links.down(BOB, left=False)
        assert hinted(links) == {}

    def test_peer_that_takes_no_dials_is_never_hinted(self):
        links = linked(ANN)
        links.up(2, BOB.evolve(address=None), wants_hints=True)
        assert hinted(links) == {2: ["ann"]}

    def test_a_round_repeats_everybody_where_links_are_few(self):
        links = linked(ANN, BOB, CAT)
        links.repeat()
        assert hinted(links) == {1: ["bob", "cat"], 2: ["ann", "cat"], 3: ["ann", "bob"]}

    def test_rounds_take_turns_where_links_are_many(self):
        links = linked(*(node(f"n{number}", port=number) for number in range(1, 61)))
        heard = set()
        for _ in range(10):
            links.repeat()
            said = hinted(links)
            assert max(map(len, said.values())) <= exchange._REPEATED + 1
            heard.update(said[1])
        assert len(heard) == 59

    def test_many_fit_into_several_frames(self):
        peers = [node(f"n{number}", port=number) for number in range(1, MAX_HINTS + 3)]
        links = linked(*peers)
        links.up(0, ANN, wants_hints=True)
        assert [len(frame.hints) for conn, frame in links.take() if conn == 0] == [MAX_HINTS, 2]


class TestHearing:
    def test_a_hint_gives_a_node(self):
        assert learned(linked(ANN), BOB) == [BOB]

    def test_hints_about_ourselves_are_ignored(self):
        ours_of_yesterday, at_our_address, of_our_name = (
            US.evolve(boot_id=BootId(0, 0)),
            CAT.evolve(address=US.address),
            US.evolve(address=CAT.address),
        )
        assert learned(linked(ANN), US, ours_of_yesterday, at_our_address, of_our_name) == []

    @pytest.mark.parametrize(("nearby", "believed"), [(True, True), (False, False)])
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
    def test_loopback_of_another_machine_is_of_no_use(self, host, nearby, believed):
        assert bool(learned(linked(ANN), node("bob", host), nearby=nearby)) is believed

    @pytest.mark.parametrize("address", ["0.0.0.0:4000", "[::]:4000", "10.0.0.1:0"])
    def test_hint_with_an_undiallable_address_is_ignored(self, address):
        assert learned(linked(ANN), BOB.evolve(address=address), nearby=True) == []

    def test_a_run_that_left_is_not_believed_to_be_there_but_the_next_one_is(self):
        links = linked(ANN, BOB)
        links.down(BOB, left=True)
        assert learned(links, BOB) == []
        assert learned(links, node("bob", boot=2)) == [node("bob", boot=2)]

    def test_a_run_whose_link_broke_is_believed_to_be_there(self):
        links = linked(ANN, BOB)
        links.down(BOB, left=False)
        assert learned(links, BOB) == [BOB]

    def test_nothing_counts_that_comes_with_the_end_of_a_link(self):
        links = linked(ANN)
        links.down(ANN, left=False)
        assert learned(links, BOB) == []

    def test_a_flood_is_cut_off_until_time_has_passed(self):
        links = linked(ANN, BOB)
        total = sum(len(learned(links, *[CAT] * MAX_HINTS)) for _ in range(100))
        assert total == exchange._MAX_BURST
        assert learned(links, CAT, teller=BOB) == [CAT]
        assert len(learned(links, *[CAT] * MAX_HINTS, now_s=0.5)) == exchange._REFILL_PER_S / 2

    def test_made_up_nodes_are_bounded_until_they_lapse(self):
        links = linked(ANN)
        for number in range(2 * exchange._MAX_HINTED // MAX_HINTS):
            crowd = [node(f"x{number}-{each}") for each in range(MAX_HINTS)]
            links.up(1, ANN, wants_hints=True)  # a new link has its whole allowance
            learned(links, *crowd)
        assert len(links._hinted) == exchange._MAX_HINTED
        assert learned(links, BOB) == []
        assert learned(links, node("x0-0")) == [node("x0-0")]  # is known already
        assert learned(links, BOB, now_s=HINT_TTL_S + 1) == [BOB]

    def test_runs_that_left_are_remembered_within_bounds(self):
        links = linked(ANN)
        for number in range(exchange._MAX_LEFT + 9):
            links.down(node(f"x{number}"), left=True)
        assert len(links._left) == exchange._MAX_LEFT


def test_address_of_another_connector_is_of_no_use():
    stranger = Node(name="eve@h", address="unix:/run/eve.sock", boot_id=BootId(1, 0))
    assert learned(linked(ANN), stranger, nearby=True) == []


class Running:
    """An exchange that runs, with what it sends and the hints that it reports, each with its time.

    It is a worker, as far as the exchange goes.
    """

    def __init__(self):
        self._now_s = asyncio.get_running_loop().time
        self.sent, self.reported = [], []
        self.exchanger = Exchanger(US, self, self._send)

    def _send(self, conn, frame):
        self.sent.append((self._now_s(), conn, [hint.node() for hint in frame.hints]))

    def hint(self, node, ttl_s):
        self.reported.append((self._now_s(), node, ttl_s))

    def link(self, *peers):
        for conn, peer in enumerate(peers, len(self.reported) + 1):
            self.exchanger.up(conn, peer, wants_hints=True)


class TestRunning:
    def test_first_hints_are_sent_at_once_and_later_ones_together(self):
        async def scenario():
            running = Running()
            running.link(ANN, BOB)
            await asyncio.sleep(BATCH_S / 3)
            assert running.sent == [(0.0, 1, [BOB]), (0.0, 2, [ANN])]
            running.sent.clear()
            running.link(CAT)
            await asyncio.sleep(BATCH_S / 3)
            running.link(node("dan"))
            await asyncio.sleep(BATCH_S)
            assert {at_s for at_s, _, _ in running.sent} == {BATCH_S}
            assert [conn for _, conn, _ in running.sent] == [1, 2, 3, 4]

        run_virtually(scenario())

    def test_each_round_repeats_the_links_to_the_worker_and_to_peers(self):
        async def scenario():
            running = Running()
            running.link(ANN, BOB)
            await asyncio.sleep(2.5 * REPEAT_S)
            rounds = (0.0, REPEAT_S, 2 * REPEAT_S)
            assert running.sent == [
                (at_s, *each) for at_s in rounds for each in ((1, [BOB]), (2, [ANN]))
            ]
            assert running.reported == [
                (at_s, peer, HINT_TTL_S) for at_s in rounds for peer in (ANN, BOB)
            ]

        run_virtually(scenario())

    @pytest.mark.parametrize(
        ("reason", "is_hint", "is_believed"),
        [
            (Reason.CLOSED, True, True),
            (Reason.SILENT, True, True),
            (Reason.UNWANTED, False, True),
            (Reason.LEFT, False, False),
        ],
    )
    def test_reason_of_a_break_decides_whether_the_peer_stays_a_hint(
        self, reason, is_hint, is_believed
    ):
        async def scenario():
            running = Running()
            running.link(ANN, BOB)
            running.reported.clear()
            running.exchanger.down(BOB, reason)
            assert running.reported == [(0.0, BOB, LOST_TTL_S)] * is_hint
            running.reported.clear()
            running.exchanger.receive(ANN, Hints([Hint.of(BOB)]), nearby=False)
            assert running.reported == [(0.0, BOB, HINT_TTL_S)] * is_believed
            await asyncio.sleep(REPEAT_S)
            assert running.sent == []

        run_virtually(scenario())

    def test_nothing_is_sent_or_reported_after_the_stop(self):
        async def scenario():
            running = Running()
            running.link(ANN, BOB, CAT)
            running.reported.clear()
            running.exchanger.stop()
            await asyncio.sleep(3 * REPEAT_S)
            assert running.sent == running.reported == []

        run_virtually(scenario())
