"""A duty has one holder among nodes that see each other, whatever is delayed, cut and healed.

The nodes here are candidates joined by links that deliver in order and late. Each end learns at its
own time that a link is open or closed, and what was under way on a closed one is lost.
"""

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.duty import Candidacy, Neighbour, Stage
from cluster_kit.node import BootId

ENDS = 2


class Knot:
    """One node: its candidacy, what it received from its neighbours, and what it asked."""

    def __init__(self, boot, min_nodes):
        self.boot = boot
        self.min_nodes = min_nodes
        self.candidacy = None
        self.neighbours = {}
        self.asked = set()

    @property
    def has_duty(self):
        return self.candidacy is not None and not self.candidacy.says_free


class World:
    def __init__(self, count, min_nodes):
        self.knots = [Knot(BootId(i, 0), min_nodes) for i in range(count)]
        self.links = {}  # number: pair, the words on the way to each end, whether each end is open
        self.numbers = 0

    # -- what can happen

    def open(self, a, b):
        """Join two nodes; each end learns in turn what the other was at this moment."""
        if a == b or any(
            set(link["pair"]) == {a, b} and any(link["open"]) for link in self.links.values()
        ):
            return
        self.numbers += 1
        number = self.numbers
        self.links[number] = {"pair": (a, b), "words": (deque(), deque()), "open": [True, True]}
        for end in range(ENDS):
            me, other = self.links[number]["pair"][end], self.links[number]["pair"][1 - end]
            self.knots[me].neighbours[number] = Neighbour(
                self.knots[other].boot, self.knots[other].candidacy is not None
            )
        for end in range(ENDS):
            self.look(self.links[number]["pair"][end])

    def close(self, number, end):
        """Let one end learn that the link is gone; the other end still waits for messages."""
        link = self.links.get(number)
        if link is None or not link["open"][end]:
            return
        link["open"][end] = False
        link["words"][1 - end].clear()
        link["words"][end].clear()
        me = link["pair"][end]
        del self.knots[me].neighbours[number]
        self.look(me)

    def stand(self, me):
        """Become a candidate, and say so."""
        knot = self.knots[me]
        if knot.candidacy is None:
            knot.candidacy = Candidacy(knot.min_nodes)
            self.say_all(me, "candidate")
            self.look(me)

    def withdraw(self, me):
        """Stop being a candidate."""
        knot = self.knots[me]
        if knot.candidacy is not None:
            knot.candidacy.release()
            knot.candidacy = None
            knot.asked.clear()
            self.say_all(me, "none")

    def release(self, me):
        """Stop what the duty took, because it is lost."""
        knot = self.knots[me]
        if knot.candidacy is not None and knot.candidacy.stage is Stage.LOST:
            knot.candidacy.release()
            self.look(me)

    def deliver(self, number, end):
        """Let one end receive the next message."""
        link = self.links.get(number)
        if link is None or not link["open"][end] or not link["words"][end]:
            return
        word = link["words"][end].popleft()
        me = link["pair"][end]
        knot = self.knots[me]
        match word:
            case "candidate" | "none":
                knot.neighbours[number] = knot.neighbours[number]._replace(
                    is_candidate=word == "candidate"
                )
                self.look(me)
            case "free?":
                self.say(number, end, "busy" if knot.has_duty else "free")
            case "free":
                knot.asked.discard(number)
                if knot.candidacy is not None:
                    knot.candidacy.is_free(number)
                    self.look(me)
            case "busy":
                knot.asked.discard(number)
                self.look(me)

    # -- what follows

    def look(self, me):
        knot = self.knots[me]
        if knot.candidacy is None:
            return
        before = knot.candidacy.stage
        knot.candidacy.see(knot.boot, dict(knot.neighbours))
        for number in sorted(knot.candidacy.to_ask - knot.asked):
            knot.asked.add(number)
            self.say(number, self.links[number]["pair"].index(me), "free?")
        if knot.candidacy.stage is Stage.HELD and before is not Stage.HELD:
            self.check_alone(me)

    def check_alone(self, me):
        for link in self.links.values():
            if all(link["open"]) and me in link["pair"]:
                (other,) = set(link["pair"]) - {me}
                assert not self.knots[other].has_duty, f"{me} gets the duty that {other} has"

    def say(self, number, end, word):
        link = self.links[number]
        if link["open"][1 - end]:
            link["words"][1 - end].append(word)

    def say_all(self, me, word):
        for number in self.knots[me].neighbours:
            self.say(number, self.links[number]["pair"].index(me), word)

    def settle(self):
        """Deliver everything, and let nodes that lost the duty stop."""
        for _ in range(1000):
            words = [
                (n, end)
                for n, link in self.links.items()
                for end in range(ENDS)
                if link["open"][end] and link["words"][end]
            ]
            for number, end in words:
                self.deliver(number, end)
            lost = [
                i
                for i, knot in enumerate(self.knots)
                if knot.candidacy and knot.candidacy.stage is Stage.LOST
            ]
            for me in lost:
                self.release(me)
            if not words and not lost:
                return
        raise AssertionError("it never comes to rest")


COUNT = 4
node = st.integers(0, COUNT - 1)
number = st.integers(1, 12)
end = st.integers(0, 1)
steps = st.lists(
    st.tuples(st.just("open"), node, node)
    | st.tuples(st.just("close"), number, end)
    | st.tuples(st.just("stand"), node)
    | st.tuples(st.just("withdraw"), node)
    | st.tuples(st.just("release"), node)
    | st.tuples(st.just("deliver"), number, end),
    max_size=60,
)


@settings(max_examples=1000)
@given(steps, st.integers(1, 3))
def test_no_node_gets_a_duty_that_a_linked_node_has(script, min_nodes):
    world = World(COUNT, min_nodes)
    for what, *where in script:
        getattr(world, what)(*where)


@settings(max_examples=300)
@given(steps, st.integers(1, COUNT))
def test_once_all_see_each_other_the_oldest_candidate_has_it_alone(script, min_nodes):
    world = World(COUNT, min_nodes)
    for what, *where in script:
        getattr(world, what)(*where)
    for number, link in list(world.links.items()):
        if not all(link["open"]):
            for each in range(ENDS):
                world.close(number, each)
    for a in range(COUNT):
        for b in range(a):
            world.open(a, b)
    world.settle()
    candidates = [knot for knot in world.knots if knot.candidacy is not None]
    assert [knot for knot in world.knots if knot.has_duty] == candidates[:1]


@given(st.integers(2, COUNT), st.integers(1, 3))
def test_too_few_nodes_have_no_holder(min_nodes, linked):
    candidacy = Candidacy(min_nodes)
    neighbours = {i: Neighbour(BootId(i, 0), is_candidate=True) for i in range(1, linked)}
    candidacy.see(BootId(0, 0), neighbours)
    for link in neighbours:
        candidacy.is_free(link)
    assert (candidacy.stage is Stage.HELD) == (linked >= min_nodes)


def test_a_holder_that_sees_an_older_candidate_has_to_stop_first():
    candidacy = Candidacy()
    candidacy.see(BootId(5, 0), {})
    assert candidacy.stage is Stage.HELD
    candidacy.see(BootId(5, 0), {1: Neighbour(BootId(4, 0), is_candidate=True)})
    assert candidacy.stage is Stage.LOST
    assert not candidacy.says_free
    candidacy.release()
    assert candidacy.stage is Stage.WAITING
    assert candidacy.says_free


def test_a_node_that_is_the_oldest_again_asks_as_soon_as_it_has_stopped():
    candidacy = Candidacy()
    candidacy.see(BootId(5, 0), {})
    candidacy.see(BootId(5, 0), {1: Neighbour(BootId(4, 0), is_candidate=True)})
    candidacy.see(BootId(5, 0), {2: Neighbour(BootId(6, 0), is_candidate=True)})
    assert candidacy.stage is Stage.LOST
    candidacy.release()
    assert candidacy.to_ask == {2}


def test_a_node_that_lost_its_worker_loses_the_duty():
    candidacy = Candidacy()
    candidacy.see(BootId(5, 0), {})
    candidacy.see(None, {})
    assert candidacy.stage is Stage.LOST


def test_a_new_link_to_the_same_node_is_asked_again():
    candidacy = Candidacy(min_nodes=3)
    near = Neighbour(BootId(6, 0), is_candidate=True)
    far = Neighbour(BootId(7, 0), is_candidate=True)
    candidacy.see(BootId(5, 0), {1: near, 2: far})
    candidacy.is_free(1)
    candidacy.see(BootId(5, 0), {3: near, 2: far})
    assert candidacy.to_ask == {2, 3}
