"""How long the word of one source holds, in time that stands still while the source fails. Pure.

A source that fails cannot renew its word, so its silence says nothing about the nodes that it vouched
for. Once it works again it may take a whole term to speak of each of them, so a word whose term was
interrupted gets a whole term again. It gets that once only, or a source that fails now and then would
keep dead nodes known for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from cluster_kit.membership.deadlines import Deadlines


@dataclass(slots=True)
class _Term:
    """How long one word holds.

    Attributes:
        length_s: For how long from the moment that it was said.
        until_s: Until when, in the source's own time.
        renewed: Whether it has been given a whole term again.
    """

    length_s: float
    until_s: float
    renewed: bool = False


class Terms:
    """The terms of one source's words, by key; those without a limit included."""

    def __init__(self) -> None:
        self._terms: dict[str, _Term] = {}
        self._due: Deadlines[str] = Deadlines()
        self._stopped_s: float | None = None
        self._lost_s = 0.0  # how far the source's own time is behind
        self._interrupted_s = -inf  # in the source's own time

    def set(self, key: str, length_s: float, now_s: float) -> None:
        """Let the word for ``key`` hold for ``length_s`` seconds; infinity is allowed."""
        until_s = self._own(now_s) + length_s
        self._terms[key] = _Term(length_s, until_s)
        if until_s < inf:
            self._due.set(key, until_s)
        else:
            self._due.discard(key)

    def renew(self, key: str, length_s: float, now_s: float) -> bool:
        """Let the word for ``key`` hold for ``length_s`` seconds from now, if its term has not passed; return whether."""
        term = self._terms.get(key)
        now_s = self._own(now_s)
        if term is None or term.until_s <= now_s or length_s == inf:
            return False
        term.length_s, term.until_s, term.renewed = length_s, now_s + length_s, False
        self._due.set(key, term.until_s)
        return True

    def discard(self, key: str) -> None:
        """Forget the word for ``key``, if there is one."""
        self._terms.pop(key, None)
        self._due.discard(key)

    def holds(self, key: str, now_s: float) -> bool:
        """Return whether there is a word for ``key`` whose term has not passed."""
        term = self._terms.get(key)
        return term is not None and term.until_s > self._own(now_s)

    def lasts(self, key: str) -> bool:
        """Return whether there is a word for ``key`` without a limit."""
        return key in self._terms and self._terms[key].until_s == inf

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
        passed = []
        for key in self._due.pop_due(self._own(now_s)):
            term = self._terms.pop(key)
            again_until_s = self._interrupted_s + term.length_s
            if term.renewed or again_until_s <= term.until_s:
                passed.append(key)
            else:
                self._terms[key] = _Term(term.length_s, again_until_s, renewed=True)
                self._due.set(key, again_until_s)
        return passed

    def next_s(self) -> float | None:
        """Return when ``pop_due`` next has something to do, if nothing else happens."""
        next_s = self._due.next_s()
        return None if next_s is None or self._stopped_s is not None else next_s + self._lost_s

    def _own(self, now_s: float) -> float:
        return now_s - self._lost_s if self._stopped_s is None else self._stopped_s
