"""How long the word of one source holds, in time that stands still while the source fails. Pure.

A source that fails cannot renew its word, so its silence says nothing about the nodes that it vouched
for. Once it works again it may take a whole term to speak of each of them, so a word whose term was
interrupted gets a whole term again. It gets that once only, or a source that fails now and then would
keep dead nodes known for ever.
"""

from __future__ import annotations

from math import inf

_UNKNOWN_S = -inf


class Terms:
    """The terms of one source's words, by key; those without a limit included.

    Nearly all that happens is that words are said anew in time, which takes three dictionary writes. Which term passes first is
    looked for only after that one was renewed, in one pass over all.
    """

    def __init__(self) -> None:
        self._until_s: dict[str, float] = {}  # in the source's own time
        self._length_s: dict[str, float] = {}  # from the moment that the word was said
        self._prolonged: set[str] = set()  # who has been given a whole term again
        self._earliest_s = inf  # of those times, or ``_UNKNOWN_S``
        self._stopped_s: float | None = None
        self._lost_s = 0.0  # how far the source's own time is behind
        self._interrupted_s = -inf  # in the source's own time

    def set(self, key: str, length_s: float, now_s: float) -> None:
        """Let the word for ``key`` hold for ``length_s`` seconds; infinity is allowed."""
        self._put(key, self._own(now_s) + length_s)
        self._length_s[key] = length_s
        if self._prolonged:
            self._prolonged.discard(key)

    def renew(self, key: str, length_s: float, now_s: float) -> bool:
        """Let the word for ``key`` hold for ``length_s`` seconds from now, if its term has not passed; return whether."""
        now_s = self._own(now_s)
        if self._until_s.get(key, -inf) <= now_s or length_s == inf:
            return False
        self._put(key, now_s + length_s)
        self._length_s[key] = length_s
        if self._prolonged:
            self._prolonged.discard(key)
        return True

    def discard(self, key: str) -> None:
        """Forget the word for ``key``, if there is one."""
        if key in self._until_s:
            self._put(key, inf)
            del self._until_s[key], self._length_s[key]
            self._prolonged.discard(key)

    def holds(self, key: str, now_s: float) -> bool:
        """Return whether there is a word for ``key`` whose term has not passed."""
        return self._until_s.get(key, -inf) > self._own(now_s)

    def until_s(self, key: str, now_s: float) -> float:
        """Return until when the word for ``key`` holds if its source goes on as it does; infinity where there is none."""
        return now_s + self._until_s.get(key, inf) - self._own(now_s)

    def lasts(self, key: str) -> bool:
        """Return whether there is a word for ``key`` without a limit."""
        return self._until_s.get(key) == inf

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
        """Return the keys whose term has passed, earliest first, and forget their terms."""
        now_s = self._own(now_s)
        if self._earliest() > now_s:
            return []
        passed = []
        for _, key in sorted((until_s, key) for key, until_s in self._until_s.items() if until_s <= now_s):
            again_until_s = self._interrupted_s + self._length_s[key]
            if key in self._prolonged or again_until_s <= self._until_s[key]:
                self.discard(key)
                passed.append(key)
            else:
                self._put(key, again_until_s)
                self._prolonged.add(key)
        return passed

    def next_s(self) -> float | None:
        """Return when ``pop_due`` next has something to do, if nothing else happens."""
        earliest_s = self._earliest()
        return None if earliest_s == inf or self._stopped_s is not None else earliest_s + self._lost_s

    def _own(self, now_s: float) -> float:
        return now_s - self._lost_s if self._stopped_s is None else self._stopped_s

    def _put(self, key: str, until_s: float) -> None:
        before_s = self._until_s.get(key, inf)
        self._until_s[key] = until_s
        if until_s <= self._earliest_s:
            self._earliest_s = until_s
        elif before_s <= self._earliest_s:
            self._earliest_s = _UNKNOWN_S

    def _earliest(self) -> float:
        """Return when the first term passes, in the source's own time; infinity where none does."""
        if self._earliest_s == _UNKNOWN_S:
            self._earliest_s = min(self._until_s.values(), default=inf)
        return self._earliest_s
