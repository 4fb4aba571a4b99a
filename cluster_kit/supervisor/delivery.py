"""The delivery thread: calls the application's callbacks and the plugins' notice hooks, one event at a time.

Each has a subscription of its own, and they take turns; a callback that raises is logged and goes on being called. One that
does not return holds up the others, but not the end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from cluster_kit.errors import described
from cluster_kit.events import Event
from cluster_kit.supervisor.bus import EventBus, Subscription
from cluster_kit.supervisor.ending import Ending
from cluster_kit.supervisor.logs import LogRelay
from cluster_kit.supervisor.thread import UndoableThread

_CALL_S = 2.0  # how long one call may take once everything else has ended
_LOOK_S = 0.1

Receiver = Callable[[Event], None]


class Delivery:
    """Owns the thread, which ends when the bus is closed and everything has been delivered; then the log may end, too."""

    def __init__(self, bus: EventBus, logs: LogRelay) -> None:
        self._bus = bus
        self._logs = logs
        self._thread: UndoableThread | None = None
        self._ended = Ending()
        self._calls = 0
        self._calling: Receiver | None = None
        self._receivers: dict[Subscription, Receiver] = {}

    def start(self) -> None:
        """Start delivering."""
        self._thread = UndoableThread(self._run, "cluster-kit-events")
        self._thread.start()

    def undo_start(self) -> None:
        """End as the thread would, if it has not begun; it won't any more."""
        if self._thread is None or self._thread.undo_start():
            self._end()

    def _end(self) -> None:
        self._ended.set()
        self._logs.close()

    def add(self, subscription: Subscription, receiver: Receiver) -> None:
        """Have ``receiver`` called with every event of ``subscription``."""
        with self._bus.lock:
            self._receivers[subscription] = receiver
            self._bus.changed.notify_all()

    @property
    def is_ours(self) -> bool:
        """Whether this very thread is the delivery thread, as in a callback."""
        return self._thread is not None and self._thread.is_current

    def join(self) -> None:
        """Wait until everything has been delivered, or one call takes too long; at once on the delivery thread itself."""
        if self._thread is None or self.is_ours:
            return
        calls, since_s = self._calls, time.monotonic()
        while not self._ended.wait(_LOOK_S):
            if self._calls != calls:
                calls, since_s = self._calls, time.monotonic()
            elif (blocking := self._calling) is not None and time.monotonic() - since_s > _CALL_S:
                text = f"callback {_name_of(blocking)} has not returned for {_CALL_S:g} s: left behind, its events are lost"
                self._logs.log(logging.ERROR, text)
                self._logs.close()
                return

    def _run(self) -> None:
        try:
            while batch := self._next_batch():
                for event, receiver in batch:
                    self._deliver(event, receiver)
        finally:
            self._end()

    def _next_batch(self) -> list[tuple[Event, Receiver]]:
        """Wait for an event for each receiver that has one; none when there won't be any."""
        while True:
            with self._bus.lock:
                self._bus.changed.wait_for(self._has_work)
                for subscription in [each for each in self._receivers if each.exhausted]:
                    del self._receivers[subscription]
                batch = [(each.pop(), receiver) for each, receiver in self._receivers.items() if each.queued]
                if batch or (self._bus.closed and not self._receivers):
                    return batch

    def _has_work(self) -> bool:
        return self._bus.closed or any(each.queued or each.exhausted for each in self._receivers)

    def _deliver(self, event: Event, receiver: Receiver) -> None:
        self._calling = receiver
        try:
            receiver(event)
        except BaseException as exc:  # noqa: BLE001 - the boundary between callbacks
            self._logs.log(logging.ERROR, f"callback {_name_of(receiver)} raised {described(exc)} on {event!r}", exc)
        self._calling = None
        self._calls += 1


def _name_of(receiver: Receiver) -> str:
    return str(getattr(receiver, "__qualname__", type(receiver).__qualname__))
