"""A topology's view is what its events add up to."""

from hypothesis import given
from hypothesis import strategies as st

from cluster_kit.events import NodeDown, NodeFound, NodeLost, NodeUp, NodeUpdated, Reason
from cluster_kit.node import BootId, Node
from cluster_kit.supervisor.view import TopologyView

A, B = Node("a@h", "h:1"), Node("b@h", "h:2")


def applied(*events):
    view = TopologyView("lan")
    numbered = [view.apply(event) for event in events]
    return view, numbered


def test_events_are_numbered_without_a_gap():
    _, events = applied(
        NodeFound(topology="lan", node=A),
        NodeUp(topology="lan", node=A),
        NodeFound(topology="lan", node=B),
    )
    assert [event.seq for event in events] == [1, 2, 3]


def test_snapshot_is_what_the_events_add_up_to():
    view, _ = applied(
        NodeFound(topology="lan", node=B),
        NodeFound(topology="lan", node=A),
        NodeUp(topology="lan", node=A),
        NodeLost(topology="lan", node=B, reason=Reason.SILENT),
    )
    snapshot = view.snapshot(7.0)
    assert (snapshot.seq, snapshot.t, snapshot.known, snapshot.up) == (4, 7.0, (A,), (A,))


def test_all_links_down_at_once_in_order_of_names():
    view, _ = applied(NodeUp(topology="lan", node=B), NodeUp(topology="lan", node=A))
    assert [(e.node, e.reason) for e in view.all_down(Reason.WORKER, 1.0)] == [
        (A, Reason.WORKER),
        (B, Reason.WORKER),
    ]


def test_update_reaches_known_and_up():
    new = A.evolve(metadata={"x": "1"})
    view, _ = applied(
        NodeFound(topology="lan", node=A),
        NodeUp(topology="lan", node=A),
        NodeUpdated(topology="lan", node=new),
    )
    assert view.known == view.up == {"a@h": new}


nodes = st.builds(
    lambda letter, boot, tag: Node(f"{letter}@h", "h:1", {"tag": tag}, BootId(boot, 0)),
    st.sampled_from("abcd"),
    st.integers(1, 2),
    st.sampled_from("xy"),
)
views = st.dictionaries(st.sampled_from("abcd"), nodes).map(
    lambda found: {node.key: node for node in found.values()}
)


@given(known=views, up=views, new_known=views, new_up=views)
def test_catching_up_leads_to_the_new_view_and_up_and_down_alternate(known, up, new_known, new_up):
    # a worker shows one face of a node
    new_known = {key: new_up.get(key, node) for key, node in new_known.items()}
    known = {key: up.get(key, node) for key, node in known.items()}
    view = TopologyView("lan")
    for node in known.values():
        view.apply(NodeFound(topology="lan", node=node))
    for node in up.values():
        view.apply(NodeUp(topology="lan", node=node))
    linked = set(up)
    for event in view.catch_up(new_known.values(), new_up.values(), 1.0):
        if isinstance(event, NodeUp):
            assert event.node.key not in linked
            linked.add(event.node.key)
        elif isinstance(event, NodeDown):
            linked.remove(event.node.key)
        view.apply(event)
    assert view.up == new_up
    assert view.known == new_known
