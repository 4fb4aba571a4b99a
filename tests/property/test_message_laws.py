"""The laws of messages hold over links that break and with peers that lie."""

import tracemalloc
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from message_scripts import ENDINGS, play, random_steps
from message_world import MAX_BYTES, World

from cluster_kit.errors import RemoteProtocolError
from cluster_kit.node import BootId, Node
from cluster_kit.topics import control, lanes, link, peers
from cluster_kit.topics.dispatcher import MAX_DECLINED
from cluster_kit.topics.messenger import Messenger
from cluster_kit.topics.outcomes import LocalInterest
from cluster_kit.topics.questions import MAX_OPEN
from cluster_kit.wire import topics as wire

STEPS = st.lists(st.tuples(*(st.integers(0, most) for most in (25, 5, 5, 59))), max_size=80)
HOSTILE_RUN = b"h" * wire.RUN_BYTES
MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    """Make all limits small, so that little fills them."""
    monkeypatch.setattr(lanes, "MAX_TRANSIT_BYTES", 200_000)
    monkeypatch.setattr(lanes, "MAX_QUEUED_BYTES", 300_000)
    monkeypatch.setattr(control, "RECEIVED_STEP_BYTES", 25_000)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, ending=st.sampled_from(ENDINGS))
def test_laws_hold(steps, ending):
    world = World()
    play(world, steps)
    world.settle(ending)


def hold(seeds, apps=3, steps=400):
    """Check that the laws hold in the scripts of these seeds."""
    for seed in seeds:
        world = World(apps)
        play(world, random_steps(Random(seed), steps))
        world.settle(ENDINGS[seed % len(ENDINGS)])


@pytest.mark.parametrize("apps", [2, 3, 4])
@pytest.mark.parametrize("first", range(0, 150, 50))
def test_laws_hold_in_long_runs(first, apps):
    hold(range(first, first + 50), apps, 600)


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_laws_hold_when_peers_are_forgotten(monkeypatch, first):
    monkeypatch.setattr(peers, "MAX_AWAY", 2)
    hold(range(first, first + 50))


@pytest.mark.parametrize("first", range(0, 600, 50))
def test_laws_hold_when_few_messages_may_be_unread(monkeypatch, first):
    monkeypatch.setattr(link, "MAX_OUTSTANDING", 2)
    hold(range(first, first + 50))


# -- hostile peers ---------------------------------------------------------------------------------


class Victim:
    """An application with one link to a hostile peer."""

    def __init__(self):
        self.messenger = Messenger(b"v" * wire.RUN_BYTES, max_message_bytes=MAX_BYTES)
        self.messenger.listen("t", LocalInterest(messages=100, bytes=10_000, answers=True))
        self.link = 0
        self.outcomes = 0
        self.connect()

    def connect(self, run=HOSTILE_RUN, interests=None, name="h@h"):
        self.link += 1
        interests = interests or {"t": wire.Interest(1, 2**60, 2**60, True)}
        greeting = wire.encode_greeting(wire.TopicGreeting(run, 2**60, interests))
        self.messenger.up(self.link, Node(name, boot_id=BootId(1, 1)), greeting, outdated=False)
        self.hear(wire.Opening(run, self.link))

    def hear(self, *records):
        """Receive records; return whether they broke the protocol and the link was replaced."""
        try:
            self.outcomes += len(self.messenger.receive(self.link, wire.encode(records)))
        except RemoteProtocolError:
            self.messenger.down(self.link, 0.0)
            self.connect()
            return True
        return False

    def drain(self):
        """Send what may be sent; the peer never acknowledges it."""
        return sum(1 for _ in iter(lambda: self.messenger.next_payload(self.link), None))


@pytest.fixture
def victim():
    return Victim()


@pytest.fixture
def grown():
    """Return a function that returns by how many bytes memory has grown."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    yield lambda: tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()


def names(number):
    return f"{number}".rjust(200, "x")


def test_endless_topics_take_bounded_memory(victim, grown):
    wanted = wire.Interest(2, 1, 1)
    broken = [
        victim.hear(*(wire.Interested(names(n), wanted) for n in range(start, start + 200)))
        for start in range(0, 40_000, 200)
    ]
    assert any(broken)
    for start in range(0, 40_000, 100):
        victim.hear(
            *(
                record
                for n in range(start, start + 100)
                for record in (wire.Interested(names(n), wanted), wire.Uninterested(names(n)))
            )
        )
    for start in range(0, 40_000, 100):
        victim.hear(wire.Interests({names(n): wanted for n in range(start, start + 100)}, False))
    assert grown() < 2 * MIB


def test_questions_with_unread_answers_take_bounded_memory(victim, grown):
    for start in range(0, 100_000, 1000):
        victim.hear(*(wire.Asked(n, "t", 1, b"x" * 20) for n in range(start, start + 1000)))
        victim.drain()
    assert victim.outcomes == MAX_OPEN
    assert victim.messenger._links[1].lanes.replies <= MAX_DECLINED
    assert grown() < 2 * MIB


@pytest.mark.parametrize("end", ["reply", "fail"])
def test_unread_answers_take_bounded_memory(victim, grown, end):
    """Each question ends with its answer, which makes room for the next one."""
    said = {"reply": b"x" * 100, "fail": "x" * wire.MAX_TEXT_CHARS}[end]
    for start in range(0, 20_000, 100):
        asked = wire.encode([wire.Asked(n, "t", 1, b"x") for n in range(start, start + 100)])
        for outcome in victim.messenger.receive(victim.link, asked):
            getattr(victim.messenger, end)(outcome.question, said)
        victim.drain()
    assert victim.messenger._links[1].lanes.replies <= MAX_DECLINED
    assert grown() < 4 * MIB


def test_interests_of_past_runs_take_bounded_memory(victim, grown):
    wanted = {names(n): wire.Interest(2, 1, 1) for n in range(wire.MAX_TOPICS)}
    for run in range(30):
        victim.connect(run=run.to_bytes(wire.RUN_BYTES), interests=wanted)
    assert grown() < 2 * MIB


def test_streams_that_later_greetings_lack_take_bounded_memory(monkeypatch, victim, grown):
    monkeypatch.setattr(peers, "MAX_TOPICS", 100)
    for number in range(1000):
        topic = names(number)
        victim.connect(interests={topic: wire.Interest(number, 2**60, 2**60, False)})
        for _ in range(100):
            victim.messenger.publish(topic, b"")
        victim.drain()
        victim.messenger.down(victim.link, 0.0)
    assert grown() < MIB // 2


def test_lapsed_streams_of_past_runs_take_bounded_memory(victim, grown):
    for run in range(1, 31):
        run_id = run.to_bytes(wire.RUN_BYTES)
        victim.connect(run=run_id)
        for _ in range(3000):
            victim.messenger.publish("t", b"")
        victim.drain()
        victim.messenger.down(victim.link, 0.0)
        victim.connect(run=run_id, interests={"u": wire.Interest(2, 2**60, 2**60, False)})
        victim.messenger.down(victim.link, 0.0)
        victim.messenger.tick(1000.0 * run)
    assert grown() < 2 * MIB


def test_unread_messages_of_past_runs_take_bounded_memory(victim, grown):
    victim.messenger.listen("t", LocalInterest(messages=10_000, bytes=MIB))
    for run in range(30):
        victim.connect(run=run.to_bytes(wire.RUN_BYTES))
        for start in range(1, 10_001, 1000):
            victim.hear(*(wire.Data(1, n, b"") for n in range(start, start + 1000)))
    assert victim.outcomes > 30 * 9000
    assert grown() < 4 * MIB


def test_unread_messages_of_departed_nodes_take_bounded_memory(victim, grown):
    victim.messenger.listen("t", LocalInterest(messages=10_000, bytes=MIB))
    for number in range(8):
        victim.connect(run=number.to_bytes(wire.RUN_BYTES), name=f"h{number}@h")
        for start in range(1, 10_001, 1000):
            victim.hear(*(wire.Data(1, n, b"") for n in range(start, start + 1000)))
        victim.hear(wire.Closing())
        victim.messenger.down(victim.link, 0.0)
    assert victim.outcomes > 8 * 9000
    assert grown() < 4 * MIB


def test_endless_fragments_take_bounded_memory(victim, grown):
    for _ in range(200):
        for lane in range(wire.MAX_LANES):
            victim.hear(wire.Fragment(lane, False, bytes(wire.FRAGMENT_BYTES)))
    assert grown() < wire.MAX_LANES * MAX_BYTES * 1.5 + MIB


def test_messages_to_a_peer_that_never_reads_take_bounded_memory(victim, grown):
    handed = sum(victim.messenger.publish("t", bytes(1000)) for _ in range(50_000))
    victim.drain()
    assert handed < 300
    for _ in range(200_000):
        victim.messenger.publish("t", b"")
    assert grown() < 12 * MIB


def test_messages_received_but_never_read_take_bounded_memory(victim, grown):
    victim.messenger.publish("t", b"")
    sent = sum(map(len, iter(lambda: victim.messenger.next_payload(victim.link), None)))
    handed = 0
    for _ in range(200):
        handed += sum(victim.messenger.publish("t", b"") for _ in range(1000))
        sent += sum(map(len, iter(lambda: victim.messenger.next_payload(victim.link), None)))
        assert not victim.hear(wire.Received(sent))
    assert handed < link.MAX_OUTSTANDING
    assert grown() < 40 * MIB


def test_messages_beyond_the_window_are_dropped(victim):
    for start in range(1, 100_001, 1000):
        victim.hear(*(wire.Data(1, n, b"x") for n in range(start, start + 1000)))
    assert victim.outcomes < 300


@pytest.mark.parametrize(
    "lie",
    [
        (wire.Received(10**9),),
        (wire.Received(wire.MAX_NUMBER),),
        (wire.Closing(), wire.Received(0)),
        (wire.Opening(HOSTILE_RUN, 1),),
        (wire.Opening(b"o" * wire.RUN_BYTES, 1),),
        (wire.Asked(1, "t", 1, b""), wire.Asked(1, "t", 1, b"")),
        (wire.Fragment(0, True, wire.encode_record(wire.Received(0))),),
        (wire.Fragment(0, True, b"\xc1"),),
    ],
    ids=lambda lie: " ".join(type(record).__name__ for record in lie),
)
def test_protocol_violation_ends_the_link(victim, lie):
    assert victim.hear(*lie)


def test_credit_for_unsent_messages_ends_the_link(victim):
    victim.messenger.publish("t", b"x")
    assert not victim.hear(wire.Credit(1, 1))
    assert victim.hear(wire.Credit(1, 2))


def test_wrong_count_of_received_bytes_ends_the_link(victim):
    assert victim.hear(wire.Received(1))
    victim.messenger.publish("t", b"x")
    sent = len(victim.messenger.next_payload(victim.link))
    for total in (0, sent, sent):
        assert not victim.hear(wire.Received(total))
    assert victim.hear(wire.Received(sent - 1))


def test_answers_to_unknown_questions_are_ignored(victim):
    for number in range(1000):
        assert not victim.hear(
            wire.Answered(number, b""), wire.Raised(number, "no"), wire.Declined(number, "no")
        )
    assert victim.outcomes == 0


RECORDS = st.one_of(
    *(
        st.builds(kind, **fields)
        for numbers in [st.sampled_from([0, 1, 2, 3, 100, 2**40, wire.MAX_NUMBER])]
        for wanted in [st.builds(wire.Interest, numbers, numbers, numbers, st.booleans())]
        for topics in [st.sampled_from(["t", "u", "v"])]
        for data in [st.sampled_from([b"", b"x" * 100, wire.encode_record(wire.Data(1, 5, b"y"))])]
        for kind, fields in [
            (wire.Opening, {"run": st.just(HOSTILE_RUN), "epoch": numbers | st.none()}),
            (wire.Interests, {"interests": st.dictionaries(topics, wanted), "last": st.booleans()}),
            (wire.Interested, {"topic": topics, "interest": wanted}),
            (wire.Uninterested, {"topic": topics}),
            (wire.Data, {"stream": numbers, "number": numbers, "data": data}),
            (wire.Missed, {"stream": numbers, "number": numbers}),
            (wire.Credit, {"stream": numbers, "number": numbers}),
            (wire.Received, {"bytes": numbers}),
            (wire.Fragment, {"lane": st.integers(0, 7), "last": st.booleans(), "data": data}),
            (
                wire.Asked,
                {"question": numbers, "topic": topics, "patience_ms": numbers, "data": data},
            ),
            (wire.Answered, {"question": numbers, "data": data}),
            (wire.Raised, {"question": numbers, "text": topics}),
            (wire.Declined, {"question": numbers, "reason": topics}),
            (wire.Closing, {}),
            (wire.Sync, {"number": numbers}),
            (wire.Synced, {"number": numbers}),
        ]
    )
)


@settings(max_examples=300, deadline=None)
@given(payloads=st.lists(st.lists(RECORDS, max_size=5), max_size=20), data=st.data())
def test_arbitrary_records_are_handled_or_end_the_link(payloads, data):
    victim = Victim()
    tickets, ended = 0, 0
    for payload in payloads:
        victim.hear(*payload)
        victim.messenger.publish("t", b"x")
        for say in (
            victim.messenger.send,
            lambda to, topic, said, ticket: victim.messenger.ask(to, topic, said, ticket, 1.0),
        ):
            tickets += 1
            say("h@h", data.draw(st.sampled_from("tu")), b"x", tickets)
        victim.drain()
    victim.messenger.down(victim.link, 1.0)
    ended = len(victim.messenger._local.pending)
    assert ended == 0
    assert victim.messenger.tick(100.0) is not None
