"""Who is to be told what came of something that was said."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster_kit.topics.outcomes import Failed, Replied, Sent, Synced

Ended = Callable[[Any], None]
"""Is told a ``Sent``, ``Replied``, ``Failed`` or ``Synced``."""


class Tickets:
    """A number for everything that an end will be told of, once; guarded by the switchboard's lock."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._open: dict[int, Ended] = {}

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._open))

    def new(self, tell: Ended) -> int:
        """Return the number of which ``tell`` is told."""
        ticket = next(self._numbers)
        self._open[ticket] = tell
        return ticket

    def take_back(self, ticket: int) -> Ended | None:
        """Return who would have been told, and is not any more; ``None`` where that is over."""
        return self._open.pop(ticket, None)

    def ended(self, outcome: Sent | Replied | Failed | Synced) -> None:
        """Tell what came of it, if anybody waits for that."""
        tell = self._open.pop(outcome.ticket, None)
        if tell is not None:
            tell(outcome)
