"""Nodes, errors and a driver for the tests of ``cluster_kit.membership``."""

from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.membership.membership import Membership
from cluster_kit.membership.reconciler import Connect
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


class Driver:
    """A membership with a clock, and a connector that does as it is told at once."""

    def __init__(self, topology=None, **options):
        self.now_s = 100.0
        defaults = {"name": "web", "prune": True, "max_nodes": 100, "remember_s": 60.0, "keeps_links": True}
        self.membership = Membership(LOCAL, topology or FullMeshTopology(), **(defaults | options))

    def observe(self, observation, source="s"):
        self.membership.observe(source, observation, self.now_s)

    def wait(self, seconds):
        self.now_s += seconds
        self.membership.tick(self.now_s)

    def plan(self):
        return self.membership.plan(self.now_s)

    def planned(self):
        """Plan, and write commands as ``connect b@there``."""
        return [f"{type(command).__name__.lower()} {command.node.key}" for command in self.plan()]

    def events(self):
        return [shown(event) for event in self.membership.take_events()]

    def carry_out(self, *peers):
        """Plan, and have every command succeed; ``peers`` are who answers at their addresses."""
        answering = {peer.address: peer for peer in peers}
        for command in self.plan():
            if isinstance(command, Connect):
                peer = answering.get(command.node.address, command.node)
                self.membership.link_up(peer, self.now_s)
                self.membership.connected(command.node, peer, self.now_s)
            else:
                self.membership.disconnected(command.node, self.now_s)

    def link_up(self, peer):
        self.membership.link_up(peer, self.now_s)

    def link_down(self, peer, reason):
        self.membership.link_down(peer, reason, self.now_s)

    def refuse(self, reason="refused", jitter=0.5):
        """Plan, and have every dial fail."""
        for command in self.plan():
            self.membership.connect_failed(command.node, error(reason), self.now_s, jitter)

    def quiet(self):
        """Forget the events so far."""
        self.membership.take_events()
        return self
