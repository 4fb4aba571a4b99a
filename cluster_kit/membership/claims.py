"""What one source claims, and how long each claim holds.

A claim holds for one term, which is its time to live, and the source renews it by repeating it.
Terms are measured by a clock of the source's own. That clock stops while the source fails: a source
that cannot look cannot renew its claims, so its silence says nothing about the nodes.

A source that works again may need a whole term to get round to every node. A claim whose term was
interrupted therefore gets one more term, counted from the end of the failure. It gets only one:
otherwise, a source that fails now and then would keep dead nodes known forever.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from cluster_kit.membership.deadlines import Deadlines
from cluster_kit.membership.peer import Claim, Peers
from cluster_kit.node import Node


class SourceClaims:
    """The claims of one source by key, with the source's own clock.

    The keys are those that the source uses: a name, or an address without one. The claims
    themselves are in the records of the peers.
    """

    def __init__(self, source: str, peers: Peers) -> None:
        self._source = source
        self._peers = peers
        self._keys: dict[str, None] = {}  # in the order in which they were first claimed
        self._ends_s = Deadlines(peers)  # on the source's clock; only claims with a limit
        self._paused_s: float | None = None  # what the source's clock shows while it stands still
        self._behind_s = 0.0  # how far the source's clock is behind
        self._interrupted_s = -inf  # when it last stood still, on the source's clock

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def get(self, key: str) -> Claim | None:
        """Return the claim for ``key``, if there is one."""
        return self._peers[key].claims[self._source] if key in self._keys else None

    def put(self, node: Node, term_s: float, now_s: float) -> None:
        """Record a claim in place of the previous one for the same key."""
        claim = self.get(node.key)
        if claim is None:
            self._keys[node.key] = None
            claim = self._peers[node.key].claims[self._source] = Claim(node)
        claim.node = node
        self._begin_term(node.key, claim, term_s, self._clock_s(now_s))

    def renew(self, key: str, term_s: float, now_s: float) -> bool:
        """Begin a new term of a claim that still holds; return False if it needs ``put``."""
        claim = self.get(key)
        if claim is None or not self.holds(key, now_s):
            return False
        self._begin_term(key, claim, term_s, self._clock_s(now_s))
        return True

    def withdraw(self, key: str) -> None:
        """Remove the claim for ``key``."""
        del self._keys[key]
        del self._peers[key].claims[self._source]
        self._ends_s.discard(key)

    def holds(self, key: str, now_s: float) -> bool:
        """Whether there is a claim for ``key`` whose term has not ended."""
        claim = self.get(key)
        if claim is None or claim.lapsed:
            return False
        end_s = self._ends_s.at_s(key)
        return end_s is None or end_s > self._clock_s(now_s)

    def end_s(self, key: str, now_s: float) -> float:
        """Return when a claim lapses if the health of its source does not change, or ``inf``."""
        end_s = self._ends_s.at_s(key)
        return inf if end_s is None else now_s + end_s - self._clock_s(now_s)

    def is_unlimited(self, key: str) -> bool:
        """Whether there is a claim for ``key`` that holds until the source withdraws it."""
        claim = self.get(key)
        return claim is not None and not claim.lapsed and key not in self._ends_s

    def pause(self, now_s: float) -> None:
        """Stop the source's clock."""
        if self._paused_s is None:
            self._paused_s = self._interrupted_s = self._clock_s(now_s)

    def resume(self, now_s: float) -> None:
        """Let the source's clock run again."""
        if self._paused_s is not None:
            self._behind_s = now_s - self._paused_s
            self._paused_s = None

    def pop_lapsed(self, now_s: float) -> list[str]:
        """Return the keys whose claims have lapsed since the last call, earliest first."""
        lapsed = []
        for key in self._ends_s.pop_due(self._clock_s(now_s)):
            claim = self._peers[key].claims[self._source]
            if claim.extended or self._interrupted_s <= claim.made_s:
                claim.lapsed = True
                lapsed.append(key)
            else:
                claim.extended = True
                self._ends_s.set(key, self._interrupted_s + claim.term_s)
        return lapsed

    def next_s(self) -> float | None:
        """Return when ``pop_lapsed`` next has something to do, if nothing else happens."""
        first_s = self._ends_s.next_s()
        return None if first_s is None or self._paused_s is not None else first_s + self._behind_s

    def _begin_term(self, key: str, claim: Claim, term_s: float, clock_s: float) -> None:
        claim.made_s, claim.term_s = clock_s, term_s
        claim.lapsed = claim.extended = False
        if term_s == inf:
            self._ends_s.discard(key)
        else:
            self._ends_s.set(key, clock_s + term_s)

    def _clock_s(self, now_s: float) -> float:
        return now_s - self._behind_s if self._paused_s is None else self._paused_s
