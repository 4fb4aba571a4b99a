"""What one source says, and how long that holds, in time that stands still while the source fails.

A source that fails cannot renew its word, so its silence says nothing about the nodes that it
vouched for. Once it works again it may take a whole term to speak of each of them, so a word whose
term was interrupted gets a whole term again. It gets that once only, or a source that fails now and
then would keep dead nodes known for ever.
"""

from __future__ import annotations

from math import inf

from cluster_kit.membership.deadlines import Deadlines
from cluster_kit.membership.peer import Claim, Peers
from cluster_kit.node import Node


class Source:
    """One source's words and its own time.

    Attributes:
        words: By key, as the source tells them; each is also in the record of its peer.
    """

    def __init__(self, name: str, peers: Peers) -> None:
        self.words: dict[str, Claim] = {}
        self._name = name
        self._peers = peers
        self._until_s = Deadlines(peers)  # in the source's own time; of words that have a limit
        self._stopped_s: float | None = None
        self._lost_s = 0.0  # how far the source's own time is behind
        self._interrupted_s = -inf  # in the source's own time

    def say(self, node: Node, length_s: float, now_s: float) -> None:
        """Put the word for ``node`` in place of the last one; it holds for ``length_s`` seconds."""
        word = self.words.get(node.key)
        if word is None:
            word = self.words[node.key] = self._peers[node.key].words[self._name] = Claim(node)
        word.node = node
        self._set(node.key, word, length_s, self._own(now_s))

    def renew(self, key: str, length_s: float, now_s: float) -> bool:
        """Let a word hold from now on for a limited time, if it still holds; return whether."""
        if length_s == inf or not self.holds(key, now_s):
            return False
        self._set(key, self.words[key], length_s, self._own(now_s))
        return True

    def take_back(self, key: str) -> Claim | None:
        """Remove the word for ``key``, if there is one, and return it."""
        word = self.words.pop(key, None)
        if word is not None:
            del self._peers[key].words[self._name]
            self._until_s.discard(key)
        return word

    def holds(self, key: str, now_s: float) -> bool:
        """Return whether there is a word for ``key`` whose term has not passed."""
        word = self.words.get(key)
        if word is None or word.lapsed:
            return False
        until_s = self._until_s.at_s(key)
        return until_s is None or until_s > self._own(now_s)

    def until_s(self, key: str, now_s: float) -> float:
        """Return until when a word holds if the source goes on as it does; infinity if for ever."""
        until_s = self._until_s.at_s(key)
        return inf if until_s is None else now_s + until_s - self._own(now_s)

    def lasts(self, key: str) -> bool:
        """Return whether there is a word for ``key`` without a limit."""
        word = self.words.get(key)
        return word is not None and not word.lapsed and key not in self._until_s

    def stop(self, now_s: float) -> None:
        """Let time stand still, unless it does."""
        if self._stopped_s is None:
            self._stopped_s = self._interrupted_s = self._own(now_s)

    def go_on(self, now_s: float) -> None:
        """Let time pass again, if it stands still."""
        if self._stopped_s is not None:
            self._lost_s = now_s - self._stopped_s
            self._stopped_s = None

    def pop_due(self, now_s: float) -> list[str]:
        """Return the keys whose term has passed, earliest first; that is said once."""
        passed = []
        for key in self._until_s.pop_due(self._own(now_s)):
            word = self.words[key]
            again_until_s = self._interrupted_s + word.length_s
            if word.prolonged or again_until_s <= word.said_s + word.length_s:
                word.lapsed = True
                passed.append(key)
            else:
                word.prolonged = True
                self._until_s.set(key, again_until_s)
        return passed

    def next_s(self) -> float | None:
        """Return when ``pop_due`` next has something to do, if nothing else happens."""
        earliest_s = self._until_s.next_s()
        return (
            None if earliest_s is None or self._stopped_s is not None else earliest_s + self._lost_s
        )

    def _set(self, key: str, word: Claim, length_s: float, now_s: float) -> None:
        word.said_s, word.length_s = now_s, length_s
        word.lapsed = word.prolonged = False
        if length_s == inf:
            self._until_s.discard(key)
        else:
            self._until_s.set(key, now_s + length_s)

    def _own(self, now_s: float) -> float:
        return now_s - self._lost_s if self._stopped_s is None else self._stopped_s
