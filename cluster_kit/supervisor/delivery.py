"""The delivery thread: calls the application's callbacks and the plugins' hooks for events.

Each callback has a separate subscription, and they take turns, one event at a time. A callback
that raises is logged, and called again with the next event. One that does not return holds up the
other callbacks, but not the end of the supervisor.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from cluster_kit.errors import described
from cluster_kit.events import Event
from cluster_kit.supervisor.application_calls import LIMIT_S, ApplicationCalls, name_of
from cluster_kit.supervisor.bus import EventBus, Subscription
from cluster_kit.supervisor.logs import LogRelay
from cluster_kit.supervisor.threads import CancellableThread

Callback = Callable[[Event], None]


class Delivery:
    """Owns the delivery thread.

    The thread ends when the bus is closed and everything has been delivered; then it closes the
    log.
    """

    def __init__(self, bus: EventBus, logs: LogRelay) -> None:
        self._bus = bus
        self._logs = logs
        self._thread: CancellableThread | None = None
        self._calls = ApplicationCalls()
        self._callbacks: dict[Subscription, Callback] = {}

    def start(self) -> None:
        """Start delivering."""
        self._thread = CancellableThread(self._run, "cluster-kit-events")
        self._thread.start()

    def undo_start(self) -> None:
        """Prevent the thread from running, and end in its place, unless it runs already."""
        if self._thread is None:
            self._logs.close()
        else:
            self._thread.undo_start(self._logs.close)

    def add(self, subscription: Subscription, callback: Callback) -> None:
        """Call ``callback`` with every event of ``subscription``."""
        with self._bus.lock:
            self._callbacks[subscription] = callback
            self._bus.changed.notify_all()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on the delivery thread, as a callback does."""
        return self._thread is not None and self._thread.is_current

    def join(self) -> None:
        """Wait until everything is delivered, or one call takes too long.

        Returns at once on the delivery thread itself.
        """
        if self._thread is None or self.is_current:
            return
        if (stuck := self._calls.wait(self._thread.ended)) is not None:
            text = f"callback {name_of(stuck)} has not returned for {LIMIT_S:g} s"
            self._logs.log(logging.ERROR, f"{text}: left behind, its events are lost")
            self._logs.close()

    def _run(self) -> None:
        try:
            while batch := self._next_batch():
                for event, callback in batch:
                    self._deliver(event, callback)
        finally:
            self._logs.close()

    def _next_batch(self) -> list[tuple[Event, Callback]]:
        """Wait, and return one event for each callback that has any; empty at the end."""
        while True:
            with self._bus.lock:
                self._bus.changed.wait_for(self._has_work)
                for subscription in [each for each in self._callbacks if each.exhausted]:
                    del self._callbacks[subscription]
                queued = [item for item in self._callbacks.items() if item[0].queued]
                batch = [(subscription.pop(), callback) for subscription, callback in queued]
                if batch or (self._bus.closed and not self._callbacks):
                    return batch

    def _has_work(self) -> bool:
        return self._bus.closed or any(each.queued or each.exhausted for each in self._callbacks)

    def _deliver(self, event: Event, callback: Callback) -> None:
        try:
            self._calls.call(callback, event)
        except BaseException as exc:  # noqa: BLE001 - the boundary between callbacks
            text = f"callback {name_of(callback)} raised {described(exc)} on {event!r}"
            self._logs.log(logging.ERROR, text, exc)
