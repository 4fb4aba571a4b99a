"""Whatever is dialled and however it arrives, two nodes end with one link and agree on it.

Each has the greeting that the other has told over that link, and no other.

The link tables and link protocols of both ends are the real ones; between them are connections in
memory, and Hypothesis picks what happens next: a dial that gets through, a frame that arrives, an
end that is noticed, or the next wish of one of the nodes.
"""

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.connectors.tcp.actions import (
    AttemptFailed,
    Close,
    Dial,
    Down,
    Linked,
    Probe,
    Up,
    Write,
)
from cluster_kit.connectors.tcp.connection import MESSAGES
from cluster_kit.connectors.tcp.faults import DialFault
from cluster_kit.connectors.tcp.table import LinkTable
from cluster_kit.errors import ConnectReason
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.wire.frames import Ping, Pong
from cluster_kit.wire.link import LinkProtocol, LinkState, Role

FENCE = Fence("c", "g")
END = object()


@dataclass
class Host:
    """One run of a node, with everything that its table reported."""

    node: Node
    table: LinkTable = field(init=False)
    ups: dict[str, list[str]] = field(default_factory=dict)
    reasons: list[Reason] = field(default_factory=list)
    settled: dict[int, Linked | AttemptFailed] = field(default_factory=dict)
    attempts: dict[int, Node] = field(default_factory=dict)
    wishes: set[str] = field(default_factory=set)
    alive: bool = True
    moment: int = 0
    greetings: dict[str, tuple[bytes | None, bytes]] = field(default_factory=dict)

    def __post_init__(self):
        self.table = LinkTable(self.node, FENCE, (MESSAGES,), greeting=self.greet)

    def greet(self):
        """Return another greeting each time, of no frame, one or several."""
        self.moment += 1
        return f"{self.node.name} {self.moment} ".encode() * (self.moment % 3 * 300)

    def linked(self):
        return {name for name, history in self.ups.items() if history[-1] == "up"}


@dataclass
class End:
    """One end of a connection: what it has still to read, and what it may still say."""

    host: Host
    conn: int
    link: LinkProtocol
    other: "End | None" = None
    inbox: deque = field(default_factory=deque)
    open: bool = True
    probed: bool = False


class World:
    def __init__(self, *nodes: Node) -> None:
        self.hosts = [Host(node) for node in nodes]
        self.ends: dict[tuple[int, int], End] = {}
        self.connecting: list[tuple[Host, int, Node]] = []
        self.numbers = 0

    # what can happen

    def choices(self):
        yield from (("connect", dial) for dial in self.connecting)
        yield from (
            ("read", end) for end in self.ends.values() if end.inbox and end.open and end.host.alive
        )

    def step(self, kind, subject):
        if kind == "connect":
            self.connecting.remove(subject)
            self.establish(*subject)
        else:
            self.read(subject)

    def settle(self, pick=lambda choices: choices[0]):
        """Let everything that is under way arrive."""
        for _ in range(10_000):
            choices = list(self.choices())
            if not choices:
                return
            self.step(*pick(choices))
        raise AssertionError("never quiet")

    # wishes

    def connect(self, host: Host, node: Node) -> int:
        attempt = self.number()
        host.attempts[attempt] = node
        self.apply(host, host.table.connect(attempt, node))
        return attempt

    def abandon(self, host: Host, attempt: int) -> None:
        self.apply(host, host.table.abandon(attempt))

    def disconnect(self, host: Host, node: Node) -> None:
        host.wishes.discard(node.key)
        self.apply(host, host.table.disconnect(node))

    def kill(self, host: Host) -> None:
        """The process is gone; its kernel closes what it had, which others notice in their time."""
        host.alive = False
        self.connecting = [dial for dial in self.connecting if dial[0] is not host]
        for end in list(self.ends.values()):
            if end.host is host and end.open:
                self.hang_up(end)

    # the network

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def serving(self, address: str) -> Host | None:
        host_of = {host.node.address: host for host in self.hosts if host.alive}
        return host_of.get(address.replace("alias-", ""))

    def establish(self, host: Host, conn: int, node: Node) -> None:
        target = self.serving(node.address)
        if target is None:
            self.apply(host, host.table.closed(conn, fault=DialFault.of(ConnectReason.REFUSED)))
            return
        number = self.number()
        near = End(host, conn, host.table.protocol_of(conn))
        far = End(target, number, target.table.accept(number))
        near.other, far.other = far, near
        self.ends[id(host), near.conn] = near
        self.ends[id(target), far.conn] = far
        self.apply(host, host.table.established(conn))

    def read(self, end: End) -> None:
        data = end.inbox.popleft()
        if data is END:
            end.open = False
            self.hang_up(end)
            self.apply(end.host, end.host.table.closed(end.conn))
            return
        for frame in end.link.receive(data):
            if isinstance(frame, Ping):
                self.say(end, end.link.send(Pong(token=frame.token)))
            elif not isinstance(frame, Pong):
                self.apply(end.host, end.host.table.receive(end.conn, frame))
        if end.probed:
            end.probed = False
            self.apply(end.host, end.host.table.heard(end.conn))

    def say(self, end: End, data: bytes) -> None:
        if end.other.open:
            end.other.inbox.append(data)

    def hang_up(self, end: End) -> None:
        end.open = False
        if end.other.open and END not in end.other.inbox:
            end.other.inbox.append(END)

    def apply(self, host: Host, actions) -> None:
        for action in actions:
            match action:
                case Write():
                    self.say(self.ends[id(host), action.conn], action.data)
                case Probe():
                    end = self.ends[id(host), action.conn]
                    end.probed = True
                    self.say(end, end.link.send(Ping(token=0, rtt_us=0)))
                case Dial():
                    self.connecting.append((host, action.conn, action.node))
                case Close():
                    self.connecting = [dial for dial in self.connecting if dial[1] != action.conn]
                    if end := self.ends.get((id(host), action.conn)):
                        self.hang_up(end)
                case Linked() | AttemptFailed():
                    assert action.attempt not in host.settled, "a connect ends once"
                    host.settled[action.attempt] = action
                    if isinstance(action, Linked):
                        host.wishes.add(action.peer.key)
                case Up():
                    history = host.ups.setdefault(action.peer.key, [])
                    assert history[-1:] != ["up"], "up is reported once"
                    history.append("up")
                    host.greetings[action.peer.key] = (action.greeting, action.sent)
                case Down():
                    assert host.ups[action.peer.key][-1] == "up", "down is reported once"
                    host.ups[action.peer.key].append("down")
                    host.wishes.discard(action.peer.key)
                    host.reasons.append(action.reason)

    # what must hold when all is quiet

    def open_ends(self, host: Host) -> list[End]:
        return [end for end in self.ends.values() if end.host is host and end.open]

    def check_agreement(self):
        """Each open connection is a link to both, and there is one between two nodes at most."""
        living = [host for host in self.hosts if host.alive]
        for host in living:
            ends = self.open_ends(host)
            assert all(
                end.link.state is LinkState.UP and end.other.link.state is LinkState.UP
                for end in ends
            )
            peers = [end.other.host.node.name for end in ends]
            assert sorted(peers) == sorted(host.linked())
            for peer in (end.other.host for end in ends):
                greeting, told = peer.greetings[host.node.name]
                assert host.greetings[peer.node.name] == (told, greeting), (
                    "each got what the other says that it has said"
                )
                assert not told or told.startswith(peer.node.name.encode())


def node(name: str, boot: int) -> Node:
    return Node(name=f"{name}@h", address=f"{name}:1", boot_id=BootId(boot, 0))


def known(peer: Node) -> st.SearchStrategy[Node]:
    """Return a node as discovery may know it: in full, by its address, or by another address."""
    return st.sampled_from(
        [
            Node(name=peer.name, address=peer.address),
            Node(address=peer.address),
            Node(address=f"alias-{peer.address}"),
            Node(name=peer.name, address=f"alias-{peer.address}"),
        ]
    )


ANN, BOB = node("ann", 1), node("bob", 2)


@given(data=st.data(), swap=st.booleans())
@settings(max_examples=300, deadline=None)
def test_simultaneous_dials_settle_on_one_link_without_a_flap(data, swap):
    world = World(*((BOB, ANN) if swap else (ANN, BOB)))
    one, other = world.hosts
    wishes = data.draw(
        st.lists(
            st.one_of(
                st.tuples(st.just(one), known(other.node)),
                st.tuples(st.just(other), known(one.node)),
            ),
            min_size=1,
            max_size=5,
        )
    )

    def pick(choices):
        return data.draw(st.sampled_from(choices))

    while wishes:
        world.connect(*wishes.pop())
        for _ in range(data.draw(st.integers(0, 6))):
            choices = list(world.choices())
            if choices:
                world.step(*pick(choices))
    world.settle(pick)
    world.check_agreement()
    assert one.ups == {other.node.name: ["up"]}
    assert other.ups == {one.node.name: ["up"]}
    for host in world.hosts:
        assert host.settled.keys() == host.attempts.keys()
        assert {
            outcome.error.reason
            for outcome in host.settled.values()
            if isinstance(outcome, AttemptFailed)
        } <= {ConnectReason.CROSSED}


def test_dial_given_up_for_the_sake_of_an_unrecognized_one_has_crossed():
    world = World(ANN, BOB)
    ann, bob = world.hosts
    world.connect(bob, Node(name=ann.node.name, address=ann.node.address))
    world.step("connect", world.connecting[0])
    world.connect(ann, Node(address=bob.node.address))
    world.step("connect", world.connecting[0])
    hellos = list(world.choices())
    for hello in hellos:
        world.step(*hello)  # each answers the other's dial, and bob gives up his own
    attempt = world.connect(ann, Node(name=bob.node.name, address=bob.node.address))
    assert not world.connecting, "it waits for the dial of bob"
    world.settle()
    world.check_agreement()
    assert ann.settled[attempt].error.reason is ConnectReason.CROSSED


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_ends_agree_whatever_is_given_up_or_unwished_meanwhile(data):
    world = World(ANN, BOB)
    one, other = world.hosts

    def act():
        host, peer = data.draw(st.sampled_from([(one, other), (other, one)]))
        pending = [attempt for attempt in host.attempts if attempt not in host.settled]
        match data.draw(st.sampled_from(["connect", "abandon", "disconnect"])):
            case "connect":
                world.connect(host, data.draw(known(peer.node)))
            case "abandon" if pending:
                attempt = data.draw(st.sampled_from(pending))
                host.attempts.pop(attempt)
                world.abandon(host, attempt)
            case "disconnect":
                world.disconnect(host, peer.node)

    for _ in range(data.draw(st.integers(1, 12))):
        act()
        for _ in range(data.draw(st.integers(0, 4))):
            choices = list(world.choices())
            if choices:
                world.step(*data.draw(st.sampled_from(choices)))
    world.settle(lambda choices: data.draw(st.sampled_from(choices)))
    world.check_agreement()
    for host in world.hosts:
        assert host.settled.keys() >= host.attempts.keys()
    if one.linked():
        assert one.wishes or other.wishes, "a link that neither end wants is closed"


@given(data=st.data(), later_boot=st.sampled_from([BootId(9, 9), BootId(0, 1)]))
@settings(max_examples=200, deadline=None)
def test_restarted_peer_is_linked_again_also_with_its_clock_set_back(data, later_boot):
    world = World(ANN, BOB)
    one, other = world.hosts

    def pick(choices):
        return data.draw(st.sampled_from(choices))

    def steps(count):
        for _ in range(data.draw(st.integers(0, count))):
            choices = list(world.choices())
            if choices:
                world.step(*pick(choices))

    world.connect(one, other.node)
    world.connect(other, one.node)
    steps(12)
    world.kill(other)
    steps(3)
    again = Host(other.node.evolve(boot_id=later_boot))
    world.hosts.append(again)
    for _ in range(4):  # the reconciler tries again what failed for now
        for host, peer in ((one, again), (again, one)):
            if peer.node.name not in host.linked():
                world.connect(host, peer.node.evolve(boot_id=None))
            steps(6)
        world.settle(pick)
    world.check_agreement()
    assert again.ups == {one.node.name: ["up"]}
    assert one.linked() == {again.node.name}
    assert set(one.reasons) <= {Reason.CLOSED, Reason.REPLACED}


@given(data=st.data(), boots=st.permutations([1, 2]))
@settings(max_examples=150, deadline=None)
def test_of_two_live_processes_of_one_name_the_first_to_be_linked_stays_linked(data, boots):
    world = World(ANN, node("bob", 2 + boots[0]), node("bob", 2 + boots[1]))
    ann, first, second = world.hosts

    def pick(choices):
        return data.draw(st.sampled_from(choices))

    for _ in range(4):
        for host in (first, second):
            if not host.linked():
                world.connect(host, ANN)
            for _ in range(data.draw(st.integers(0, 6))):
                choices = list(world.choices())
                if choices:
                    world.step(*pick(choices))
        world.settle(pick)
    world.check_agreement()
    assert ann.ups == {"bob@h": ["up"]}
    assert sorted(host.ups == {"ann@h": ["up"]} for host in (first, second)) == [False, True]
    assert sorted(len(host.ups) for host in (first, second)) == [0, 1]


@pytest.mark.parametrize("swap", [False, True])
def test_dials_that_cross_exactly_are_won_by_the_lower_name(swap):
    world = World(ANN, BOB)
    ann, bob = world.hosts
    first, second = ((ann, bob), (bob, ann)) if swap else ((bob, ann), (ann, bob))
    world.connect(first[0], first[1].node)
    world.connect(second[0], second[1].node)
    world.step(*next(iter(world.choices())))
    world.step(*next(iter(world.choices())))  # both hellos are out
    world.settle()
    (end,) = world.open_ends(ann)
    assert end.link.role is Role.DIALLER
