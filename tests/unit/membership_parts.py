"""Nodes, errors and a driver for the tests of ``cluster_kit.membership``."""

from cluster_kit.abc import Topology
from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.membership.membership import Membership
from cluster_kit.membership.reconciler import Connect
from cluster_kit.membership.reports import (
    Connected,
    ConnectFailed,
    Disconnected,
    LinkDown,
    LinkUp,
    Observed,
)
from cluster_kit.membership.settings import Settings
from cluster_kit.node import BootId, Node
from cluster_kit.topologies.full_mesh import FullMeshTopology

LOCAL = Node("me@here", "10.0.0.99:1", boot_id=BootId(1, 1))
B_ADDRESS = "10.0.0.2:1"


def boot(number):
    return BootId(number, 0)


def node(name, number=None, *, address=True, **metadata):
    """Make ``name@there`` at an address of its own, in its run of that number."""
    where = f"10.0.0.{ord(name[0]) - ord('a') + 1}:1" if address is True else address or None
    return Node(f"{name}@there", where, metadata, boot(number) if number else None)


def bare(address=B_ADDRESS):
    return Node(None, address)


def error(reason):
    return ConnectError(f"tcp: {reason}", reason=ConnectReason(reason))


def shown(event):
    """Write an event as ``up b@there`` or ``down b@there closed``."""
    words = [type(event).__name__.removeprefix("Node").lower(), event.node.key]
    return " ".join([*words, event.reason] if hasattr(event, "reason") else words)


class FirstOnly(Topology):
    """Links to the first other node by name, known or not."""

    def select(self, local, known):
        return frozenset(sorted(known, key=lambda node: node.key)[:1]) | {
            Node("stranger@there"),
            local,
        }


class Driver:
    """A membership with a clock, and a connector that carries out commands at once.

    Reports are applied together, at the next step: that is when something is asked for, or before
    time passes.
    """

    def __init__(self, topology=None, **options):
        self.now_s = 100.0
        defaults = {
            "name": "web",
            "prune": True,
            "max_nodes": 100,
            "remember_s": 60.0,
            "keeps_links": True,
        }
        settings = Settings(**(defaults | options))
        self._membership = Membership(LOCAL, topology or FullMeshTopology(), settings)
        self._reports, self._commands, self._events = [], [], []
        self._wake_at_s = None

    @property
    def membership(self):
        self.step()
        return self._membership

    @property
    def wake_at_s(self):
        self.step()
        return self._wake_at_s

    def report(self, *reports):
        self._reports += reports

    def step(self):
        reports, self._reports = self._reports, []
        effects = self._membership.step(reports, self.now_s)
        self._commands += effects.commands
        self._events += effects.events
        self._wake_at_s = effects.wake_at_s

    def observe(self, observation, source="s"):
        self.report(Observed(source, observation))

    def wait(self, seconds):
        self.step()
        self.now_s += seconds
        self.step()

    def plan(self):
        self.step()
        commands, self._commands = self._commands, []
        return commands

    def planned(self):
        """Plan, and write commands as ``connect b@there``."""
        return [f"{type(command).__name__.lower()} {command.node.key}" for command in self.plan()]

    def take_events(self):
        self.step()
        events, self._events = self._events, []
        return events

    def events(self):
        return [shown(event) for event in self.take_events()]

    def carry_out(self, *peers):
        """Plan, and let every command succeed; ``peers`` answer at their addresses."""
        answering = {peer.address: peer for peer in peers}
        for command in self.plan():
            if isinstance(command, Connect):
                peer = answering.get(command.node.address, command.node)
                self.report(LinkUp(peer), Connected(command.node, peer))
            else:
                self.report(Disconnected(command.node))

    def link_up(self, peer):
        self.report(LinkUp(peer))

    def link_down(self, peer, reason):
        self.report(LinkDown(peer, reason))

    def refuse(self, reason="refused", jitter=0.5):
        """Plan, and let every dial fail."""
        for command in self.plan():
            self.report(ConnectFailed(command.node, error(reason), jitter))

    def quiet(self):
        """Forget the events so far."""
        self.take_events()
        return self
