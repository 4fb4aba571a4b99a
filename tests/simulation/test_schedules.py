"""The real connector under detangle, which explores orders of tasks, callbacks, packets and timers.

A failure prints a token that replays it: ``DETANGLE_REPLAY=dt1-... pytest ...``. More schedules
than here: ``pytest tests/simulation/test_schedules.py --detangle-runs=20000 --detangle-seed=7``.
"""

import asyncio
from contextlib import suppress

import detangle
import pytest
from detangled import DetangledNetwork

from cluster_kit.connectors.tcp import TcpConnector, arbitration, dial
from cluster_kit.connectors.tcp.arbitration import Verdict
from cluster_kit.connectors.tcp.connection import Connection
from cluster_kit.errors import ConnectError
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Node
from cluster_kit.testing import RecordingLinks
from cluster_kit.testing.networks.streams import StreamRules
from cluster_kit.wire.link import LinkState

RUNS = 100  # of each scenario by each strategy
SEED = 1
STRATEGIES = ("pct:3", "random", "dfs:1")
SETTLE_S = 10.0  # virtual: longer than a handshake, a probe and a silence
PROMPT_S = 1.0  # shorter than any of these
NAMES = {
    "ann": ["10.0.0.1"],
    "bob": ["10.0.0.2"],
    "cid": ["10.0.0.3"],
    "somebody": ["10.0.0.3", "10.0.0.2"],
}
PORT = 4370


class Peer:
    """A node of a scenario."""

    def __init__(self, basename, number, **options):
        self.network = DetangledNetwork(f"10.0.0.{number}", NAMES)
        self.links = RecordingLinks(boot_id=BootId(number, 0), network=self.network)
        self.connector = TcpConnector(port=PORT, **options)
        self.node = Node(name=f"{basename}@{basename}", boot_id=self.links.boot_id)

    async def start(self):
        self.node = await self.connector.start(self.node, self.links)
        return self

    async def connect(self, other):
        """Connect; a link is reported before ``connect`` returns."""
        peer = await self.connector.connect(other.node)
        assert self.links.of("up", peer.key), "connect returned before the link was reported"
        return peer

    async def link(self, other):
        """Connect, retrying temporary failures as a worker does."""
        while True:
            try:
                return await self.connect(other)
            except ConnectError as error:
                if not error.retryable:
                    raise
                await asyncio.sleep(0.02)

    async def disconnect(self, other):
        await self.connector.disconnect(other.node)

    async def update(self, *, leaving=False, **metadata):
        self.node = self.node.evolve(metadata=metadata)
        await self.connector.update(self.node, leaving)

    def history(self, other):
        return self.links.ups_and_downs(other.node.key)

    def is_linked_to(self, other):
        return self.history(other)[-1:] == ["up"]

    def knows_of(self, other):
        """Return the metadata that was reported last."""
        reports = [each for each in self.links.reports if each.kind in ("up", "updated")]
        return reports[-1].node.metadata


async def pair():
    return await Peer("ann", 1).start(), await Peer("bob", 2).start()


async def nothing_half_open(*parties):
    """Check that soon only the streams of links are left, without waiting for any timeout."""
    await asyncio.sleep(PROMPT_S)
    for party in parties:
        links = sum(party.is_linked_to(other) for other in parties)
        assert len(party.network.streams) == links, (
            f"{party.node} has streams besides those of {links} links"
        )


async def end(*parties):
    """Stop all connectors, and check what they reported and left behind."""
    await asyncio.gather(*(party.connector.stop() for party in parties))
    reported = [len(party.links.reports) for party in parties]
    await asyncio.sleep(SETTLE_S)
    assert [len(party.links.reports) for party in parties] == reported, (
        "something was reported after stop"
    )
    for party in parties:
        for other in parties:
            history = party.history(other)
            assert history == ["up", "down"] * (len(history) // 2), (
                f"{party.node} of {other.node}: {history}"
            )
        assert party.network.streams == [], f"{party.node} left streams open"


async def insist(ann, bob):
    """Connect both ends until they are linked: ``connect`` may return a link that is closing."""
    for _ in range(3):
        await asyncio.gather(ann.link(bob), bob.link(ann))
        await asyncio.sleep(SETTLE_S)
        if ann.is_linked_to(bob) and bob.is_linked_to(ann):
            return
    raise AssertionError(f"not linked: {ann.history(bob)}, {bob.history(ann)}")


async def crossing_dials():
    """The dial of the lower name wins, so it never fails."""
    ann, bob = await pair()
    await asyncio.gather(ann.connect(bob), bob.link(ann))
    await nothing_half_open(ann, bob)
    assert ann.history(bob) == bob.history(ann) == ["up"]
    await end(ann, bob)


async def crossing_dials_of_three():
    parties = [
        await Peer(name, number).start() for number, name in enumerate(("ann", "bob", "cid"), 1)
    ]
    pairs = [(one, other) for one in parties for other in parties if one is not other]
    await asyncio.gather(*(one.link(other) for one, other in pairs))
    await nothing_half_open(*parties)
    assert all(one.history(other) == ["up"] for one, other in pairs)
    await end(*parties)


async def dials_to_an_address_alone_that_cross():
    ann, bob = await pair()
    named = ann.link(bob), bob.link(ann)
    ann_is_at, bob_is_at = (Node(address=party.node.address) for party in (ann, bob))
    unnamed = ann.connector.connect(bob_is_at), bob.connector.connect(ann_is_at)
    outcomes = await asyncio.gather(*named, *unnamed, return_exceptions=True)
    assert all(
        isinstance(each, Node) or (isinstance(each, ConnectError) and each.retryable)
        for each in outcomes
    ), outcomes
    await nothing_half_open(ann, bob)
    assert ann.history(bob) == bob.history(ann) == ["up"]
    await end(ann, bob)


async def give_up(dialling):
    """Cancel a ``connect`` at some moment."""
    task = asyncio.create_task(dialling)
    await asyncio.sleep(detangle.uniform(0, 0.015, steps=16))
    await cancel(task)


async def cancel(task):
    """Cancel a ``connect`` within some turns of the event loop."""
    for _ in range(detangle.randint(0, 8)):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() or not task.exception() or task.exception().retryable


async def connect_given_up():
    ann, bob = await pair()
    await give_up(ann.connect(bob))
    await nothing_half_open(ann, bob)
    assert ann.history(bob) == bob.history(ann)
    await end(ann, bob)


async def connect_given_up_while_the_peer_dials():
    ann, bob = await pair()
    await asyncio.gather(give_up(ann.connect(bob)), bob.link(ann))
    await nothing_half_open(ann, bob)
    assert ann.is_linked_to(bob)
    assert bob.is_linked_to(ann)
    await end(ann, bob)


async def connect_given_up_on_the_second_of_two_ways():
    ann, bob = await pair()
    cid = await Peer("cid", 3).start()
    detangle.network().partition(["10.0.0.1"], ["10.0.0.3"])
    task = asyncio.create_task(ann.connector.connect(Node(address=f"somebody:{PORT}")))
    await ann.network.opened.wait()
    await cancel(task)
    await nothing_half_open(ann, bob, cid)
    await end(ann, bob, cid)


async def disconnect_while_connecting():
    ann, bob = await pair()

    async def change_ones_mind():
        await asyncio.sleep(detangle.uniform(0, 0.02, steps=8))
        await ann.disconnect(bob)

    await asyncio.gather(ann.connect(bob), change_ones_mind())
    await nothing_half_open(ann, bob)
    assert ann.history(bob) == bob.history(ann)
    await end(ann, bob)


async def wishes_that_cross():
    ann, bob = await pair()
    await ann.link(bob)

    async def want_and_want_not(one, other):
        for _ in range(2):
            await asyncio.sleep(detangle.uniform(0, 0.01, steps=4))
            await one.disconnect(other)
            await asyncio.sleep(detangle.uniform(0, 0.01, steps=4))
            await one.link(other)

    await asyncio.gather(want_and_want_not(ann, bob), want_and_want_not(bob, ann))
    await insist(ann, bob)
    for one, other in ((ann, bob), (bob, ann)):
        await one.disconnect(other)
    await asyncio.sleep(SETTLE_S)
    assert not ann.is_linked_to(bob)
    assert not bob.is_linked_to(ann)
    assert ann.history(bob) == bob.history(ann)
    await end(ann, bob)


async def stop_while_dialling():
    ann, bob = await pair()

    async def try_to_link(one, other):
        with suppress(ConnectError):
            await one.connect(other)

    async def stop(party):
        await asyncio.sleep(detangle.uniform(0, 0.02, steps=8))
        await party.connector.stop()

    await asyncio.gather(try_to_link(ann, bob), try_to_link(bob, ann), stop(ann), stop(bob))
    await end(ann, bob)


async def newcomer_held_while_the_link_dies():
    ann, bob = await pair()
    await ann.link(bob)
    detangle.network().partition(["10.0.0.1"], ["10.0.0.2"])
    again = await Peer("bob", 4, host="10.0.0.4").start()

    async def dial_from_ann():
        await asyncio.sleep(detangle.uniform(0, 3, steps=8))
        await ann.link(again)

    await asyncio.gather(again.link(ann), dial_from_ann())
    await insist(ann, again)
    assert ann.history(again)[:3] == ["up", "down", "up"]
    assert ann.links.of("down", again.node.key)[0].reason in (Reason.REPLACED, Reason.SILENT)
    await end(ann, again, bob)


async def several_newcomers_while_the_link_is_cut():
    ann, bob = await pair()
    await asyncio.gather(ann.link(bob), bob.link(ann))
    network = detangle.network()
    network.partition(["10.0.0.1"], ["10.0.0.2"])
    await asyncio.sleep(detangle.uniform(0, 6, steps=8))
    network.heal()
    await asyncio.gather(ann.link(bob), bob.link(ann))
    await insist(ann, bob)
    await end(ann, bob)


async def update_during_the_handshake():
    ann, bob = await pair()

    async def change(party):
        for word in ("one", "two"):
            await asyncio.sleep(detangle.uniform(0, 0.02, steps=8))
            await party.update(said=word)

    await asyncio.gather(ann.link(bob), bob.link(ann), change(ann), change(bob))
    await nothing_half_open(ann, bob)
    assert ann.knows_of(bob) == bob.knows_of(ann) == {"said": "two"}
    await end(ann, bob)


async def leaving_during_the_handshake():
    ann, bob = await pair()

    async def leave():
        await asyncio.sleep(detangle.uniform(0, 0.02, steps=8))
        await ann.update(leaving=True)

    async def try_to_link():
        with suppress(ConnectError):
            await bob.connect(ann)

    await asyncio.gather(try_to_link(), leave())
    await nothing_half_open(ann, bob)
    assert ann.history(bob) == bob.history(ann)
    if bob.is_linked_to(ann):
        assert len(bob.links.of("leaving", ann.node.key)) == 1
    await end(ann, bob)


SCENARIOS = (
    crossing_dials,
    crossing_dials_of_three,
    dials_to_an_address_alone_that_cross,
    connect_given_up,
    connect_given_up_while_the_peer_dials,
    connect_given_up_on_the_second_of_two_ways,
    disconnect_while_connecting,
    wishes_that_cross,
    stop_while_dialling,
    newcomer_held_while_the_link_dies,
    several_newcomers_while_the_link_is_cut,
    update_during_the_handshake,
    leaving_during_the_handshake,
)


def explore(scenario, strategy):
    stats = detangle.explore(
        scenario,
        runs=RUNS,
        seed=SEED,
        strategy=strategy,
        database=False,
        check_leaks=True,
        timer_jitter=0.01,
        net={"fragment": 0.1},
    )
    print(stats.summary())


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_laws_hold_in_any_order(scenario, strategy):
    explore(scenario, strategy)


# -- planted faults --------------------------------------------------------------------------------


def without_the_tie_break(monkeypatch):
    """A node that is dialling answers incoming dials."""
    (row,) = (
        row
        for row in arbitration.CASES
        if row.verdict is Verdict.CROSSED and row.our_dial == (LinkState.GREETED,)
    )
    cases = [
        each._replace(verdict=Verdict.ANSWER) if each is row else each for each in arbitration.CASES
    ]
    monkeypatch.setattr(arbitration, "CASES", tuple(cases))


def without_an_end_of_dialling(monkeypatch):
    """``connect`` goes on to the next address while the connector stops."""
    monkeypatch.setattr(dial.Dialler, "stop", lambda dialler: None)


def without_an_owner_of_the_stream_that_wins(monkeypatch):
    """A winning dial that is cancelled while it calls off the others forgets its stream."""
    call_off = dial._call_off
    monkeypatch.setattr(dial, "_call_off", lambda dials, won: call_off(dials, None))


def without_sending_what_changed_since_the_hello(monkeypatch):
    """What changed since the hello is not sent when the link comes up."""
    monkeypatch.setattr(Connection, "changes", lambda connection, us: iter(()))


@pytest.mark.parametrize(
    ("plant", "scenario"),
    [
        (without_the_tie_break, crossing_dials),
        (without_an_end_of_dialling, stop_while_dialling),
        (without_an_owner_of_the_stream_that_wins, connect_given_up_on_the_second_of_two_ways),
        (without_sending_what_changed_since_the_hello, update_during_the_handshake),
    ],
)
def test_planted_fault_is_found_and_its_schedule_replays(plant, scenario, monkeypatch):
    plant(monkeypatch)
    with pytest.raises(detangle.BugFound) as caught:
        explore(scenario, "random")
    again = detangle.replay(
        scenario,
        caught.value.report.token,
        raise_on_failure=False,
        check_leaks=True,
        timer_jitter=0.01,
        net={"fragment": 0.1},
    )
    assert again.failure.signature() == caught.value.report.failure.signature()


class TestDetangledNetwork(StreamRules):
    """Detangle's network keeps the contract, except that its streams never hold anything back."""

    address, other_address = "10.0.0.1", "10.0.0.2"
    test_unread_bytes_count_as_unsent = None
    test_closing_sends_the_rest_first = None
    test_abort_reports_the_end_once = None

    def make_network(self):
        return DetangledNetwork(self.address)

    def make_other(self):
        return DetangledNetwork(self.other_address)

    def run(self, scenario):
        detangle.run(scenario)
