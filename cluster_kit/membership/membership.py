"""One topology's state, without I/O: reports in, commands and events out.

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
from cluster_kit.membership.rules import Rules
from cluster_kit.membership.unlinked import Unlinked
from cluster_kit.node import Node


@dataclass(frozen=True, slots=True)
class Effects:
    """What follows from a step.

    Attributes:
        commands: To be started now, longest due first. Each is in flight until ``Connected``,
            ``ConnectFailed`` or ``Disconnected`` reports its end.
        events: For the application; whoever passes them on numbers and dates them.
        wake_at_s: When the next step is due, if nothing is reported before.
    """

    commands: list[Command]
    events: list[Event]
    wake_at_s: float | None


class Membership:
    """Decides for one worker who is known, who is up, and what the connector is to do.

    Args:
        local: This node.
        topology: Picks whom to link to.
        name: The configured topology's name, for events.
        prune: Whether nodes are ever removed from the roster.
        max_nodes: How many nodes the roster holds at most.
        remember_s: For how long a lost peer is redialled although discovery has lost it too.
        keeps_links: False where being known is all there is to a link.
        introduces: False where links tell nothing about the peers.
    """

    def __init__(
        self,
        local: Node,
        topology: Topology,
        *,
        name: str,
        prune: bool,
        max_nodes: int,
        remember_s: float,
        keeps_links: bool,
        introduces: bool = True,
    ) -> None:
        self.name = name
        self._local = local
        self._introduces = introduces
        self._stopping = False
        self._rules = Rules(
            topology,
            name=name,
            prune=prune,
            max_nodes=max_nodes,
            remember_s=remember_s,
            keeps_links=keeps_links,
            introduces=introduces,
        )
        self._rules.apply(LocalChanged(local), 0.0)

    def step(self, reports: Iterable[Report], now_s: float) -> Effects:
        """Apply ``reports`` in their order, and what the time alone changes; return what follows.

        Raises:
            TopologyError: Nothing sensible can follow.
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
        wish, reconciler = self._rules.selection, self._rules.reconciler
        reconciler.reconsider(wish.update(self._local, now_s), now_s)
        if not self._introduces:  # the connector describes the peers as it was told of them last
            for key in sorted(wish.changed):
                reconciler.renew(key, now_s)
        wish.changed.clear()
        return reconciler.plan(now_s)

    def _wake_at_s(self, now_s: float) -> float | None:
        next_s = self._rules.next_s()
        return None if next_s is None else max(now_s, next_s)

    # -- what there is -----------------------------------------------------------------------------

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
        """The keys of those who are about to leave."""
        return self._rules.departures.leaving

    @property
    def full_of(self) -> str | None:
        """The source of the first node that was ignored because of ``max_nodes``, if any was."""
        return self._rules.roster.full_of

    @property
    def finds_only_itself(self) -> bool:
        """Whether this node itself is all that has been found."""
        peers = self._rules.peers.values()
        if any(peer.up or peer.known for peer in peers):
            return False
        return self._rules.roster.saw_itself or any(peer.mirror for peer in peers)

    @property
    def draining(self) -> bool:
        """Whether this node is about to leave and dials nobody any more."""
        return self._rules.reconciler.draining

    def vouches_for(self, node: Node) -> bool:
        """Whether a source vouches for a node, or it is missed; hints of peers don't count."""
        return node.key in self._rules.memory or self._rules.roster.vouches_for(node)

    def is_missed(self, key: str) -> bool:
        """Whether a node that is not linked has been."""
        peer = self._rules.peers.get(key)
        return peer is not None and peer.met is not None

    def is_listed(self, key: str) -> bool:
        """Whether a node stays known even if nothing is heard of it."""
        return self._rules.roster.lists(key)

    def unlinked(self, now_s: float) -> list[Unlinked]:
        """Return why the known nodes that are not linked are not, by key."""
        return self._rules.reconciler.why_unlinked(now_s)

    def failing(self, now_s: float) -> list[Unlinked]:
        """Return those of the ``unlinked`` to whom a dial has failed."""
        return self._rules.reconciler.why_unlinked(now_s, only_failing=True)
