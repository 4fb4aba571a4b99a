"""A membership between random sources, a random network and any lawful connector keeps its laws."""

from contextlib import contextmanager, nullcontext

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cluster_kit.abc import Failed, Found, Gone, Leaving, Seen
from cluster_kit.errors import ConnectError, ConnectReason, DiscoveryError
from cluster_kit.events import (
    NodeDown,
    NodeFound,
    NodeLeaving,
    NodeLost,
    NodeUp,
    NodeUpdated,
    Reason,
)
from cluster_kit.membership.departures import BELATED_S
from cluster_kit.membership.membership import Membership
from cluster_kit.membership.reconciler import FINAL_RETRY_S, Connect, Disconnect, GiveUp
from cluster_kit.membership.reports import (
    Connected,
    ConnectFailed,
    Disconnected,
    LinkDown,
    LinkLeaving,
    LinkUp,
    LinkUpdated,
    Observed,
    SourceFails,
    SourceWorks,
)
from cluster_kit.membership.settings import Settings
from cluster_kit.node import BootId, Node
from cluster_kit.rate_limit import RateLimit
from cluster_kit.topologies.full_mesh import FullMeshTopology

LOCAL = Node("me@here", "10.0.0.99:1", boot_id=BootId(1, 1))
PEERS = 4
TTL_S = 5.0
MAX_NODES = 6
UNHURRIED_S = 0.8

peers = st.integers(0, PEERS - 1)
shapes = st.sampled_from(["whole", "no boot", "bare", "tagged"])
connect_reasons = st.sampled_from(ConnectReason)
down_reasons = st.sampled_from([reason for reason in Reason if reason is not Reason.REPLACED])
jitters = st.floats(0, 1, exclude_max=True)


class World(RuleBasedStateMachine):
    """The peers, the real links, the commands in flight, and what the events add up to."""

    @initialize(
        prune=st.booleans(), keeps_links=st.booleans(), unhurried=st.booleans(), eager=st.booleans()
    )
    def start(self, prune, keeps_links, unhurried, eager):
        self.membership = Membership(
            LOCAL,
            FullMeshTopology(),
            Settings(
                name="t", prune=prune, max_nodes=MAX_NODES, remember_s=60.0, keeps_links=keeps_links
            ),
        )
        if unhurried:  # events come seldom, so that much is held back
            self.membership._rules.notifier._rate = RateLimit(UNHURRIED_S)
            self.membership._rules.selection._rate = RateLimit(UNHURRIED_S)
        self.keeps_links = keeps_links
        self.eager = eager  # it steps on with each report alone, not with all since the last step
        self.reports = []
        self.events = []
        self.wake_at_s = None
        self.now_s = 0.0
        self.boots = [10] * PEERS
        self.links: dict[int, Node] = {}
        self.left: set[str] = set()  # the keys of peers that said goodbye with their last link
        # the run of a peer that has said over a link that it leaves
        self.draining: dict[int, BootId] = {}
        self.restarted: set[int] = set()  # peers of which several runs may be known
        self.opened_s: dict[int, float] = {}
        self.goodbyes: set[tuple[str, BootId]] = set()  # of which runs
        self.in_flight: list[Connect | Disconnect] = []
        self.known: dict[str, Node] = {}
        self.up: dict[str, Node] = {}

    def report(self, report):
        self.reports.append(report)
        if self.eager:
            self.step()

    def hear(self, source, observation):
        self.report(Observed(source, observation))

    # -- the peers ---------------------------------------------------------------------------------

    def address(self, peer):
        return f"10.0.0.{peer}:1"

    def node(self, peer, shape="whole"):
        name, address, boot = f"p{peer}@there", self.address(peer), BootId(self.boots[peer], peer)
        match shape:
            case "bare":
                return Node(None, address)
            case "no boot":
                return Node(name, address)
            case "tagged":
                return Node(name, address, {"boot": str(boot)}, boot)
            case _:
                return Node(name, address, {}, boot)

    def peer_at(self, node):
        return next(peer for peer in range(PEERS) if self.address(peer) == node.address)

    @rule(peer=peers, step=st.sampled_from([-1, 1]))
    def peer_restarts(self, peer, step):
        self.boots[peer] += step
        self.restarted.add(peer)

    # -- discovery ---------------------------------------------------------------------------------

    @rule(peer=peers, shape=shapes, source=st.sampled_from(["gossip", "exchange"]))
    def source_sees(self, peer, shape, source):
        self.hear(source, Seen(self.node(peer, shape), TTL_S))

    @rule(answer=st.dictionaries(peers, shapes))
    def source_answers(self, answer):
        self.hear("dns", Found(self.node(peer, shape) for peer, shape in answer.items()))

    @rule(peer=peers, with_boot=st.booleans(), reason=st.sampled_from([Reason.LEFT, Reason.GONE]))
    def source_says_gone(self, peer, with_boot, reason):
        node = self.node(peer)
        if reason is Reason.LEFT and with_boot:
            self.goodbyes.add((node.key, node.boot_id))
        with self.no_link_is_parted() if reason is Reason.LEFT else nullcontext():
            self.hear("gossip", Gone(node.name, reason, node.boot_id if with_boot else None))

    @rule(peer=peers)
    def source_says_leaving(self, peer):
        with self.no_link_is_parted():
            self.hear("gossip", Leaving(self.node(peer).name))

    @precondition(lambda self: self.links)
    @rule(data=st.data(), is_later=st.booleans(), leaves=st.booleans())
    def source_lies_about_a_linked_peer(self, data, is_later, leaves):
        """It has seen that run, or a later one, and says that it is leaving or has left."""
        peer = data.draw(st.sampled_from(sorted(self.links)))
        node = self.links[peer]
        if is_later:
            node = node.evolve(boot_id=BootId(node.boot_id.started_ms + 1, peer))
            self.restarted.add(peer)
        with self.no_link_is_parted():
            self.hear("gossip", Seen(node, TTL_S))
            if leaves:
                self.goodbyes.add((node.key, node.boot_id))
                self.hear("gossip", Gone(node.name, Reason.LEFT, node.boot_id))
            else:
                self.hear("gossip", Leaving(node.name))

    @contextmanager
    def no_link_is_parted(self):
        """The block must not unwant a link that is up, unless its peer says that it is leaving."""
        self.step()
        before = self.on_offer()
        yield
        self.step()
        assert before & self.linked_and_staying() <= self.on_offer()

    def on_offer(self):
        return {key for key, peer in self.membership._rules.peers.items() if any(peer.offer)}

    @rule()
    def source_sees_ourselves(self):
        self.hear("gossip", Seen(LOCAL, TTL_S))
        self.hear("gossip", Seen(Node(None, LOCAL.address), TTL_S))

    @rule(source=st.sampled_from(["gossip", "dns"]))
    def source_fails(self, source):
        self.step()
        before = self.membership.known
        self.hear(source, Failed(DiscoveryError("dns: no answer")))
        self.step()
        assert self.membership.known == before

    @rule(
        source=st.sampled_from(["gossip", "exchange", "dns"]),
        turn=st.sampled_from([SourceFails, SourceWorks]),
    )
    def health_turns(self, source, turn):
        self.report(turn(source))

    # -- the network -------------------------------------------------------------------------------

    def open_link(self, peer):
        if self.links.get(peer) != self.node(peer):
            self.links[peer], self.opened_s[peer] = self.node(peer), self.now_s
            self.left.discard(self.links[peer].key)
            self.report(LinkUp(self.links[peer]))
            if self.draining.get(peer) == self.links[peer].boot_id:  # it says so on each link
                self.report(LinkLeaving(self.links[peer]))
        return self.links[peer]

    @rule(peer=peers)
    def peer_dials_us(self, peer):
        self.open_link(peer)

    @precondition(lambda self: self.links)
    @rule(data=st.data(), reason=down_reasons)
    def link_breaks(self, data, reason):
        peer = data.draw(st.sampled_from(sorted(self.links)))
        node = self.links.pop(peer)
        if reason is Reason.LEFT:
            self.left.add(node.key)
            self.goodbyes.add((node.key, node.boot_id))
        self.report(LinkDown(node, reason))

    @precondition(lambda self: self.links)
    @rule(data=st.data(), tag=st.sampled_from("xy"))
    def peer_changes_metadata(self, data, tag):
        peer = data.draw(st.sampled_from(sorted(self.links)))
        self.report(LinkUpdated(self.links[peer].evolve(metadata={"tag": tag})))

    @precondition(lambda self: self.links)
    @rule(data=st.data())
    def peer_drains(self, data):
        peer = data.draw(st.sampled_from(sorted(self.links)))
        self.draining[peer] = self.links[peer].boot_id
        self.report(LinkLeaving(self.links[peer]))

    @rule(peer=peers, reason=down_reasons)
    def stale_report(self, peer, reason):
        """A link of another run ends, or one that never was up."""
        node = self.node(peer)
        if peer not in self.links or self.links[peer].boot_id != node.boot_id:
            self.report(LinkDown(node, reason))

    # -- the connector -----------------------------------------------------------------------------

    @rule()
    def worker_steps(self):
        self.step()
        assert self.step() == []

    def step(self):
        """Let the worker take a step, and return the commands that it starts."""
        dialled = {command.node.key for command in self.in_flight if isinstance(command, Connect)}
        commands, reports = [], self.reports
        self.reports = []
        effects = self.membership.step(reports, self.now_s)
        self.events += effects.events
        self.wake_at_s = effects.wake_at_s
        for command in effects.commands:
            if isinstance(command, GiveUp):
                assert command.key in dialled
                dialled.remove(command.key)
            else:
                commands.append(command)
        self.in_flight += commands
        keys = [command.node.key for command in self.in_flight]
        assert len(keys) == len(set(keys))
        leaving = self.membership.leaving
        # the application hears of a loss a little later
        vouched_for = self.membership._rules.roster.known.keys()
        staying = vouched_for - (leaving - self.linked_and_staying())
        for command in commands:
            if isinstance(command, Connect):
                gone = leaving - self.linked_and_staying(self.restarted)
                assert command.node.key not in gone | {LOCAL.name, LOCAL.address}
            else:
                assert command.node.key not in staying or command.node.key in self.left
        return commands

    def linked_and_staying(self, others=frozenset()):
        """Return the keys of linked peers, and ``others``, that have not said that they leave."""
        if not self.keeps_links:
            return set()
        links = self.links.items()
        staying = {
            node.key
            for peer, node in links
            if peer in others or self.draining.get(peer) != node.boot_id
        }
        return staying - self.doubted()

    def doubted(self):
        return {key for key, peer in self.membership._rules.peers.items() if peer.doubted}

    def succeed(self, command):
        if isinstance(command, Connect):
            peer = self.open_link(self.peer_at(command.node))
            self.in_flight.remove(command)
            self.report(Connected(command.node, peer))
        else:
            self.in_flight.remove(command)
            self.report(Disconnected(command.node))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def command_succeeds(self, data):
        self.succeed(data.draw(st.sampled_from(self.in_flight)))

    @precondition(lambda self: any(isinstance(command, Connect) for command in self.in_flight))
    @rule(data=st.data(), reason=connect_reasons, jitter=jitters)
    def dial_fails(self, data, reason, jitter):
        dials = [command for command in self.in_flight if isinstance(command, Connect)]
        command = data.draw(st.sampled_from(dials))
        self.in_flight.remove(command)
        error = ConnectError("tcp: failed", node=command.node.key, reason=reason)
        self.report(ConnectFailed(command.node, error, jitter))

    @rule(seconds=st.sampled_from([0.01, 0.3, 1.0, 3.0, 20.0, 70.0]))
    def time_passes(self, seconds):
        self.step()
        self.now_s += seconds
        self.step()

    # -- the laws ----------------------------------------------------------------------------------

    @invariant()
    def events_add_up(self):
        """Found and lost, up and down alternate, and what the events say is what there is."""
        events, self.events = self.events, []
        for event in events:
            key = event.node.key
            match event:
                case NodeFound():
                    assert key not in self.known
                    self.known[key] = event.node
                case NodeLost():
                    assert self.known.pop(key) == event.node
                case NodeUp():
                    assert key not in self.up
                    self.up[key] = event.node
                    if key in self.known:
                        self.known[key] = event.node
                case NodeDown():
                    assert self.up.pop(key) == event.node
                case NodeUpdated():
                    showing = [view for view in (self.known, self.up) if key in view]
                    assert any(view[key] != event.node for view in showing)
                    for view in showing:
                        view[key] = event.node
                case NodeLeaving():
                    assert key in self.known or key in self.up
        assert self.membership.known == tuple(self.known[key] for key in sorted(self.known))
        assert self.membership.up == tuple(self.up[key] for key in sorted(self.up))

    @invariant()
    def up_is_what_is_linked(self):
        """The application knows it, unless it is held back or the link must outlive a goodbye."""
        if self.reports:
            return
        linked = {
            node.key: (self.opened_s[peer], node.boot_id) for peer, node in self.links.items()
        }
        doubted = {key: linked[key] for key in self.doubted()}
        assert all(
            self.now_s <= opened_s + BELATED_S and (key, boot) in self.goodbyes
            for key, (opened_s, boot) in doubted.items()
        )
        if self.membership._rules.notifier.next_s() is None:
            assert self.up.keys() == linked.keys() - doubted.keys()

    @invariant()
    def we_are_not_among_them(self):
        assert not self.known.keys() & {LOCAL.name, LOCAL.address}

    @invariant()
    def the_roster_is_bounded(self):
        assert len(self.known) <= MAX_NODES

    def teardown(self):
        """After the last fault, every link that is wanted is up within a bounded time."""
        if not hasattr(self, "membership"):
            return
        until_s = self.now_s + FINAL_RETRY_S + 1
        while self.now_s < until_s:
            for command in list(self.in_flight):
                self.succeed(command)
            self.step()
            if not self.in_flight:
                self.now_s = (
                    until_s if self.wake_at_s is None else max(self.now_s + 0.001, self.wake_at_s)
                )
        self.events_add_up()
        assert self.known.keys() - self.membership.leaving - self.left <= self.up.keys()


World.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestMembershipLaws = World.TestCase
