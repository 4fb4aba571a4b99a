"""The delivery thread: calls the application's callbacks and the plugins' notice hooks, one event at a time.

Each has a subscription of its own, and they take turns; a callback that raises is logged and goes on being called.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from cluster_kit.events import Event
from cluster_kit.supervisor.bus import EventBus, Subscription

log = logging.getLogger("cluster_kit.supervisor")


class Delivery:
    """Owns the thread, which ends when the bus is closed and everything has been delivered."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._receivers: dict[Subscription, Callable[[Event], None]] = {}
        self._thread = threading.Thread(target=self._run, name="cluster-kit-events", daemon=True)

    def start(self) -> None:
        """Start delivering."""
        self._thread.start()

    def add(self, subscription: Subscription, receiver: Callable[[Event], None]) -> None:
        """Have ``receiver`` called with every event of ``subscription``."""
        with self._bus.changed:
            self._receivers[subscription] = receiver
            self._bus.changed.notify_all()

    def join(self) -> None:
        """Wait until everything has been delivered; returns at once on the delivery thread itself."""
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._bus.changed:
                self._bus.changed.wait_for(self._has_work)
                for subscription in [each for each in self._receivers if each.exhausted]:
                    del self._receivers[subscription]
                if self._bus.closed and not self._receivers:
                    return
                batch = [(each.pop(), receiver) for each, receiver in self._receivers.items() if each.queued]
            for event, receiver in batch:
                self._deliver(event, receiver)

    def _has_work(self) -> bool:
        return self._bus.closed or any(each.queued or each.exhausted for each in self._receivers)

    def _deliver(self, event: Event, receiver: Callable[[Event], None]) -> None:
        try:
            receiver(event)
        except Exception:
            log.exception("callback %r raised on %r", receiver, event)
