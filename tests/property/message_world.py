"""Applications exchange messages over slow links that break: the laws of messages always hold.

Each application takes what happens to it from its inbox, in order and in its own time. A link
carries payloads on two wires; what is on them when it is cut is lost. Its ends greet with what
their workers know, which may be out of date.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations, count, permutations

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
from cluster_kit.topics.peers import DOUBT_S, TopicPeer
from cluster_kit.wire.topics import decode

STEADY, FICKLE = "steady", "fickle"  # one is always listened to, the other now and then
WINDOWS = (
    LocalInterest(messages=3, bytes=200_000, answers=True),
    LocalInterest(messages=40, bytes=350_000),
    LocalInterest(messages=8, bytes=50),
)
ANSWERS_ONLY = LocalInterest(messages=0, bytes=0, answers=True)
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
    greeting: bytes = b""  # what the worker has, for new links
    known: dict[bytes, int] = field(default_factory=dict)  # since when, by run
    broken: set[bytes] = field(default_factory=set)  # runs with links that broke
    opened: set[bytes] = field(default_factory=set)  # runs that have said which epoch they count in
    is_closed: bool = False


class World:
    """All of them."""

    def __init__(self, names: int = 3) -> None:
        self.now_s = 0.0
        self.numbers = count(1)
        self.links: dict[int, Link] = {}
        self.apps: dict[str, App] = {}
        # numbers used, and when the last was: sender, receiver, topic
        self.sent: Counter[tuple[bytes, bytes, str]] = Counter()
        self.sent_last: dict[tuple[bytes, bytes, str], int] = {}
        self.used: Counter[tuple[bytes, bytes, str]] = Counter()  # the same, in all epochs
        # what arrived or was counted as lost
        self.told: Counter[tuple[bytes, bytes, str]] = Counter()
        self.all_linked = False
        self.epochs: dict[tuple[bytes, bytes], int | None] = {}  # of those, by sender and receiver
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
        if interest is None or not interest.messages:
            app.unread = deque(each for each in app.unread if each[0].topic != topic)
            app.fickle_accounts.clear()
        else:
            messages, size = app.widest.get(topic, (0, 0))
            app.widest[topic] = max(messages, interest.messages), max(size, interest.bytes)
        self.pump(name)

    def connect(self, one: str, other: str) -> None:
        if any(set(link.ends) == {one, other} and link.is_alive for link in self.links.values()):
            return
        number = next(self.numbers)
        self.links[number] = Link((one, other))
        for name, peer in ((one, other), (other, one)):
            app, other_app = self.apps[name], self.apps[peer]
            app.inbox.append(("up", number, other_app.node, other_app.greeting, app.greeting))

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
                if theirs:
                    self.note_known(app, node)
                outdated = told != app.messenger.greeting
                self.hear(app, app.messenger.up(number, node, theirs, outdated=outdated))
                if theirs and not app.is_closed:
                    assert node in app.messenger.listeners(STEADY), "up means reachable"
            elif kind == "down":
                self.note_broken(app, number)
                self.hear(app, app.messenger.down(number, self.now_s))
                app.up = {peer: link for peer, link in app.up.items() if link != number}
            else:
                link = self.links[number]
                link.in_transit[link.other(name)] -= self.data_bytes(rest[0])
                opened = app.messenger._links[number]
                self.note_known(app, opened.node)
                self.hear(app, app.messenger.receive(number, rest[0]))
                if opened.control.peer_has_opened:
                    app.opened.add(self.run_of(opened.node))
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
        run = self.run_linked(app, peer) if peer in app.up else None
        app.tickets[ticket] = ("send", topic, peer, run)
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
        self.update_worker(name)

    def update_worker(self, name: str) -> None:
        app = self.apps[name]
        app.greeting = app.messenger.greeting

    # -- what comes of it --------------------------------------------------------------------------

    def content(self, app: App, kind: str, size: int) -> bytes:
        head = app.run + kind.encode().ljust(8) + next(self.numbers).to_bytes(8, "big")
        return head + bytes(size)

    def count(self, app: App, receiver: bytes, topic: str) -> None:
        """A number was used."""
        epoch = self.epoch(app, receiver)
        if self.epochs.setdefault((app.run, receiver), epoch) != epoch:
            self.epochs[app.run, receiver] = epoch  # it was forgotten, and is counted for anew
            for key in [key for key in self.sent if key[:2] == (app.run, receiver)]:
                del self.sent[key]
        self.sent[app.run, receiver, topic] += 1
        self.sent_last[app.run, receiver, topic] = next(self.numbers)
        self.used[app.run, receiver, topic] += 1

    def epoch(self, app: App, receiver: bytes) -> int | None:
        """Return the epoch of the numbers for ``receiver``; ``None`` if it is forgotten."""
        peer = app.messenger._local.peers._known.get((self.app_of[receiver].name, receiver))
        return None if peer is None else peer.epoch

    def run_linked(self, app: App, peer: str) -> bytes | None:
        """Return the run at the other end of the link to ``peer``; ``None`` until that is known."""
        known = app.messenger._by_name[peer].peer
        return None if known is None else known.run

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
        run = self.run_of(outcome.sender)
        accounts = app.fickle_accounts if outcome.topic == FICKLE else app.accounts
        account = accounts.setdefault((run, outcome.topic), Account(outcome.stream))
        # the sender counts anew, or this end has forgotten it
        if account.stream is not outcome.stream:
            account.stream, account.number = outcome.stream, 0
        return account

    def note_known(self, app: App, node: Node) -> None:
        app.known.setdefault(self.run_of(node), next(self.numbers))

    def note_broken(self, app: App, number: int) -> None:
        """Note that something may be lost, if a link is down before the peer has closed it."""
        link = app.messenger._links.get(number)
        if link is not None and not link.peer_has_closed:
            app.broken.add(self.run_of(link.node))

    @staticmethod
    def run_of(node: Node) -> bytes:
        assert node.boot_id is not None
        return node.boot_id.started_ms.to_bytes(16, "big")

    def arrived(self, app: App, arrived: Arrived) -> None:
        run = arrived.data[:16]
        kind = arrived.data[16:24].decode()
        serial = int.from_bytes(arrived.data[24:32], "big")
        assert run == self.run_of(arrived.sender)
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
            assert self.run_of(missing.sender) in app.broken, "only with a link"
            assert not (self.all_linked and self.run_of(missing.sender) in self.living()), (
                "what can be counted is counted"
            )
        else:
            assert missing.lost > 0
            if account.number is not None:
                assert missing.number - missing.lost == account.number, (
                    "no more is told than is missing"
                )
            account.number = missing.number
            self.told[self.run_of(missing.sender), app.run, missing.topic] += missing.lost
        app.unread.append((missing.stream, missing.number, -1))

    # -- the end -----------------------------------------------------------------------------------

    def settle(self, ending: Callable[["World"], None] | None = None) -> None:
        """Heal everything, read everything, and see that all is accounted for and nobody waits."""
        if ending is not None:
            ending(self)
        for one, other in combinations(self.apps, 2):
            self.connect(one, other)
        self.until_nobody_waits()
        self.all_linked = True
        self.check_accounts(everybody=False)
        for app in self.apps.values():
            assert not app.tickets, "whoever waits for room gets it"
        for one, other in permutations(self.apps, 2):
            self.send(one, other, STEADY, max(SIZES))
        self.until_nobody_waits()
        for app in self.apps.values():
            assert not app.tickets, "once everything is read, there is room for everything"
        self.tick(DOUBT_S + 1)
        self.until_quiet()
        self.check_accounts(everybody=True)

    def until_nobody_waits(self) -> None:
        """Let seconds pass as long as they let anything go on: some credit comes with a tick."""
        before = None
        while self.progress() != before:
            before = self.progress()
            self.until_quiet()
            self.tick(1.0)
            self.until_quiet()

    def until_quiet(self) -> None:
        """Carry and read everything, until only the passing of time would change something."""
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
            is_known = self.is_known(sender, receiver, topic)
            if topic == STEADY and receiver in living and is_settled and is_known:
                account = app.accounts.get((sender, topic))
                assert account is not None
                assert account.number in (None, number), (
                    f"{sender.hex()[-2:]} to {app.name}: {account.number} of {number}"
                )
        for app in self.app_of.values() if everybody else self.apps.values():
            for peer in app.messenger._local.peers:
                self.check_streams(app, peer)
        for key, number in self.told.items():
            assert number <= self.used[key], "no more is told than was said"

    def is_known(self, sender: bytes, receiver: bytes, topic: str) -> bool:
        """Whether the receiver knew the sender when it sent last, or has heard how far it counted.

        A receiver can't miss what it never knew of, unless it learns of that afterwards.
        """
        app = self.app_of[receiver]
        since = app.known.get(sender)
        if since is None:
            return False
        counts = self.epoch(self.app_of[sender], receiver) == self.epochs[sender, receiver]
        return (counts and sender in app.opened) or since < self.sent_last[sender, receiver, topic]

    def check_streams(self, sender: App, peer: TopicPeer) -> None:
        unread = sum(stream.count for stream in peer.streams.values())
        assert peer.outstanding == unread, "the sum is right"
        receiver = self.app_of[peer.run]
        by_number = receiver.messenger._local.topics.by_number
        accounts = receiver.accounts | receiver.fickle_accounts
        streams = [*peer.streams.values(), *peer.lapsed.values()]
        if peer.run in self.living() and sender.run in receiver.opened:
            for stream in streams:
                if stream.number and stream.stream_number in by_number:
                    account = accounts[sender.run, stream.topic]
                    assert account.number in (None, stream.number), "both ends agree on each stream"
