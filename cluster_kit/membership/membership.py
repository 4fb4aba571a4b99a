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
from cluster_kit.membership.reconciler import Command
from cluster_kit.membership.reports import LocalChanged, Report, Stopping
from cluster_kit.membership.rules import Rules, Settings
from cluster_kit.membership.unlinked import Unlinked
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
        self._local = local
        self._introduces = settings.introduces
        self._stopping = False
        self._rules = Rules(topology, settings)
        self._rules.apply(LocalChanged(local), 0.0)

    def step(self, reports: Iterable[Report], now_s: float) -> Effects:
        """Apply ``reports`` in order, then whatever is due; return what follows.

        Raises:
            TopologyError: The topology could not select.
        """
        for report in reports:
            self._apply(report, now_s)
        self._rules.tick(now_s)
        commands = [] if self._stopping else self._plan(now_s)
        return Effects(commands, self._rules.notifier.take(), self._wake_at_s(now_s))

    def _apply(self, report: Report, now_s: float) -> None:
        if isinstance(report, Stopping):
            self._stopping = True
        elif isinstance(report, LocalChanged):
            self._local = report.node
        self._rules.apply(report, now_s)

    def _plan(self, now_s: float) -> list[Command]:
        selection, reconciler = self._rules.selection, self._rules.reconciler
        reconciler.reconsider(selection.update(self._local, now_s), now_s)
        if not self._introduces:  # the connector knows the peers only as its latest command did
            for key in sorted(selection.changed):
                reconciler.renew(key, now_s)
        selection.changed.clear()
        return reconciler.plan(now_s)

    def _wake_at_s(self, now_s: float) -> float | None:
        next_s = self._rules.next_s()
        return None if next_s is None else max(now_s, next_s)

    # -- the state ---------------------------------------------------------------------------------

    @property
    def known(self) -> tuple[Node, ...]:
        """The nodes that discovery vouches for, by key, as of the events so far."""
        return tuple(node for _, node in sorted(self._rules.notifier.known.items()))

    @property
    def up(self) -> tuple[Node, ...]:
        """The linked nodes, by key, as of the events so far."""
        return tuple(node for _, node in sorted(self._rules.notifier.up.items()))

    @property
    def leaving(self) -> frozenset[str]:
        """The keys of the peers that are about to leave."""
        return self._rules.departures.leaving

    @property
    def full_of(self) -> str | None:
        """The source of the first node that was ignored because of ``max_nodes``, if any was."""
        return self._rules.roster.sources.full_of

    @property
    def finds_only_itself(self) -> bool:
        """Whether discovery has found this node, and no other."""
        peers = self._rules.peers.values()
        if any(peer.up or peer.known for peer in peers):
            return False
        return self._rules.roster.sources.saw_itself or any(peer.mirror for peer in peers)

    def vouches_for(self, node: Node) -> bool:
        """Whether a source vouches for a node, or it is missed; hearsay doesn't count."""
        return node.key in self._rules.memory or self._rules.roster.vouches_for(node)

    def is_missed(self, key: str) -> bool:
        """Whether a node that is not linked has been linked before."""
        peer = self._rules.peers.get(key)
        return peer is not None and peer.met is not None

    def is_listed(self, key: str) -> bool:
        """Whether a node stays known even if it never shows a sign of life."""
        return self._rules.roster.is_listed(key)

    def unlinked(self, now_s: float) -> list[Unlinked]:
        """Return why the known nodes that are not linked are not, by key."""
        return self._rules.reconciler.why_unlinked(now_s)

    def failing(self, now_s: float) -> list[Unlinked]:
        """Return those of ``unlinked`` to which a dial has failed."""
        return self._rules.reconciler.why_unlinked(now_s, only_failing=True)
