"""The claims of all sources: which observations are accepted, and which claims they end.

Sources are kept apart. A source can withdraw its own claims only, and when it fails, its claims
stay as they are and do not lapse. ``roster.py`` works out what the claims add up to.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from cluster_kit.abc import Found, Gone, Observation, Seen
from cluster_kit.membership.claims import SourceClaims
from cluster_kit.membership.peer import Peers
from cluster_kit.node import BootId, Node, is_earlier_run

PREDECESSOR = "(predecessor)"
"""The source of what the previous worker of this topology knew when it died.

Its claim for a node holds for a time, or until another source claims the same node.
"""

EXCHANGE = "(exchange)"
"""The source of what linked peers say about each other; hearsay, which gives no address a name."""

Touched = dict[str, bool]
"""The keys whose claims have changed, and whether the change is fresh evidence of life."""


class Sources:
    """Keeps the ``claims`` of the peers.

    Accepts claims for ``max_nodes`` keys at most; more are ignored until others have ended.

    Attributes:
        overflowing_source: The source of the first node that was ignored for lack of room, if any.
        saw_itself: Whether a source has listed this node itself.
    """

    def __init__(self, peers: Peers, *, prune: bool, max_nodes: int) -> None:
        self.overflowing_source: str | None = None
        self.saw_itself = False
        self._peers = peers
        self._prune = prune
        self._max_nodes = max_nodes
        self._size = 0  # how many peers have claims
        self._inherited = SourceClaims(PREDECESSOR, peers)
        self._sources = {PREDECESSOR: self._inherited}
        self._failing: set[str] = set()
        self._own: set[str | None] = set()  # names and addresses of this node

    def observe(self, source: str, observation: Observation, now_s: float) -> Touched:
        """Apply an observation of ``source``."""
        match observation:
            case Seen(node=node, ttl_s=ttl_s):  # nearly all that sources report
                if self._is_repeated_or_late(source, node, now_s, ttl_s):
                    return {}
                return self._accept(source, (node,), now_s, ttl_s)
            case Found(nodes=nodes):
                keys = {node.key for node in nodes}
                missing = [key for key in self._claims(source) if key not in keys]
                touched = self._end([(key, source) for key in missing])
                in_order = sorted(nodes, key=lambda node: node.key)
                return touched | self._accept(source, in_order, now_s, inf)
            case Gone(name=name, boot_id=boot_id):
                return self._end(self._revoked(source, name, boot_id))
        return {}

    def expire(self, now_s: float) -> Touched:
        """End the claims whose terms have ended while their sources worked."""
        lapsed = [
            (key, source)
            for source, claims in self._sources.items()
            for key in claims.pop_lapsed(now_s)
        ]
        return self._end(lapsed)

    def disown(self, keys: Iterable[str]) -> Touched:
        """Record that these names and addresses are this node's own, and drop claims about them."""
        self._own.update(keys)
        about_itself = [
            (key, source)
            for key, peer in self._peers.items()
            for source, claim in peer.claims.items()
            if self._is_own(claim.node)
        ]
        return self._remove(about_itself)

    def fail(self, source: str, now_s: float) -> None:
        """Keep what ``source`` claims until it works again.

        What a predecessor left is kept too, since nobody knows which source had claimed it.
        """
        self._failing.add(source)
        self._claims(source).pause(now_s)
        self._inherited.pause(now_s)

    def recover(self, source: str, now_s: float) -> None:
        """Let the claims of ``source`` lapse again unless it renews them."""
        self._failing.discard(source)
        self._claims(source).resume(now_s)
        if not self._failing:
            self._inherited.resume(now_s)

    def next_s(self) -> float | None:
        """Return when ``expire`` next has something to do."""
        times = (claims.next_s() for claims in self._sources.values())
        return min((at_s for at_s in times if at_s is not None), default=None)

    def claimed_by(self, source: str, key: str) -> Node | None:
        """Return the node that ``source`` calls ``key``; another source may know another run."""
        claim = self._claims(source).get(key)
        return None if claim is None else claim.node

    def end_s(self, source: str, key: str, now_s: float) -> float:
        """Return when the claim of ``source`` for ``key`` ends, if ever."""
        return self._claims(source).end_s(key, now_s)

    def has_unlimited(self, key: str) -> bool:
        """Whether a source claims ``key`` without a limit of time."""
        return any(claims.is_unlimited(key) for claims in self._sources.values())

    def _claims(self, source: str) -> SourceClaims:
        claims = self._sources.get(source)
        if claims is None:
            claims = self._sources[source] = SourceClaims(source, self._peers)
        return claims

    def _accept(self, source: str, nodes: Iterable[Node], now_s: float, ttl_s: float) -> Touched:
        touched: Touched = {}
        claims = self._claims(source)
        for node in nodes:
            if not self._admits(node, source):
                continue
            key = node.key
            claim = claims.get(key)
            before = None if claim is None else claim.node
            fresh = before is None or not claims.holds(key, now_s) or _has_moved(before, node)
            if fresh or before != node:
                touched[key] = fresh
            claims.put(node, ttl_s, now_s)
            if before is None and len(self._peers[key].claims) == 1:
                self._size += 1
            if key in self._inherited and claims is not self._inherited:
                self._remove([(key, PREDECESSOR)])
        return touched

    def _end(self, ended: Iterable[tuple[str, str]]) -> Touched:
        return self._remove(ended) if self._prune else {}

    def _remove(self, ended: Iterable[tuple[str, str]]) -> Touched:
        touched: Touched = {}
        for key, source in ended:
            self._claims(source).withdraw(key)
            touched[key] = False
            self._size -= not self._peers[key].claims
        return touched

    def _revoked(self, source: str, key: str, boot_id: BootId | None) -> list[tuple[str, str]]:
        """Return the claims that a ``Gone`` ends: those about the run that has gone.

        A source also speaks for the predecessor, which had its claims from the same sources.
        """
        claimed = [(each, self.claimed_by(each, key)) for each in (source, PREDECESSOR)]
        return [
            (key, each)
            for each, node in claimed
            if node and (boot_id is None or node.boot_id in (None, boot_id))
        ]

    def _admits(self, node: Node, source: str) -> bool:
        if self._is_own(node):
            self.saw_itself = True
            return False
        if self._size < self._max_nodes:
            return True
        peer = self._peers.get(node.key)
        if peer is not None and peer.claims:
            return True
        self.overflowing_source = self.overflowing_source or source
        return False

    def _is_own(self, node: Node) -> bool:
        return node.name in self._own or node.address in self._own

    def _is_repeated_or_late(self, source: str, node: Node, now_s: float, ttl_s: float) -> bool:
        """Whether a ``Seen`` repeats a claim, which renews it, or is about an outdated run.

        A packet of an older run may arrive after the source has seen that run replaced. It may also
        be the only true one, where the newer run is forged; its address is therefore kept as an
        alternative, see ``Roster.elsewhere``.
        """
        key, claims = node.key, self._claims(source)
        claim = claims.get(key)
        if claim is None:
            return False
        before = claim.node
        is_same = before is node or before == node
        if is_same and key not in self._inherited and claims.renew(key, ttl_s, now_s):
            return True
        if not (is_earlier_run(node, before) and claims.holds(key, now_s)):
            return False
        if node.address != before.address:
            claim.rival = node, now_s + ttl_s
        return True


def _has_moved(before: Node, node: Node) -> bool:
    return before.boot_id != node.boot_id or before.address != node.address
