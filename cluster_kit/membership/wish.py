"""Whom to be linked to: what the topology picks from those known, and from those missed.

Working that out takes time in proportion to the roster. So a node that changes all the time is
offered anew only now and then; and where hundreds of nodes come one by one, the wish is not worked
out for each of them. In a small cluster, and after a pause in any, that happens at once.
"""

from __future__ import annotations

from math import inf

from cluster_kit.abc import Topology
from cluster_kit.membership.deadlines import Deadlines
from cluster_kit.membership.pace import Pace
from cluster_kit.node import Node

INTERVAL_S = 0.25  # between two changes of one node, if that goes on
BURST = 4  # changes in a row without a wait
NODE_S = 250e-6  # between two workings-out, for each node on offer: hundreds of times what that takes
MAX_WAIT_S = 0.25  # between two workings-out, however many nodes there are
AHEAD_S = 0.5  # workings-out that take up no more than this are done without a wait


class _Offers:
    """Nodes by key, and all of them as a set, which whoever makes it anew has to hash each of them for."""

    def __init__(self) -> None:
        self.by_key: dict[str, Node] = {}
        self.nodes: set[Node] = set()

    def put(self, key: str, node: Node | None) -> None:
        """Offer ``node`` in place of what was offered, or nothing."""
        before = self.by_key.pop(key, None)
        if before is not None:
            self.nodes.discard(before)
        if node is not None:
            self.by_key[key] = node
            self.nodes.add(node)


class Wish:
    """What the topology is offered, and what it picks from that.

    Attributes:
        changed: The keys of those whose offer has changed; for the owner to clear.
    """

    def __init__(self, topology: Topology) -> None:
        self.changed: set[str] = set()
        self._stale = True
        self._wanted: dict[str, Node] = {}
        self._is_outdated = False  # whether one of those wanted has changed or gone since
        self._paid_until_s = -inf  # for the workings-out so far
        self._topology = topology
        self._known = _Offers()
        self._missed = _Offers()
        self._now_s = 0.0
        self._pace = Pace(INTERVAL_S)
        self._late: dict[str, tuple[Node | None, Node | None]] = {}
        self._due: Deadlines[str] = Deadlines()  # exactly those late

    def offer(self, key: str, *, known: Node | None, missed: Node | None) -> None:
        """Offer a node as one that is known, as one that is only missed, or not at all.

        A node that comes or goes counts at once; a change of any other counts soon.
        """
        if key in self._late:
            del self._late[key]
            self._due.discard(key)
        was_known, was_missed = self._known.by_key.get(key), self._missed.by_key.get(key)
        if (was_known, was_missed) == (known, missed):
            return
        stays = (was_known is None) == (known is None) and (was_missed is None) == (missed is None)
        if stays and (at_s := self._pace.at_s(key, self._now_s, BURST)) > self._now_s:
            self._late[key] = known, missed
            self._due.set(key, at_s)
            return
        self._replace(key, known, missed)
        if stays:
            self._pace.took(key, self._now_s)

    def tick(self, now_s: float) -> None:
        """Make the changes that have waited for long enough."""
        self._now_s = now_s
        for key in self._due.pop_due(now_s):
            self._replace(key, *self._late.pop(key))
            self._pace.took(key, now_s)

    def next_s(self) -> float | None:
        """Return when ``tick`` or ``update`` next has something to do."""
        late_s = self._due.next_s()
        if not self._stale:
            return late_s
        at_s = self._paid_until_s - AHEAD_S
        return at_s if late_s is None else min(late_s, at_s)

    def reconsider(self) -> None:
        """Have the wish worked out again although the offer is the same."""
        self._stale = True

    def update(self, local: Node, now_s: float) -> dict[str, Node] | None:
        """Return whom to be linked to, if that has changed.

        Who is new may have to wait for a moment. Who is no longer on offer is not wanted any more at once.
        """
        if self._stale and now_s >= self._paid_until_s - AHEAD_S:
            size = len(self._known.nodes) + len(self._missed.nodes)
            self._paid_until_s = max(now_s, self._paid_until_s) + min(size * NODE_S, MAX_WAIT_S)
            self._wanted = self._work_out(local)
            self._stale = False
        elif self._is_outdated:
            offers = self._known.by_key | self._missed.by_key
            self._wanted = {key: offers[key] for key in self._wanted if key in offers}
        else:
            return None
        self._is_outdated = False
        return self._wanted

    def _work_out(self, local: Node) -> dict[str, Node]:
        """Return those of the known who are picked, and those of the missed who would be, were they known."""
        known, missed = self._known, self._missed
        wanted = self._pick(local, frozenset(known.nodes), known.by_key)
        if missed.nodes:
            picked = self._pick(local, frozenset(known.nodes | missed.nodes), known.by_key | missed.by_key)
            wanted |= {key: node for key, node in picked.items() if key in missed.by_key}
        return wanted

    def _replace(self, key: str, known: Node | None, missed: Node | None) -> None:
        self._known.put(key, known)
        self._missed.put(key, missed)
        self._stale = True
        self._is_outdated = self._is_outdated or key in self._wanted
        self.changed.add(key)

    def _pick(self, local: Node, offered: frozenset[Node], by_key: dict[str, Node]) -> dict[str, Node]:
        picked = self._topology.select(local, offered)
        if picked is offered:  # saves a large full mesh most of the time spent here
            return by_key.copy()
        return {node.key: by_key[node.key] for node in picked if node.key in by_key}
