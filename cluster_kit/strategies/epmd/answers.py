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
    """Keeps what the answers to each question add up to.

    Args:
        gone_after_s: For how many seconds answers must lack a node before it is gone.
        earlier: Nodes that an earlier run vouched for; each is kept as if the answer from its host
            had named it.

    Attributes:
        faults: Why questions had no answer when last asked.
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
        """All nodes, each name once: where several answers have it, the first question decides."""
        return frozenset(merged(self._known.values()))

    def keep(self, questions: Collection[EpmdQuestion]) -> None:
        """Forget all questions but these, whose order decides about names with several answers."""
        only = len(questions) == 1  # only its answer can have named the earlier nodes
        self._known = {
            question: self._known.get(question) or self._kept_for(question, only=only)
            for question in questions
        }
        self._earlier = ()
        self.faults = {
            question: self.faults[question] for question in questions if question in self.faults
        }
        self.answered = self.answered or not questions

    def record(self, question: EpmdQuestion, nodes: Iterable[Node], now_s: float) -> None:
        """Record a complete answer, unless the question is asked no more."""
        if question not in self._known:
            return
        self.answered = True
        self.faults.pop(question, None)
        self._known[question].answered(nodes, now_s)

    def record_fault(self, question: EpmdQuestion, fault: DiscoveryError) -> None:
        """Record why there was no answer."""
        if question in self._known:
            self.faults[question] = fault

    def _kept_for(self, question: EpmdQuestion, *, only: bool) -> Confirmations:
        earlier = [node for node in self._earlier if only or node.host == question.host]
        return Confirmations(CONFIRMATIONS, period_s=self._gone_after_s, earlier=earlier)
