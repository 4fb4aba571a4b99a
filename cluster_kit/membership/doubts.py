"""What contradicts something that was told before: a link after a goodbye, and a goodbye of a peer that is linked.

Either may have been under way for a while, and is settled soon: the link ends, or it doesn't. A goodbye that discovery alone
has heard of may also be forged.
"""

from __future__ import annotations

from cluster_kit.abc import Gone
from cluster_kit.membership.deadlines import Deadlines
from cluster_kit.membership.departures import BELATED_S
from cluster_kit.membership.merge import same_run
from cluster_kit.node import Node

HELD_S = 5.0  # a link over which nothing comes any more is down by then: more than the usual ``silent_s``


class Doubts:
    """Keeps the latest link that is doubted for each key, and the latest goodbye for each key and source."""

    def __init__(self) -> None:
        self._links: dict[str, Node] = {}
        self._leaving: set[str] = set()  # whose peer has said over it that it is about to leave
        self._admitted_at_s: Deadlines[str] = Deadlines()  # exactly those of the links
        self._goodbyes: dict[str, dict[str, Gone]] = {}  # by key, then by source; never empty
        self._held_until_s: Deadlines[tuple[str, str]] = Deadlines()  # exactly those of the goodbyes

    def doubt_link(self, node: Node, now_s: float) -> None:
        """Take in that a link has come up to a run that said goodbye: one that is about to end."""
        self._links[node.key] = node
        self._leaving.discard(node.key)
        self._admitted_at_s.set(node.key, now_s + BELATED_S)

    def update_link(self, node: Node) -> None:
        """Take in how the peer of a doubted link introduces itself now."""
        if (link := self._links.get(node.key)) and same_run(node, link):
            self._links[node.key] = node

    def mark_leaving(self, node: Node) -> None:
        """Take in that the peer of a doubted link is about to leave."""
        if (link := self._links.get(node.key)) and same_run(node, link):
            self._leaving.add(node.key)

    def drop_link(self, node: Node) -> None:
        """Take in that a doubted link is down."""
        if (link := self._links.get(node.key)) and same_run(node, link):
            self.settle_link(node.key)

    def settle_link(self, key: str) -> None:
        """Doubt no link to ``key`` any more, if one was doubted."""
        self._links.pop(key, None)
        self._leaving.discard(key)
        self._admitted_at_s.discard(key)

    def links_that_last(self, now_s: float) -> list[tuple[Node, bool]]:
        """Return the peers whose links are not about to end after all, each with whether it is leaving; doubt these no more."""
        lasting = [(self._links[key], key in self._leaving) for key in self._admitted_at_s.pop_due(now_s)]
        for node, _ in lasting:
            self.settle_link(node.key)
        return lasting

    def hold_goodbye(self, key: str, source: str, goodbye: Gone, now_s: float) -> None:
        """Keep what a source has heard of a linked peer, until its link is down, or for ``HELD_S``."""
        self._goodbyes.setdefault(key, {})[source] = goodbye
        self._held_until_s.set((key, source), now_s + HELD_S)

    def take_goodbyes(self, key: str, now_s: float) -> list[tuple[str, Gone]]:
        """Return the goodbyes that are held for ``key``, each with its source, and hold them no longer."""
        self.forget_goodbyes(now_s)
        held = self._goodbyes.pop(key, {})
        for source in held:
            self._held_until_s.discard((key, source))
        return sorted(held.items())

    def forget_goodbyes(self, now_s: float) -> None:
        """Forget the goodbyes of those whose link has lasted."""
        for key, source in self._held_until_s.pop_due(now_s):
            del self._goodbyes[key][source]
            if not self._goodbyes[key]:
                del self._goodbyes[key]

    def next_s(self) -> float | None:
        """Return when ``links_that_last`` next has something to return."""
        return self._admitted_at_s.next_s()
