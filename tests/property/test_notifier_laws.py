"""Laws of events: they alternate and are bounded, and the last state is always reported."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.events import (
    NodeDown,
    NodeFound,
    NodeLeaving,
    NodeLost,
    NodeUp,
    NodeUpdated,
    Reason,
)
from cluster_kit.membership.notifier import BURST, INTERVAL_S, Notifier
from cluster_kit.membership.peer import Peers
from cluster_kit.node import BootId, Node

NAMES = ("b@there", "c@there")
EVENTS_AT_ONCE = 5  # down, lost, found, up or updated, leaving

states = st.tuples(
    st.sampled_from(NAMES),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2),
    st.sampled_from("xy"),
    st.sampled_from(Reason),
)
steps = st.tuples(st.sampled_from([0.0, 0.0, 0.0, 0.05, 0.3, 3.0]), states, st.booleans())
histories = st.lists(steps, max_size=80)


class View:
    """What the events add up to."""

    def __init__(self):
        self.known = {}
        self.up = {}

    def apply(self, event):
        key, node = event.node.key, event.node
        match event:
            case NodeFound():
                assert key not in self.known
                self.known[key] = node
            case NodeLost():
                assert self.known.pop(key) == node
            case NodeUp():
                assert key not in self.up
                self.up[key] = node
                if key in self.known:
                    self.known[key] = node
            case NodeDown():
                assert self.up.pop(key) == node
            case NodeUpdated():
                views = [view for view in (self.known, self.up) if key in view]
                assert any(view[key] != node for view in views)
                for view in views:
                    view[key] = node
            case NodeLeaving():
                assert key in self.known or key in self.up


def play(notifier, history):
    """Yield time, state and events of each step, and at the end the events withheld so far."""
    now_s, shown = 0.0, dict.fromkeys(NAMES, (None, None))
    for seconds, (key, known, up, boot, tag, reason), leaves in history:
        now_s += seconds
        yield now_s, shown, notifier.take(now_s)
        node = Node(key, metadata={"tag": tag}, boot_id=BootId(boot, 0))
        shown[key] = (node if known else None, node if up else None)
        leaves = leaves and (known or up)
        known, up = shown[key]
        notifier.show(
            notifier._peers[key], now_s, known=known, up=up, leaving=leaves, reason=reason
        )
        yield now_s, shown, notifier.take(now_s)
    while (next_s := notifier.next_s()) is not None:
        now_s = max(now_s, next_s)
        yield now_s, shown, notifier.take(now_s)


@settings(deadline=None)
@given(histories, st.sampled_from([1, 3, 1000]))
def test_events_alternate_and_end_in_the_last_state(history, burst):
    peers, view, last = Peers(), View(), {}
    for _, shown, events in play(Notifier(peers, "t", burst), history):
        for event in events:
            view.apply(event)
        for key, peer in peers.items():
            reported = peer.reported_known, peer.reported_up
            assert (view.known.get(key), view.up.get(key)) == reported
        last = shown
    assert view.known == {key: known for key, (known, _) in last.items() if known}
    assert view.up == {key: up for key, (_, up) in last.items() if up}


@settings(deadline=None)
@given(histories, st.sampled_from([1, 3, 1000]))
def test_a_link_that_broke_is_reported(history, burst):
    """Between two reports that one link is up, it was up all the time."""
    notifier = Notifier(Peers(), "t", burst)
    unbroken = {}  # whether a link has been up all the time since the event that it is up
    for _, shown, events in play(notifier, history):
        for key, (_, up) in shown.items():
            if up is None and key in unbroken:
                unbroken[key] = False
        for event in events:
            match event:
                case NodeUp(node=node):
                    unbroken[node.key] = True
                case NodeDown(node=node):
                    assert not unbroken.pop(node.key)
    assert all(unbroken.values())


@settings(deadline=None)
@given(histories)
def test_there_are_so_many_events_of_a_node_at_a_time(history):
    notifier = Notifier(Peers(), "t", 1000)
    times_of = {key: [] for key in NAMES}
    for now_s, _, events in play(notifier, history):
        for key in {event.node.key for event in events}:
            times_of[key] += [now_s] * sum(
                event.node.key == key and type(event) is not NodeLeaving for event in events
            )
    for times in times_of.values():
        for first in range(len(times)):
            for last in range(first, len(times)):
                most = BURST + (times[last] - times[first]) / INTERVAL_S + 1
                assert last - first + 1 <= EVENTS_AT_ONCE * most
