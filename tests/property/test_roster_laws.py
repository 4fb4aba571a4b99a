"""The roster's laws, against the plainest roster there can be."""

from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.abc import Failed, Found, Gone, Seen
from cluster_kit.errors import DiscoveryError
from cluster_kit.membership.roster import Roster
from cluster_kit.node import BootId, Node

SOURCES = ("dns", "gossip", "mdns")

names = st.sampled_from([f"{letter}@there" for letter in "bcdef"])
addresses = st.sampled_from([f"10.0.0.{number}:1" for number in range(2, 7)])
boots = st.none() | st.builds(BootId, st.integers(0, 3), st.just(0))
metadata = st.dictionaries(st.sampled_from(["zone", "http"]), st.sampled_from(["1", "2"]))
named = st.builds(Node, names, st.none() | addresses, metadata, boots)
any_node = named | st.builds(Node, st.none(), addresses)
ttls = st.sampled_from([1.0, 5.0, 20.0])


def observations(nodes):
    answers = st.lists(nodes, unique_by=lambda node: node.key).map(Found)
    return (
        answers | st.builds(Seen, nodes, ttls) | st.builds(Gone, names, boot_id=boots) | st.just(Failed(DiscoveryError("no")))
    )


def histories(nodes):
    """Lists of (seconds since the last one, source, observation)."""
    return st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 2.0, 10.0]), st.sampled_from(SOURCES), observations(nodes)), max_size=30
    )


def play(roster, history):
    """Yield what the roster says of each observation, expiring in between."""
    now_s = 0.0
    for seconds, source, observation in history:
        now_s += seconds
        yield roster.expire(now_s) + roster.observe(source, observation, now_s), now_s


def settle(roster, history):
    for _ in play(roster, history):
        pass
    return roster


class PlainRoster:
    """Who vouches for which name, and until when; no merging, no addresses, no hurry."""

    def __init__(self):
        self.words = {}

    def observe(self, source, observation, now_s):
        self.words = {where: word for where, word in self.words.items() if word[1] > now_s}
        match observation:
            case Found(nodes=nodes):
                self.words = {where: word for where, word in self.words.items() if where[0] != source}
                self.words |= {(source, node.name): (node.boot_id, inf) for node in nodes}
            case Seen(node=node, ttl_s=ttl_s):
                known_boot, _ = self.words.get((source, node.name), (None, 0))
                if not (known_boot and node.boot_id and node.boot_id < known_boot):
                    self.words[source, node.name] = (node.boot_id, now_s + ttl_s)
            case Gone(name=name, boot_id=boot_id):
                known_boot, _ = self.words.get((source, name), (None, 0))
                if known_boot is None or boot_id in (None, known_boot):
                    self.words.pop((source, name), None)

    def names(self):
        return {name for _, name in self.words}


@settings(deadline=None)
@given(histories(named))
def test_known_are_those_for_whom_a_source_vouches(history):
    roster, plain = Roster(prune=True, max_nodes=100), PlainRoster()
    steps = play(roster, history)
    for (_, source, observation), (_, now_s) in zip(history, steps, strict=True):
        plain.observe(source, observation, now_s)
        assert roster.known.keys() == plain.names()


@settings(deadline=None)
@given(histories(any_node))
def test_changes_add_up_to_what_is_known(history):
    roster = Roster(prune=True, max_nodes=100)
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
    roster = settle(Roster(prune=True, max_nodes=100), history)
    roster.observe(source, observation, 1000.0)
    assert roster.observe(source, observation, 1000.0) == []


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(SOURCES), st.lists(any_node, unique_by=lambda node: node.key), min_size=2), st.randoms())
def test_order_of_sources_does_not_matter(answers, random):
    views = []
    for _ in range(2):
        roster = Roster(prune=True, max_nodes=100)
        order = sorted(answers)
        random.shuffle(order)
        for source in order:
            roster.observe(source, Found(answers[source]), 0.0)
        views.append(roster.known)
    assert views[0] == views[1]


@settings(deadline=None)
@given(histories(any_node), st.sampled_from(SOURCES))
def test_failed_lookup_never_removes_a_node(history, source):
    roster = settle(Roster(prune=True, max_nodes=100), history)
    before = dict(roster.known)
    assert roster.observe(source, Failed(DiscoveryError("no")), 1000.0) == []
    assert roster.known == before


@settings(deadline=None)
@given(histories(any_node), st.integers(1, 4))
def test_never_more_than_max_nodes(history, max_nodes):
    roster = Roster(prune=True, max_nodes=max_nodes)
    for _ in play(roster, history):
        assert len(roster.known) <= max_nodes


@settings(deadline=None)
@given(histories(any_node))
def test_without_pruning_no_name_is_ever_lost(history):
    roster = Roster(prune=False, max_nodes=100)
    seen = set()
    for _ in play(roster, history):
        seen |= {key for key in roster.known if "@" in key}
        assert seen <= roster.known.keys()


@settings(deadline=None)
@given(histories(any_node))
def test_nothing_is_kept_of_those_who_are_gone(history):
    roster = settle(Roster(prune=True, max_nodes=100), history)
    for source in SOURCES:
        roster.observe(source, Found([]), 1000.0)
    assert roster.known == {}
    assert roster.next_s() is None
    assert not any(vars(roster._names).values())
