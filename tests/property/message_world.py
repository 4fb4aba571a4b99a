"""Applications exchange messages over slow links that break: the laws of messages always hold.

Each application takes what happens to it from its inbox, in order and in its own time. A link
carries payloads on two wires; what is on them when it is cut is lost.
"""

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from itertools import combinations, count
from random import Random

from cluster_kit.node import BootId, Node
from cluster_kit.topics import lanes
from cluster_kit.topics.incoming import IncomingStream
from cluster_kit.topics.messenger import Messenger
from cluster_kit.topics.outcomes import (
    Arrived,
    LocalInterest,
    Missing,
    OperationFailed,
    QuestionArrived,
    Replied,
    Sent,
)
from cluster_kit.topics.peers import DOUBT_S
from cluster_kit.wire.topics import decode

STEADY, FICKLE = "steady", "fickle"  # one is always listened to, the other now and then
WINDOWS = (
    LocalInterest(messages=3, bytes=200_000, answers=True),
    LocalInterest(messages=40, bytes=90_000),
    LocalInterest(messages=8, bytes=50),
)
SIZES = (0, 10, 100, 40_000, 70_000, 150_000)
MAX_BYTES = 200_000


@dataclass
class Link:
    """Two wires, by the name of who sends on them."""

    ends: tuple[str, str]
    wires: dict[str, deque[bytes]] = field(default_factory=lambda: defaultdict(deque))
    is_alive: bool = True
    in_transit: Counter[str] = field(default_factory=Counter)

    def other(self, name: str) -> str:
        return self.ends[name == self.ends[0]]


@dataclass(eq=False)
class Account:
    """What one application knows of one stream; ``number`` is ``None`` once it is unknowable."""

    stream: IncomingStream
    number: int | None = 0
    seen: dict[str, int] = field(default_factory=dict)  # the last of each kind


@dataclass(eq=False)
class App:
    """One run of one node's application."""

    name: str
    run: bytes
    messenger: Messenger
    node: Node
    inbox: deque[tuple] = field(default_factory=deque)
    unread: deque[tuple[IncomingStream, int, int]] = field(default_factory=deque)
    accounts: dict[tuple[bytes, str], Account] = field(default_factory=dict)
    fickle_accounts: dict[tuple[bytes, str], Account] = field(default_factory=dict)
    widest: dict[str, tuple[int, int]] = field(default_factory=dict)
    questions: list = field(default_factory=list)
    tickets: dict[int, tuple] = field(default_factory=dict)
    up: dict[str, int] = field(default_factory=dict)
    is_closed: bool = False


class World:
    """All of them."""

    def __init__(self, names: int = 3) -> None:
        self.now_s = 0.0
        self.numbers = count(1)
        self.links: dict[int, Link] = {}
        self.apps: dict[str, App] = {}
        # numbers used: sender, receiver, topic
        self.sent: Counter[tuple[bytes, bytes, str]] = Counter()
        self.used: Counter[tuple[bytes, bytes, str]] = Counter()  # the same, in all epochs
        # what arrived or was counted as lost
        self.told: Counter[tuple[bytes, bytes, str]] = Counter()
        self.all_linked = False
        self.epochs: dict[tuple[bytes, bytes], int] = {}  # by which sender and receiver know them
        self.app_of: dict[bytes, App] = {}
        for each in range(names):
            self.start(f"n{each}@h")

    def start(self, name: str) -> App:
        serial = next(self.numbers)
        run = serial.to_bytes(16, "big")
        node = Node(name, f"h:{serial}", boot_id=BootId(serial, 1))
        app = self.apps[name] = self.app_of[run] = App(
            name, run, Messenger(run, max_message_bytes=MAX_BYTES), node
        )
        self.listen(name, STEADY, WINDOWS[0])
        return app

    # -- what may happen ---------------------------------------------------------------------------

    def listen(self, name: str, topic: str, interest: LocalInterest | None) -> None:
        app = self.apps[name]
        app.messenger.listen(topic, interest)
        if topic == FICKLE:
            app.unread = (
                deque(each for each in app.unread if each[0].topic != FICKLE)
                if interest is None
                else app.unread
            )
            if interest is None:
                app.fickle_accounts.clear()
        if interest is not None:
            messages, size = app.widest.get(topic, (0, 0))
            app.widest[topic] = max(messages, interest.messages), max(size, interest.bytes)
        self.pump(name)

    def connect(self, one: str, other: str) -> None:
        if any(set(link.ends) == {one, other} and link.is_alive for link in self.links.values()):
            return
        number = next(self.numbers)
        self.links[number] = Link((one, other))
        for name, peer in ((one, other), (other, one)):
            told, theirs = self.apps[name].messenger.greeting, self.apps[peer].messenger.greeting
            self.apps[name].inbox.append(("up", number, self.apps[peer].node, theirs, told))

    def cut(self, number: int) -> None:
        link = self.links[number]
        if link.is_alive:
            link.is_alive = False
            link.wires.clear()
            for name in link.ends:
                if name in self.apps:
                    self.apps[name].inbox.append(("down", number))

    def carry(self, number: int, sender: str, payloads: int) -> None:
        link = self.links[number]
        for _ in range(min(payloads, len(link.wires[sender]))):
            payload = link.wires[sender].popleft()
            if link.other(sender) in self.apps:
                self.apps[link.other(sender)].inbox.append(("payload", number, payload))

    def process(self, name: str, events: int) -> None:
        app = self.apps[name]
        for _ in range(min(events, len(app.inbox))):
            kind, number, *rest = app.inbox.popleft()
            if kind == "up":
                node, theirs, told = rest
                app.up[node.name] = number
                outdated = told != app.messenger.greeting
                self.hear(app, app.messenger.up(number, node, theirs, outdated=outdated))
                if theirs and not app.is_closed:
                    assert node in app.messenger.listeners(STEADY), "up means reachable"
            elif kind == "down":
                self.hear(app, app.messenger.down(number, self.now_s))
                app.up = {peer: link for peer, link in app.up.items() if link != number}
            else:
                link = self.links[number]
                link.in_transit[link.other(name)] -= self.data_bytes(rest[0])
                self.hear(app, app.messenger.receive(number, rest[0]))
        self.pump(name)

    def publish(self, name: str, topic: str, size: int) -> None:
        app = self.apps[name]
        listeners = [] if app.is_closed else app.messenger.listeners(topic)
        data = self.content(app, "publish", size)
        handed = app.messenger.publish(topic, data)
        assert 0 <= handed <= len(listeners)
        for node in listeners:
            self.count(app, self.run_linked(app, node.name), topic)
        self.pump(name)

    def send(self, name: str, peer: str, topic: str, size: int) -> None:
        app, ticket = self.apps[name], next(self.numbers)
        app.tickets[ticket] = ("send", topic, peer, app.up.get(peer) and self.run_linked(app, peer))
        self.hear(app, app.messenger.send(peer, topic, self.content(app, "send", size), ticket))
        self.pump(name)

    def ask(self, name: str, peer: str, size: int) -> None:
        app, ticket = self.apps[name], next(self.numbers)
        app.tickets[ticket] = ("ask", STEADY, peer, None)
        self.hear(app, app.messenger.ask(peer, STEADY, self.content(app, "ask", size), ticket, 1.0))
        self.pump(name)

    def withdraw(self, name: str, which: int) -> None:
        app = self.apps[name]
        if app.tickets:
            ticket = list(app.tickets)[which % len(app.tickets)]
            kind, *_ = app.tickets[ticket]
            if kind == "ask" or app.messenger.withdraw(ticket):
                app.messenger.withdraw(ticket)
                del app.tickets[ticket]
        self.pump(name)

    def read(self, name: str, messages: int) -> None:
        app = self.apps[name]
        for _ in range(min(messages, len(app.unread))):
            stream, number, _ = app.unread.popleft()
            app.messenger.mark_read(stream, number)
        self.pump(name)

    def answer(self, name: str, how: int) -> None:
        app = self.apps[name]
        while app.questions:
            question, data = app.questions.pop()
            match how % 3:
                case 0:
                    app.messenger.reply(question, data)
                case 1:
                    app.messenger.fail(question, "ValueError: no")
                case _:
                    app.messenger.decline(question, "not today")
        self.pump(name)

    def tick(self, seconds: float) -> None:
        self.now_s += seconds
        for name, app in self.apps.items():
            self.hear(app, app.messenger.tick(self.now_s))
            self.pump(name)

    def restart(self, name: str, *, closes: bool, renamed: bool) -> None:
        """End one run and begin another; one that closes says all, as far as its links let it."""
        app = self.apps[name]
        if closes:
            app.is_closed = True
            app.messenger.close()
            self.pump(name)
            for number, link in self.links.items():
                if name in link.ends:
                    self.carry(number, name, len(link.wires[name]))
        for number, link in self.links.items():
            if name in link.ends:
                self.cut(number)
        if renamed:
            del self.apps[name]
            name = f"n{next(self.numbers)}@h"
        self.start(name)

    def replace_worker(self, name: str) -> None:
        for number, link in self.links.items():
            if name in link.ends:
                self.cut(number)

    # -- what comes of it --------------------------------------------------------------------------

    def content(self, app: App, kind: str, size: int) -> bytes:
        head = app.run + kind.encode().ljust(8) + next(self.numbers).to_bytes(8, "big")
        return head + bytes(size)

    def count(self, app: App, receiver: bytes, topic: str) -> None:
        """A number was used."""
        peer = app.messenger._local.peers._known[self.app_of[receiver].name, receiver]
        if self.epochs.setdefault((app.run, receiver), peer.epoch) != peer.epoch:
            self.epochs[app.run, receiver] = peer.epoch  # it was forgotten, and is counted for anew
            for key in [key for key in self.sent if key[:2] == (app.run, receiver)]:
                del self.sent[key]
        self.sent[app.run, receiver, topic] += 1
        self.used[app.run, receiver, topic] += 1

    def run_linked(self, app: App, peer: str) -> bytes:
        """Return the run of the peer at the other end of the link that ``app`` has to it."""
        return app.messenger._by_name[peer].peer.run

    @staticmethod
    def data_bytes(payload: bytes) -> int:
        return (
            len(payload)
            if any(
                type(record).__name__ in ("Data", "Fragment", "QuestionArrived", "Answered")
                for record in decode(payload)
            )
            else 0
        )

    def pump(self, name: str) -> None:
        app = self.apps[name]
        for number in app.messenger.ready():
            while (payload := app.messenger.next_payload(number)) is not None:
                link = self.links.get(number)
                if link is not None and link.is_alive:
                    link.wires[name].append(payload)
                    link.in_transit[name] += self.data_bytes(payload)
                    assert link.in_transit[name] <= lanes.MAX_TRANSIT_BYTES
            assert not app.messenger._links[number].is_ready

    def hear(self, app: App, outcomes: list) -> None:
        for outcome in outcomes:
            match outcome:
                case Arrived():
                    self.arrived(app, outcome)
                case Missing():
                    self.missing(app, outcome)
                case QuestionArrived():
                    app.questions.append((outcome.question, outcome.data))
                case Sent(ticket):
                    _, topic, _, run = app.tickets.pop(ticket)
                    self.count(app, run, topic)
                case Replied(ticket) | OperationFailed(ticket):
                    assert ticket in app.tickets, "one outcome for each ticket"
                    del app.tickets[ticket]

    def account(self, app: App, outcome) -> Account:
        run = self.run_heard(app, outcome)
        accounts = app.fickle_accounts if outcome.topic == FICKLE else app.accounts
        account = accounts.setdefault((run, outcome.topic), Account(outcome.stream))
        # the sender counts anew, or this end has forgotten it
        if account.stream is not outcome.stream:
            account.stream, account.number = outcome.stream, 0
        return account

    @staticmethod
    def run_heard(app: App, outcome) -> bytes:
        return outcome.sender.boot_id.started_ms.to_bytes(16, "big")

    def arrived(self, app: App, arrived: Arrived) -> None:
        run = arrived.data[:16]
        kind = arrived.data[16:24].decode()
        serial = int.from_bytes(arrived.data[24:32], "big")
        assert run == self.run_heard(app, arrived)
        assert run != app.run, "nothing for the sender itself"
        account = self.account(app, arrived)
        assert serial > account.seen.get(kind, 0), "in order, at most once"
        account.seen[kind] = serial
        if account.number is not None:
            assert arrived.number == account.number + 1, "what is missing is told"
        account.number = arrived.number
        self.told[run, app.run, arrived.topic] += 1
        app.unread.append((arrived.stream, arrived.number, len(arrived.data)))
        waiting = [size for stream, _, size in app.unread if stream is arrived.stream and size >= 0]
        messages, size = app.widest[arrived.topic]
        assert len(waiting) <= messages, "no more than there is room for"
        assert sum(waiting) <= size or len(waiting) == 1

    def missing(self, app: App, missing: Missing) -> None:
        account = self.account(app, missing)
        if missing.lost is None:
            account.number = None
            assert not (self.all_linked and self.run_heard(app, missing) in self.living()), (
                "what can be counted is counted"
            )
        else:
            assert missing.lost > 0
            if account.number is not None:
                assert missing.number - missing.lost == account.number, (
                    "no more is told than is missing"
                )
            account.number = missing.number
            self.told[self.run_heard(app, missing), app.run, missing.topic] += missing.lost
        app.unread.append((missing.stream, missing.number, -1))

    # -- the end -----------------------------------------------------------------------------------

    def settle(self) -> None:
        """Heal everything, read everything, and see that all is accounted for and nobody waits."""
        for one, other in combinations(self.apps, 2):
            self.connect(one, other)
        self.until_quiet()
        self.all_linked = True
        self.check_accounts(everybody=False)
        for app in self.apps.values():
            assert not app.tickets, "whoever waits for room gets it"
        self.tick(DOUBT_S + 1)
        self.until_quiet()
        self.check_accounts(everybody=True)

    def until_quiet(self) -> None:
        for _ in range(500):
            before = self.progress()
            for number, link in self.links.items():
                for name in link.ends:
                    self.carry(number, name, len(link.wires[name]))
            for name, app in self.apps.items():
                self.process(name, len(app.inbox))
                self.read(name, len(app.unread))
                self.answer(name, 0)
                self.hear(app, app.messenger.take_outcomes())  # what is still to be told
            if self.progress() == before and not self.is_busy():
                return
        raise AssertionError("it never comes to rest")

    def is_busy(self) -> bool:
        return any(app.inbox or app.unread for app in self.apps.values()) or any(
            wire for link in self.links.values() for wire in link.wires.values()
        )

    def progress(self) -> tuple:
        return tuple(len(app.tickets) for app in self.apps.values()), sum(self.sent.values())

    def living(self) -> set[bytes]:
        return {app.run for app in self.apps.values()}

    def check_accounts(self, *, everybody: bool) -> None:
        living = self.living()
        for (sender, receiver, topic), number in self.sent.items():
            app = self.app_of[receiver]
            is_settled = everybody or self.app_of[sender].name in self.apps
            if topic == STEADY and receiver in living and is_settled:
                account = app.accounts.get((sender, topic))
                assert account is not None
                assert account.number in (None, number), (
                    f"{sender.hex()[-2:]} to {app.name}: {account.number} of {number}"
                )
        for key, number in self.told.items():
            assert number <= self.used[key], "no more is told than was said"


def play(world: World, steps) -> None:
    """Do one thing after another; each step is four numbers."""
    for what, who, whom, much in steps:
        names = list(world.apps)
        name = names[who % len(names)]
        peer = names[(who + 1 + whom % (len(names) - 1)) % len(names)]
        links = [number for number, link in world.links.items() if link.is_alive]
        topic = FICKLE if much % 5 == 4 else STEADY
        step = Step(world, name, peer, topic, SIZES[much % len(SIZES)], who, whom, much)
        if what <= 5:
            if what <= 1:
                world.connect(name, peer)
            elif links:
                on_link(step, what, links[whom % len(links)])
        else:
            DEEDS[what](step)


@dataclass(frozen=True)
class Step:
    """One thing to do: sender, receiver, and numbers for the rest."""

    world: World
    name: str
    peer: str
    topic: str
    size: int
    who: int
    whom: int
    much: int


def on_link(step: Step, what: int, number: int) -> None:
    if what > 2:
        step.world.carry(number, step.world.links[number].ends[step.who % 2], step.much % 10)
    elif step.much % 8 == 0:
        step.world.cut(number)


def restart(step: Step) -> None:
    if step.much % 12 == 0:
        step.world.restart(step.name, closes=step.whom % 2 == 0, renamed=step.whom % 3 == 0)


def replace_worker(step: Step) -> None:
    if step.much % 9 == 0:
        step.world.replace_worker(step.name)


def tick(step: Step) -> None:
    step.world.tick((0.5, 1.0, DOUBT_S if step.much % 5 == 0 else 0.2)[step.much % 3])


def listen_now_and_then(step: Step) -> None:
    step.world.listen(
        step.name, FICKLE, None if step.much % 2 else WINDOWS[step.whom % len(WINDOWS)]
    )


DEEDS = {
    **dict.fromkeys((6, 7, 8), lambda step: step.world.process(step.name, step.much % 12)),
    **dict.fromkeys((9, 10, 11), lambda step: step.world.publish(step.name, step.topic, step.size)),
    **dict.fromkeys(
        (12, 13), lambda step: step.world.send(step.name, step.peer, step.topic, step.size)
    ),
    14: lambda step: step.world.ask(step.name, step.peer, step.size),
    **dict.fromkeys((15, 16, 17), lambda step: step.world.read(step.name, step.much % 9)),
    18: lambda step: step.world.answer(step.name, step.much),
    19: tick,
    20: restart,
    21: lambda step: step.world.listen(step.name, STEADY, WINDOWS[step.much % len(WINDOWS)]),
    22: listen_now_and_then,
    23: lambda step: step.world.withdraw(step.name, step.much),
    24: replace_worker,
}


def random_steps(random: Random, steps: int):
    """Return a script of so many steps."""
    return [
        (random.randrange(25), random.randrange(6), random.randrange(6), random.randrange(60))
        for _ in range(steps)
    ]
