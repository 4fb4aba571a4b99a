"""Options of the topologies, and what they select in small clusters."""

import pickle

import pytest
from membership_parts import Driver, bare, node

from cluster_kit.abc import Found
from cluster_kit.config import load_config as load_with
from cluster_kit.errors import ConfigError
from cluster_kit.node import Node
from cluster_kit.plugins import PluginRegistry, load_config
from cluster_kit.topologies.k_regular import KRegularTopology
from cluster_kit.topologies.ring import RingTopology
from cluster_kit.topologies.star import StarTopology

LETTERS = "abcdefgh"
NODES = {letter: node(letter) for letter in LETTERS}


def picked(topology, local, known=LETTERS):
    """Return the letters of the nodes that ``local`` is to link to."""
    others = frozenset(NODES[letter] for letter in known if letter != local)
    return "".join(sorted(each.key[0] for each in topology.select(NODES[local], others)))


def loaded(topology):
    config = load_config(
        {"topologies": {"lan": {"strategy": "gossip", "topology": topology}}}, PluginRegistry.load()
    )
    return config.topologies["lan"].topology.build()


# -- options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("configured", "built"),
    [
        ("ring", RingTopology()),
        ("star", StarTopology()),
        (
            {"name": "star", "hubs": ["h@10.0.0.1"], "metadata": {"role": "hub"}},
            StarTopology(hubs=("h@10.0.0.1",), metadata={"role": "hub"}),
        ),
        ("k_regular", KRegularTopology(k=4)),
        ({"name": "k_regular", "k": 8}, KRegularTopology(k=8)),
    ],
)
def test_topology_is_found_by_its_name_and_takes_options(configured, built):
    assert loaded(configured) == built


@pytest.mark.parametrize("k", [-2, 0, 1, 3, 7])
def test_odd_or_too_small_k_is_refused(k):
    with pytest.raises(
        ConfigError, match=rf"^k: invalid value {k}: expected an even number, at least 2"
    ):
        KRegularTopology(k=k)


@pytest.mark.parametrize("k", ["4", 4.0, True, None])
def test_k_of_another_type_is_refused(k):
    with pytest.raises(ConfigError, match=r"lan\.topology\.k: "):
        loaded({"name": "k_regular", "k": k})


def test_all_faults_of_a_star_are_reported_each_at_its_place(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text(
        "topologies:\n"
        "  lan:\n"
        "    strategy: gossip\n"
        "    topology:\n"
        "      name: star\n"
        "      hubs: [a@there, hub, '']\n"
        f"      metadata: {{role: {'x' * 2000}}}\n"
    )
    with pytest.raises(ConfigError) as told:
        load_with(path, PluginRegistry.load())
    places = [(fault.line, fault.path, str(fault)) for fault in told.value.errors]
    assert [place[:2] for place in places] == [
        (6, "topologies.lan.topology.hubs[1]"),
        (6, "topologies.lan.topology.hubs[2]"),
        (7, "topologies.lan.topology.metadata"),
    ]
    assert "'hub' is not the name of a node: expected basename@host" in places[0][2]
    assert "no node can carry it" in places[2][2]


@pytest.mark.parametrize(
    "topology", [RingTopology(), StarTopology(metadata={"a": "b"}), KRegularTopology()], ids=str
)
def test_configured_topology_goes_through_the_pipe_to_its_worker(topology):
    assert pickle.loads(pickle.dumps(topology)) == topology


# -- ring ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("local", "known", "neighbours"),
    [
        ("b", "", ""),
        ("b", "f", "f"),
        ("b", "af", "af"),
        ("b", "ade", "ad"),
        ("a", "cdef", "cf"),
        ("f", "acde", "ae"),
        ("d", LETTERS, "ce"),
    ],
)
def test_ring_links_to_the_names_next_to_ours(local, known, neighbours):
    assert picked(RingTopology(), local, known) == neighbours


# -- star ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topology", "hubs"),
    [
        (StarTopology(), "a"),
        (StarTopology(hubs=("d@there",)), "d"),
        (StarTopology(hubs=("d@there", "g@there", "stranger@there")), "dg"),
        (StarTopology(hubs=("stranger@there",)), "a"),
        (StarTopology(metadata={"role": "hub"}), "a"),
    ],
    ids=str,
)
def test_spokes_link_to_the_hubs_and_hubs_to_all(topology, hubs):
    for local in LETTERS:
        assert picked(topology, local) == "".join(
            each for each in (LETTERS if local in hubs else hubs) if each != local
        )


def test_hub_by_metadata_carries_all_tags_of_the_option():
    star = StarTopology(metadata={"role": "hub", "zone": "x"})
    hub, half, other = (
        node("d", role="hub", zone="x", more="1"),
        node("e", role="hub"),
        node("f", role="hub", zone="y"),
    )
    for spoke in (half, other):
        assert star.select(spoke, frozenset({hub, half, other}) - {spoke}) == {hub}
    assert star.select(hub, frozenset({half, other})) == {half, other}


def test_hubs_by_name_and_by_metadata_are_equals():
    star = StarTopology(hubs=("d@there",), metadata={"role": "hub"})
    tagged = node("e", role="hub")
    known = frozenset({NODES["d"], tagged, NODES["b"]})
    assert star.select(NODES["a"], known) == {NODES["d"], tagged}
    assert star.select(tagged, frozenset({NODES["d"], NODES["b"]})) == {NODES["d"], NODES["b"]}


def test_hub_whose_source_gives_no_tags_is_recognised_over_its_own_link():
    star = Driver(StarTopology(metadata={"role": "hub"}))  # we are me@here
    a, hub = node("a", 1), node("z", 1, role="hub")
    star.observe(Found([node("a"), node("n"), node("z")]))
    star.carry_out(a)
    assert [each.key for each in star.membership.up] == ["a@there"]
    star.link_up(hub)
    assert star.planned() == ["disconnect a@there", "connect z@there"]


# -- k_regular -------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", ["", "b", "bc", "bcd", "bcde"])
def test_k_plus_one_nodes_are_a_full_mesh(known):
    assert picked(KRegularTopology(k=4), "a", known) == known


def test_order_of_the_rings_never_changes():
    """Nodes of several versions must agree: what fails here would split their cluster."""
    orders = "ahdbfegc", "ecbdgafh"
    for local in LETTERS:
        places = [(order, order.index(local)) for order in orders]
        neighbours = {
            order[(place + step) % len(order)] for order, place in places for step in (-1, 1)
        }
        assert picked(KRegularTopology(k=4), local) == "".join(sorted(neighbours))


@pytest.mark.parametrize(
    ("topology", "most"),
    [(RingTopology(), 2), (KRegularTopology(k=6), 6), (StarTopology(), None)],
    ids=str,
)
def test_most_links(topology, most):
    assert topology.most_links() == most


# -- nodes without a name --------------------------------------------------------------------------


def test_name_is_learnt_by_a_link_which_goes_where_it_is_not_meant():
    ring = Driver(RingTopology())  # we are me@here
    peers = [node(letter, 1) for letter in "abcd"]
    ring.observe(Found(bare(peer.address) for peer in peers))
    ring.carry_out(*peers)
    assert [each.name for each in ring.membership.known] == [peer.name for peer in peers]
    assert ring.planned() == ["disconnect b@there", "disconnect c@there"]


def test_unnamed_nodes_are_selected_beside_the_neighbours():
    unnamed = Node(address="10.0.0.200:1")
    for topology in (RingTopology(), KRegularTopology(k=2), StarTopology(hubs=("h@there",))):
        known = frozenset(NODES.values()) - {NODES["b"]}
        assert topology.select(NODES["b"], known | {unnamed}) == topology.select(
            NODES["b"], known
        ) | {unnamed}


def test_hub_is_known_in_whatever_spelling_it_is_listed():
    hub, spoke, other = (Node(name=f"{name}@localhost") for name in ("z", "spoke", "other"))
    assert StarTopology(hubs=("z@LocalHost.",)).select(spoke, frozenset([hub, other])) == {hub}
