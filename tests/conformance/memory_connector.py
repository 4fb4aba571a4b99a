"""A connector in memory that keeps the contract, for offenders that break one rule each."""

import itertools
from typing import ClassVar

from cluster_kit.abc import Connector
from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.errors import ConnectError, ConnectReason, NameConflict
from cluster_kit.events import Reason
from cluster_kit.testing import ConnectorConformance


class Suite(ConnectorConformance):
    deadline_s = 1.0
    silence_s = 0.2  # nobody here is ever silent
    has_strangers = False
    has_peers_apart = False

    def make_connector(self):
        return self.cls()


def breaks_in(module):
    """Return a decorator that runs the suite on a connector which breaks certain rules.

    Args:
        module: The namespace in which the suite is collected.
    """

    def breaks(*rules):
        def register(cls):
            name = f"Test{cls.__name__}"
            suite = {"cls": cls, "breaks": frozenset(rules), "__module__": module["__name__"]}
            module[name] = type(name, (Suite,), suite)
            return cls

        return register

    return breaks


class Memory(Connector):
    """Sound: links are entries in each other's tables."""

    carries_messages = True
    listening: ClassVar = {}
    ports = itertools.count(1)

    def __init__(self):
        self.linked = {}
        self.wanted = set()
        self.is_leaving = False

    async def start(self, local, links):
        self.local = local.evolve(address=f"127.0.0.1:{next(self.ports)}", boot_id=links.boot_id)
        self.links = links
        self.listening[self.local.address] = self
        return self.local

    async def connect(self, node):
        peer = self.find(node)
        self.refuse(node, peer)
        self.wanted.add(peer.local.key)
        if peer.local.key not in self.linked:
            await self.open(peer)
        return peer.local

    def find(self, node):
        peer = self.listening.get(node.address)
        if peer is None:
            raise ConnectError(
                f"memory: nobody at {node.address}", node=node.key, reason=ConnectReason.REFUSED
            )
        return peer

    def refuse(self, node, peer):
        if peer is self:
            raise ConnectError(
                "memory: that is this node", node=node.key, reason=ConnectReason.SELF
            )
        if peer.links.fence != self.links.fence:
            raise ConnectError("memory: a foreigner", node=node.key, reason=ConnectReason.FOREIGN)
        if node.name not in (None, peer.local.name):
            message = f"memory: expected {node.name}, {peer.local.name} answers"
            raise ConnectError(message, node=node.key, reason=ConnectReason.NAME)
        if self.local.key in peer.linked and peer.linked[self.local.key] is not self:
            raise NameConflict("memory: another live node has our name", node=node.key)
        if peer.is_leaving and peer.local.key not in self.linked:
            raise ConnectError("memory: it is leaving", node=node.key, reason=ConnectReason.LEAVING)

    async def open(self, peer):
        self.link(peer)
        peer.link(self)

    def link(self, peer):
        self.linked[peer.local.key] = peer
        self.report_up(peer)

    def report_up(self, peer):
        self.links.up(peer.local, greeting=peer.greeting(), told=self.greeting())

    def greeting(self):
        return self.links.greeting

    async def send(self, node, payload):
        peer = self.linked.get(node.key)
        if peer is None or not self.is_meant(node, peer):
            raise ConnectError(
                "memory: there is no link", node=node.key, reason=ConnectReason.RESET
            )
        peer.hear(self, payload)

    def is_meant(self, node, peer):
        return node.boot_id in (None, peer.local.boot_id)

    def hear(self, peer, payload):
        self.links.message(peer.local, payload)

    def unlink(self, peer, reason):
        if self.linked.pop(peer.local.key, None):
            self.links.down(peer.local, reason)

    async def disconnect(self, node):
        self.wanted.discard(node.key)
        peer = self.linked.get(node.key)
        if peer is not None and self.local.key not in peer.wanted:
            peer.unlink(self, Reason.UNWANTED)
            self.unlink(peer, Reason.UNWANTED)

    async def stop(self):
        self.listening.pop(self.local.address, None)
        for peer in [*self.linked.values()]:
            self.unlink(peer, Reason.SHUTDOWN)
            peer.unlink(self, Reason.LEFT)

    async def diagnose(self, node, ctx):
        peer = self.listening.get(node.address)
        if peer is None:
            return Finding(
                asked=node.key,
                got="nobody",
                outcome=Outcome.FAILED,
                cause="it does not listen: start it",
            )
        if peer.local.name == ctx.local.name:
            return Finding(asked=node.key, got="this node", outcome=Outcome.EMPTY)
        return Finding(asked=node.key, got="there")

    async def update(self, local, leaving):
        self.local = local.evolve(boot_id=self.local.boot_id)
        self.is_leaving = leaving
        for peer in self.linked.values():
            if leaving:
                peer.links.leaving(self.local)
            else:
                peer.links.updated(self.local)
