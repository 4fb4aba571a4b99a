"""Two nodes and the connections between them, in memory.

The link tables and link protocols of both ends are the real ones; between them are connections in
memory, and Hypothesis picks what happens next: a dial that gets through, a frame that arrives, an
end that is noticed, or the next wish of one of the nodes.
"""

from collections import deque
from dataclasses import dataclass, field

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
from cluster_kit.wire.link import LinkProtocol, LinkState

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
    protocol: LinkProtocol
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
        for frame in end.protocol.receive(data):
            if isinstance(frame, Ping):
                self.say(end, end.protocol.send(Pong(token=frame.token)))
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
                    self.say(end, end.protocol.send(Ping(token=0, rtt_us=0)))
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
                end.protocol.state is LinkState.UP and end.other.protocol.state is LinkState.UP
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
