"""The nodes that all EPMDs together vouch for, and the EPMDs that could not be asked. Pure.

An EPMD that was restarted knows nobody until all have registered again. So a node is gone only when
answers have lacked it twice in a row and for long enough. An EPMD that does not answer removes no
node.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from cluster_kit.confirmations import Confirmations, merged
from cluster_kit.errors import DiscoveryError
from cluster_kit.node import Node
from cluster_kit.strategies.epmd.options import EpmdQuestion

CONFIRMATIONS = 2


class EpmdAnswers:
    """Keeps the last answer of each target.

    Args:
        gone_after_s: For how many seconds answers must lack a node before it is gone.
        earlier: Nodes that an earlier run vouched for; each is kept as if the target of its host
            had named it.

    Attributes:
        faults: Why targets could not be asked when last tried, by target.
        answered: Whether there has ever been an answer; having no EPMD to ask counts as one.
    """

    def __init__(self, gone_after_s: float, earlier: Collection[Node] = ()) -> None:
        self.faults: dict[EpmdQuestion, DiscoveryError] = {}
        self.answered = False
        self._gone_after_s = gone_after_s
        self._earlier = earlier
        self._known: dict[EpmdQuestion, Confirmations] = {}

    @property
    def nodes(self) -> frozenset[Node]:
        """All nodes, each name once: where several targets know it, the first decides."""
        return frozenset(merged(self._known.values()))

    def keep(self, targets: Collection[EpmdQuestion]) -> None:
        """Forget all targets but these; of those that know the same name, the first decides."""
        only = len(targets) == 1  # no other target can have named the earlier nodes
        self._known = {
            target: self._known.get(target) or self._kept_for(target, only=only)
            for target in targets
        }
        self._earlier = ()
        self.faults = {target: self.faults[target] for target in targets if target in self.faults}
        self.answered = self.answered or not targets

    def record(self, target: EpmdQuestion, nodes: Iterable[Node], now_s: float) -> None:
        """Record a complete answer, unless its target has been given up."""
        if target not in self._known:
            return
        self.answered = True
        self.faults.pop(target, None)
        self._known[target].answered(nodes, now_s)

    def record_fault(self, target: EpmdQuestion, fault: DiscoveryError) -> None:
        """Record why there was no answer."""
        if target in self._known:
            self.faults[target] = fault

    def _kept_for(self, target: EpmdQuestion, *, only: bool) -> Confirmations:
        earlier = [node for node in self._earlier if only or node.host == target.host]
        return Confirmations(CONFIRMATIONS, period_s=self._gone_after_s, earlier=earlier)
