"""The tables in ``peer.py`` are complete: peers change their states so, and in no other way."""

import ast
import dataclasses
import random
import re
from pathlib import Path

import pytest
from membership_parts import error

from cluster_kit.abc import Failed, Found, Gone, Leaving, Seen
from cluster_kit.errors import ConnectReason, DiscoveryError
from cluster_kit.events import Reason
from cluster_kit.membership import peer as page
from cluster_kit.membership.reconciler import Connect, Disconnect
from cluster_kit.membership.reports import (
    Connected,
    ConnectFailed,
    Disconnected,
    Draining,
    Inherited,
    LinkDown,
    LinkLeaving,
    LinkUp,
    LinkUpdated,
    LocalChanged,
    Observed,
    Report,
    SourceFails,
    SourceWorks,
)
from cluster_kit.membership.rules import Rules
from cluster_kit.membership.settings import Settings
from cluster_kit.node import BootId, Node
from cluster_kit.topologies.full_mesh import FullMeshTopology

LOCAL = Node("me@here", "10.0.0.99:1", boot_id=BootId(1, 1))
ROW = r"^    ([a-z ]+) -> ([a-z ]+?) {2,}([\w, ]+):"
STATE = r"^    ([a-z]+(?: [a-z]+)?) {2,}"
PEERS = 3
LIVES, STEPS = 60, 150


def command_of(peer):
    if peer.flight:
        return "in flight"
    if peer.wanted:
        return "settled" if peer.settled else "waiting"
    return "parting" if peer.requested else "idle"


STATE_OF = {
    "Discovery": lambda peer: (
        "set aside" if peer.set_aside else "known" if peer.known else "unknown"
    ),
    "Link": lambda peer: "up" if peer.up else "missed" if peer.remembered else "strange",
    "Doubt": lambda peer: "doubted" if peer.doubted else "undoubted",
    "Departure": lambda peer: "left" if peer.left else "leaving" if peer.leaving else "staying",
    "Command": command_of,
    "Application": lambda peer: "held" if peer.held else "reported",
}


def tables():
    """Return the text of each group of states."""
    return {text.split()[0]: text for text in re.split(r"\n(?=\w+ \(``)", page.__doc__)[1:]}


def rows():
    """Yield the rows of the tables: group, states before, states after, causes."""
    for group, text in tables().items():
        for before, after, causes in re.findall(ROW, text, re.MULTILINE):
            yield group, before, after, frozenset(causes.split(", "))


def writes():
    """Yield each module that writes a field of a peer, and the field."""
    for path in sorted(Path(page.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Assign(targets=targets) | ast.Delete(targets=targets):
                    pass
                case ast.AugAssign(target=target):
                    targets = [target]
                case _:
                    continue
            texts = [ast.unparse(each) for target in targets for each in ast.walk(target)]
            for text in texts:
                if found := re.match(r"(?:peer|self\._?peers\[.*\])\.(\w+)", text):
                    yield path.name, found[1]


class Life:
    """One membership among random sources and peers, watched between any two of its actions."""

    def __init__(self, seed, seen):
        self.random = random.Random(seed)
        self.seen = seen
        chance = self.random.random
        options = {"keeps_links": chance() < 0.8, "introduces": chance() < 0.8}
        settings = Settings(name="t", prune=chance() < 0.8, max_nodes=6, remember_s=60.0, **options)
        self.rules = Rules(LOCAL, FullMeshTopology(), settings)
        self.now_s = 0.0
        self.boots = [10] * PEERS
        self.links = {}
        self.in_flight = []
        self.states = {}
        self.plan = self.rules.reconciler.plan
        self.rules.reconciler.plan = self.plan_watched
        if chance() < 0.2:
            self.step(Inherited([self.node(), self.node()], 5.0))

    def node(self):
        """Describe a peer as it runs now, more or less completely."""
        node = self.whole(self.random.randrange(PEERS))
        partial = [Node(node.name, node.address), Node(None, node.address)]
        return self.random.choice([node, node, *partial])

    def whole(self, peer):
        return Node(f"p{peer}@there", f"10.0.0.{peer}:1", {}, BootId(self.boots[peer], peer))

    def watch(self, cause):
        for key, peer in self.rules.peers.items():
            states = {group: state_of(peer) for group, state_of in STATE_OF.items()}
            before = self.states.get(key, NEW)
            self.seen |= {
                (group, before[group], state, cause)
                for group, state in states.items()
                if state != before[group]
            }
            self.states[key] = states

    def step(self, report=None):
        rules = self.rules
        if report is not None:
            rules.apply(report, self.now_s)
            self.watch(type(report).__name__)
        rules.tick(self.now_s)
        self.watch("time")
        commands = rules.plan(self.now_s)
        self.in_flight += [each for each in commands if isinstance(each, Connect | Disconnect)]
        self.watch("queue")
        rules.notifier.take(self.now_s)
        self.watch("time")

    def plan_watched(self, now_s):
        self.watch("topology")
        return self.plan(now_s)

    def live(self):
        choices = [self.discovery] * 5 + [self.links_change] * 4 + [self.command_ends] * 4
        choices += [self.time_passes] * 3 + [self.restart, self.health]
        for _ in range(STEPS):
            self.random.choice(choices)()
        self.step(LocalChanged(self.whole(self.random.randrange(PEERS))))
        self.step(Draining())

    def restart(self):
        self.boots[self.random.randrange(PEERS)] += self.random.choice([-1, 1])

    def health(self):
        source = self.random.choice(["gossip", "dns", "(exchange)"])
        self.step(self.random.choice([SourceFails, SourceWorks])(source))

    def time_passes(self):
        self.now_s += self.random.choice([0.01, 0.3, 1.0, 3.0, 20.0, 70.0])
        self.step()

    def discovery(self):
        node = self.node()
        boot_id = self.random.choice([None, node.boot_id])
        observation = self.random.choice(
            [
                Seen(node, 5.0),
                Seen(node, 5.0),
                Found([self.node() for _ in range(self.random.randrange(PEERS))]),
                Failed(DiscoveryError("dns: no answer")),
                Leaving(node.key),
                Gone(node.key, self.random.choice([Reason.LEFT, Reason.GONE]), boot_id),
            ]
        )
        source = "dns" if isinstance(observation, Found) else "gossip"
        self.step(Observed(self.random.choice([source, source, "(exchange)"]), observation))

    def open_link(self, peer):
        if self.links.get(peer) != self.whole(peer):
            self.links[peer] = self.whole(peer)
            self.step(LinkUp(self.links[peer]))

    def links_change(self):
        peer = self.random.randrange(PEERS)
        if peer not in self.links:
            self.open_link(peer)
            return
        node, chance = self.links[peer], self.random.random()
        if chance < 0.5:
            reasons = [reason for reason in Reason if reason is not Reason.REPLACED]
            del self.links[peer]
            self.step(LinkDown(node, self.random.choice(reasons)))
        elif chance < 0.7:
            self.open_link(peer)
        elif chance < 0.85:
            self.step(LinkLeaving(node))
        else:
            self.step(LinkUpdated(node.evolve(metadata={"tag": str(self.random.random())})))

    def command_ends(self):
        if not self.in_flight:
            return
        command = self.in_flight.pop(self.random.randrange(len(self.in_flight)))
        if isinstance(command, Disconnect):
            self.step(Disconnected(command.node))
        elif self.random.random() < 0.5:
            reason = self.random.choice(list(ConnectReason))
            self.step(ConnectFailed(command.node, error(reason), self.random.random()))
        else:
            peer = next(each for each in range(PEERS) if f"10.0.0.{each}:1" == command.node.address)
            self.open_link(peer)
            self.step(Connected(command.node, self.links[peer]))


NEW = {group: state_of(page.Peer("")) for group, state_of in STATE_OF.items()}


@pytest.fixture(scope="module")
def seen():
    """Return what has been seen in many lives: group, state before, state after, cause."""
    changes = set()
    for seed in range(LIVES):
        Life(seed, changes).live()
    return changes


def covers(row, change):
    return all(
        each in (given, "any") if isinstance(each, str) else each & {given, "any"}
        for each, given in zip(row, change, strict=True)
    )


def test_peers_change_their_states_as_the_tables_say_and_not_otherwise(seen):
    table = list(rows())
    assert [
        change for change in sorted(seen) if not any(covers(row, change) for row in table)
    ] == []


def test_each_row_of_the_tables_happens(seen):
    assert [row for row in rows() if not any(covers(row, change) for change in seen)] == []


def test_tables_name_existing_states_and_causes():
    causes = {each.__name__ for each in Report.__args__} | {"any", "time", "topology", "queue"}
    states = {group: re.findall(STATE, text, re.MULTILINE) for group, text in tables().items()}
    for group, before, after, caused_by in rows():
        assert {before, after} <= {*states[group], "any"}
        assert caused_by <= causes
    assert all(NEW[group] in named for group, named in states.items())
    assert states.keys() == STATE_OF.keys()


def test_modules_write_the_fields_of_their_own_groups():
    fields = [field.name for field in dataclasses.fields(page.Peer)]
    owners = {}
    for text in tables().values():
        first, last = re.search(r"fields from ``(\w+)``\s+to\s+``(\w+)``", text).groups()
        modules = set(re.findall(r"``(\w+\.py)``", text.partition("):")[0]))
        owned = fields[fields.index(first) : fields.index(last) + 1]
        owners |= dict.fromkeys(owned, modules)
    assert [*owners] == fields[2:]  # after the key and the deadlines
    written = sorted(set(writes()))
    assert [each for each in written if each[1] in owners and each[0] not in owners[each[1]]] == []
    assert {field for _, field in written} >= {*fields[2:]} - {"ended_runs"}  # by an alias
