"""The roster's laws, against the plainest roster there can be."""

from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.abc import Failed, Found, Gone, Seen
from cluster_kit.errors import DiscoveryError
from cluster_kit.membership.peer import Peers
from cluster_kit.membership.roster import Roster
from cluster_kit.node import BootId, Node

SOURCES = ("dns", "gossip", "mdns")

names = st.sampled_from([f"{letter}@there" for letter in "bcdef"])
addresses = st.sampled_from([f"10.0.0.{number}:1" for number in range(2, 7)])
boots = st.none() | st.builds(BootId, st.integers(0, 3), st.just(0))
metadata = st.dictionaries(st.sampled_from(["zone", "http"]), st.sampled_from(["1", "2"]))
named = st.builds(Node, names, st.none() | addresses, metadata, boots)
any_node = named | st.builds(Node, st.none(), addresses)
LONGEST_TTL_S = 20.0
ttls = st.sampled_from([1.0, 5.0, LONGEST_TTL_S])


def observations(nodes):
    answers = st.lists(nodes, unique_by=lambda node: node.key).map(Found)
    return (
        answers
        | st.builds(Seen, nodes, ttls)
        | st.builds(Gone, names, boot_id=boots)
        | st.just(Failed(DiscoveryError("no")))
    )


def histories(nodes):
    """Lists of (seconds since the last one, source, observation or turn of its health)."""
    said = observations(nodes) | st.sampled_from(["fail", "recover"])
    return st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 2.0, 10.0]), st.sampled_from(SOURCES), said),
        max_size=30,
    )


def hear(roster, source, said, now_s):
    """Return what an observation, or a turn of the source's health, changes in the roster."""
    if isinstance(said, str):
        getattr(roster.sources, said)(source, now_s)
        return []
    return roster.observe(source, said, now_s)


def play(roster, history):
    """Yield what each observation changes in the roster, expiring in between."""
    now_s = 0.0
    for seconds, source, said in history:
        now_s += seconds
        yield roster.expire(now_s) + hear(roster, source, said, now_s), now_s


def settle(roster, history):
    for _ in play(roster, history):
        pass
    return roster


class PlainWord:
    """How long a source worked since it vouched, and how long it had when it last failed."""

    def __init__(self, boot_id, ttl_s):
        self.boot_id = boot_id
        self.ttl_s = ttl_s
        self.worked_s = self.worked_before_fault_s = 0.0

    @property
    def counts(self):
        return self.worked_s < self.ttl_s + self.worked_before_fault_s


class PlainRoster:
    """Which source vouches for which name, and how long; no merging, no addresses, no hurry."""

    def __init__(self):
        self.sources = self
        self.words = {}
        self.failing = set()
        self.now_s = 0.0

    def pass_time(self, now_s):
        for (source, _), word in self.words.items():
            if source not in self.failing:
                word.worked_s += now_s - self.now_s
        self.now_s = now_s
        self.words = {where: word for where, word in self.words.items() if word.counts}

    def fail(self, source, now_s):
        if source in self.failing:
            return
        self.failing.add(source)
        for (who, _), word in self.words.items():
            if who == source and word.worked_s < word.ttl_s:
                word.worked_before_fault_s = word.worked_s

    def recover(self, source, now_s):
        self.failing.discard(source)

    def observe(self, source, observation, now_s):
        match observation:
            case Found(nodes=nodes):
                self.words = {
                    where: word for where, word in self.words.items() if where[0] != source
                }
                self.words |= {(source, node.name): PlainWord(node.boot_id, inf) for node in nodes}
            case Seen(node=node, ttl_s=ttl_s):
                before = self.words.get((source, node.name))
                if not (
                    before and before.boot_id and node.boot_id and node.boot_id < before.boot_id
                ):
                    self.words[source, node.name] = PlainWord(node.boot_id, ttl_s)
            case Gone(name=name, boot_id=boot_id):
                before = self.words.get((source, name))
                if before and (before.boot_id is None or boot_id in (None, before.boot_id)):
                    del self.words[source, name]

    def names(self):
        return {name for _, name in self.words}


@settings(deadline=None)
@given(histories(named))
def test_nodes_are_known_while_a_source_vouches_for_them(history):
    roster, plain = Roster(Peers(), prune=True, max_nodes=100), PlainRoster()
    steps = play(roster, history)
    for (_, source, said), (_, now_s) in zip(history, steps, strict=True):
        plain.pass_time(now_s)
        hear(plain, source, said, now_s)
        assert roster.known.keys() == plain.names()


@settings(deadline=None)
@given(histories(named), st.lists(st.sampled_from([0.1, 3.0, 1000.0])), st.sampled_from(SOURCES))
def test_time_does_not_run_against_those_a_failing_source_vouches_for(history, waits, source):
    roster, plain = Roster(Peers(), prune=True, max_nodes=100), PlainRoster()
    now_s = 0.0
    for (_, who, said), (_, now_s) in zip(history, play(roster, history), strict=True):
        plain.pass_time(now_s)
        hear(plain, who, said, now_s)
    roster.sources.fail(source, now_s)
    vouched = {name for who, name in plain.words if who == source}
    for seconds in waits:
        now_s += seconds
        roster.expire(now_s)
        assert vouched <= roster.known.keys()


@settings(deadline=None)
@given(histories(named))
def test_time_runs_again_when_all_sources_work(history):
    roster = settle(Roster(Peers(), prune=True, max_nodes=100), history)
    listed = {source: Found([]) for source in SOURCES}
    for _, source, said in history:
        if isinstance(said, Found):
            listed[source] = said
    for source in SOURCES:
        roster.sources.recover(source, 1000.0)
    roster.expire(1000.0 + 2 * LONGEST_TTL_S)
    roster.expire(1000.0 + 2 * LONGEST_TTL_S)
    assert roster.known.keys() <= {node.key for said in listed.values() for node in said.nodes}


@settings(deadline=None)
@given(histories(any_node))
def test_changes_add_up_to_what_is_known(history):
    roster = Roster(Peers(), prune=True, max_nodes=100)
    view = {}
    for changes, _ in play(roster, history):
        for change in changes:
            if change.node is None:
                del view[change.key]
            else:
                view[change.key] = change.node
        assert view == roster.known


@settings(deadline=None)
@given(histories(any_node), st.sampled_from(SOURCES), observations(any_node))
def test_applying_an_observation_again_changes_nothing(history, source, observation):
    roster = settle(Roster(Peers(), prune=True, max_nodes=100), history)
    roster.observe(source, observation, 1000.0)
    assert roster.observe(source, observation, 1000.0) == []


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(SOURCES), st.lists(any_node, unique_by=lambda node: node.key), min_size=2
    ),
    st.randoms(),
)
def test_order_of_sources_does_not_matter(answers, random):
    views = []
    for _ in range(2):
        roster = Roster(Peers(), prune=True, max_nodes=100)
        order = sorted(answers)
        random.shuffle(order)
        for source in order:
            roster.observe(source, Found(answers[source]), 0.0)
        views.append(roster.known)
    assert views[0] == views[1]


@settings(deadline=None)
@given(histories(any_node), st.sampled_from(SOURCES))
def test_failed_lookup_never_removes_a_node(history, source):
    roster = settle(Roster(Peers(), prune=True, max_nodes=100), history)
    before = dict(roster.known)
    assert roster.observe(source, Failed(DiscoveryError("no")), 1000.0) == []
    assert roster.known == before


@settings(deadline=None)
@given(histories(any_node), st.integers(1, 4))
def test_never_more_than_max_nodes(history, max_nodes):
    roster = Roster(Peers(), prune=True, max_nodes=max_nodes)
    for _ in play(roster, history):
        assert len(roster.known) <= max_nodes


@settings(deadline=None)
@given(histories(any_node))
def test_without_pruning_no_name_is_ever_lost(history):
    roster = Roster(Peers(), prune=False, max_nodes=100)
    seen = set()
    for _ in play(roster, history):
        seen |= {key for key in roster.known if "@" in key}
        assert seen <= roster.known.keys()


@settings(deadline=None)
@given(histories(any_node))
def test_roster_keeps_nothing_of_gone_nodes(history):
    roster = settle(Roster(Peers(), prune=True, max_nodes=100), history)
    for source in SOURCES:
        roster.observe(source, Found([]), 1000.0)
    assert roster.known == {}
    assert roster.sources.next_s() is None
    assert not roster._book._claimed_names
    assert all(peer.is_idle(1000.0) for peer in roster._peers.values())
