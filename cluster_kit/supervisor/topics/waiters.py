"""Callbacks of a switchboard: for the outcome of an operation, and for changes of its links."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster_kit.topics.outcomes import OperationFailed, Replied, Sent, SyncDone

OutcomeHandler = Callable[[Any], None]
"""Called with a ``Sent``, ``Replied``, ``OperationFailed`` or ``SyncDone``."""

Watcher = Callable[[], None]


class Tickets:
    """Numbers the operations whose outcome comes later; guarded by the switchboard's lock."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._open: dict[int, OutcomeHandler] = {}

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._open))

    def new(self, on_outcome: OutcomeHandler) -> int:
        """Return a new ticket; ``on_outcome`` is called once, with its outcome."""
        ticket = next(self._numbers)
        self._open[ticket] = on_outcome
        return ticket

    def cancel(self, ticket: int) -> OutcomeHandler | None:
        """Close a ticket and return its handler, uncalled; ``None`` if it is closed already."""
        return self._open.pop(ticket, None)

    def complete(self, outcome: Sent | Replied | OperationFailed | SyncDone) -> None:
        """Close the ticket of ``outcome`` and call its handler, if it is still open."""
        on_outcome = self._open.pop(outcome.ticket, None)
        if on_outcome is not None:
            on_outcome(outcome)


class Watchers:
    """Functions to call on each change of state; guarded by the switchboard's lock."""

    def __init__(self) -> None:
        self._watchers: list[Watcher] = []
        self._last_state: Hashable = None

    def add(self, watcher: Watcher) -> None:
        """Call ``watcher`` on each change from now on."""
        self._watchers.append(watcher)

    def remove(self, watcher: Watcher) -> None:
        """Stop calling ``watcher``; idempotent."""
        self._watchers = [each for each in self._watchers if each != watcher]

    def invalidate(self) -> None:
        """Make the next ``notify`` call all watchers, even if the state is unchanged."""
        self._last_state = None

    def notify(self, state: Hashable) -> None:
        """Call all watchers if ``state`` differs from that of the last call."""
        while self._watchers and state != self._last_state:  # a watcher may invalidate it again
            self._last_state = state
            for watcher in tuple(self._watchers):
                watcher()
