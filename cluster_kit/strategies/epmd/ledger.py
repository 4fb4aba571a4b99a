"""What the EPMDs vouch for, put together from the answers of each: who is there, and who could not be asked.

An answer that lacks a name is explicit, yet an EPMD that was restarted knows nobody until all have registered again. So a node
is gone when answers have lacked it twice in a row and for long enough. One that fails to answer takes nothing back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from cluster_kit.node import Node
from cluster_kit.strategies.epmd.lookup import Target

CONFIRMATIONS = 2


@dataclass(frozen=True, slots=True)
class _Held:
    """A node that an EPMD vouches for; answers since ``since_s``, ``missing`` of them in a row, lack it."""

    node: Node
    missing: int = 0
    since_s: float = 0.0


class Ledger:
    """Keeps the last word of each target.

    Args:
        gone_after_s: Seconds for which answers must lack a node until it is gone.
        earlier: Whom an earlier run vouched for; each is kept as if the target of its host had told it.

    Attributes:
        faults: Why targets could not be asked, by target, of those that could not when last tried.
        answered: Whether there has ever been an answer; that there is nobody to ask is one, too.
    """

    def __init__(self, gone_after_s: float, earlier: Collection[Node] = ()) -> None:
        self.faults: dict[Target, str] = {}
        self.answered = False
        self._gone_after_s = gone_after_s
        self._earlier = earlier
        self._held: dict[Target, dict[str, _Held]] = {}

    @property
    def nodes(self) -> frozenset[Node]:
        """Everybody who is vouched for, each name once: of several targets that know it the first one counts."""
        by_key: dict[str, Node] = {}
        for held in self._held.values():
            for key, entry in held.items():
                by_key.setdefault(key, entry.node)
        return frozenset(by_key.values())

    def keep(self, targets: Collection[Target]) -> None:
        """Forget all targets but these; their order is the order in which they count."""
        only = len(targets) == 1  # who else should have told of them?
        self._held = {target: self._held.get(target) or self._kept_for(target, only=only) for target in targets}
        self._earlier = ()
        self.faults = {target: self.faults[target] for target in targets if target in self.faults}
        self.answered = self.answered or not targets

    def take_answer(self, target: Target, nodes: Iterable[Node], now_s: float) -> None:
        """Take in a complete answer; one that comes after its target was given up is too late."""
        if target not in self._held:
            return
        self.answered = True
        self.faults.pop(target, None)
        present = {node.key: _Held(node) for node in nodes}
        missed = {key: self._miss(held, now_s) for key, held in self._held[target].items() if key not in present}
        self._held[target] = present | {key: held for key, held in missed.items() if not self._is_gone(held, now_s)}

    def take_fault(self, target: Target, fault: str) -> None:
        """Take in that there was no answer."""
        if target in self._held:
            self.faults[target] = fault

    def _kept_for(self, target: Target, *, only: bool) -> dict[str, _Held]:
        return {node.key: _Held(node) for node in self._earlier if only or node.host == target.host}

    def _miss(self, held: _Held, now_s: float) -> _Held:
        return _Held(held.node, held.missing + 1, held.since_s if held.missing else now_s)

    def _is_gone(self, held: _Held, now_s: float) -> bool:
        return held.missing >= CONFIRMATIONS and now_s - held.since_s >= self._gone_after_s
