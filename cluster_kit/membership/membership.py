"""The state of one topology, without I/O: reports in, commands and events out.

Times are monotonic seconds. The owner calls ``step`` with each batch of reports, and again at
``Effects.wake_at_s``. ``peer.py`` lists the states of a peer; ``rules.py`` says what each report
changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cluster_kit.abc import Topology
from cluster_kit.events import Event
from cluster_kit.membership.peer import Peer
from cluster_kit.membership.reconciler import Command
from cluster_kit.membership.reports import Report
from cluster_kit.membership.rules import Rules
from cluster_kit.membership.settings import Settings
from cluster_kit.membership.unlinked import Unlinked, why_unlinked
from cluster_kit.node import Node


@dataclass(frozen=True, slots=True)
class Effects:
    """What follows from a step.

    Attributes:
        commands: The commands to start now, longest due first. Each is in flight until
            ``Connected``, ``ConnectFailed`` or ``Disconnected`` reports its end.
        events: The events for the application; their sender numbers and dates them.
        wake_at_s: When the next step is due, if nothing is reported before.
    """

    commands: list[Command]
    events: list[Event]
    wake_at_s: float | None


class Membership:
    """Decides for one worker who is known, who is up, and what the connector is to do.

    Args:
        local: This node.
        topology: Selects the peers to link to.
        settings: The rest.
    """

    def __init__(self, local: Node, topology: Topology, settings: Settings) -> None:
        self.name = settings.name
        self._rules = Rules(local, topology, settings)
        self._peers = self._rules.peers
        self._roster = self._rules.roster
        self._sources = self._roster.sources

    def step(self, reports: Iterable[Report], now_s: float) -> Effects:
        """Apply ``reports`` in order, then whatever is due; return what follows.

        Raises:
            TopologyError: The topology could not select.
        """
        rules = self._rules
        for report in reports:
            rules.apply(report, now_s)
        rules.tick(now_s)
        commands = rules.plan(now_s)
        events = rules.notifier.take(now_s)
        next_s = rules.next_s()
        return Effects(commands, events, None if next_s is None else max(now_s, next_s))

    # -- the state ---------------------------------------------------------------------------------

    @property
    def known(self) -> tuple[Node, ...]:
        """The nodes that discovery vouches for, by key, as of the events so far."""
        return _by_key(peer.reported_known for peer in self._peers.values())

    @property
    def up(self) -> tuple[Node, ...]:
        """The linked nodes, by key, as of the events so far."""
        return _by_key(peer.reported_up for peer in self._peers.values())

    @property
    def leaving(self) -> frozenset[str]:
        """The keys of the peers that are about to leave."""
        return frozenset(peer.key for peer in self._peers.values() if peer.leaving)

    @property
    def overflowing_source(self) -> str | None:
        """The source of the first node that was ignored because of ``max_nodes``, if any was."""
        return self._sources.overflowing_source

    @property
    def finds_only_itself(self) -> bool:
        """Whether discovery has found this node, and no other."""
        peers = self._peers.values()
        if any(peer.up or peer.known for peer in peers):
            return False
        return self._sources.saw_itself or any(peer.set_aside for peer in peers)

    def vouches_for(self, node: Node) -> bool:
        """Whether a source vouches for a node, or it is missed; hearsay doesn't count."""
        peer = self._peers.get(node.key)
        return (peer is not None and peer.remembered) or self._roster.vouches_for(node)

    def is_missed(self, key: str) -> bool:
        """Whether a node that is not linked has been linked before."""
        peer = self._peers.get(key)
        return peer is not None and peer.met is not None

    def is_listed(self, key: str) -> bool:
        """Whether a node stays known even if it never shows a sign of life."""
        return self._roster.is_listed(key)

    def unlinked(self, now_s: float) -> list[Unlinked]:
        """Return why the known nodes that are not linked are not, by key."""
        return self._why_unlinked(self._peers.values(), now_s)

    def failing(self, now_s: float) -> list[Unlinked]:
        """Return those of ``unlinked`` to which a dial has failed."""
        failing = [peer for peer in self._peers.values() if peer.dials and peer.dials.reason]
        return self._why_unlinked(failing, now_s)

    def _why_unlinked(self, peers: Iterable[Peer], now_s: float) -> list[Unlinked]:
        return why_unlinked(peers, now_s, draining=self._rules.reconciler.is_draining)


def _by_key(nodes: Iterable[Node | None]) -> tuple[Node, ...]:
    return tuple(sorted((node for node in nodes if node), key=lambda node: node.key))
