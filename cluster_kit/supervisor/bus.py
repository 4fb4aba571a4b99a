"""Publish and subscribe: one bus per supervisor, a bounded queue per subscription.

The supervising thread publishes; each subscription is read by one thread of the application.
Publishing never blocks: a subscription whose queue is full loses what is in it, and gets a fresh
snapshot of every topology instead.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Self

from cluster_kit.errors import ClusterKitError
from cluster_kit.events import Event
from cluster_kit.node import Node
from cluster_kit.supervisor.threads import check_process, is_held
from cluster_kit.supervisor.view import NodeState, TopologyView

DEFAULT_QUEUE = 10_000  # events; a thousand nodes that come up twice and are found five times


class Subscription:
    """An iterator over events, which begins with one ``Snapshot`` per topology.

    ``Supervisor.subscribe`` makes it. It ends when it is closed, or its supervisor stops. Only one
    thread may read it at a time. Use it in ``for``, and in ``with`` to close it early.
    """

    def __init__(self, bus: EventBus, topology: str | None, maxsize: int) -> None:
        self._bus = bus
        self._topology = topology
        self._maxsize = maxsize
        self._queue: deque[Event] = deque()
        self._closed = False
        self._wake: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._title}>"

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        event = self.get()
        if event is None:
            raise StopIteration
        return event

    def get(self, timeout_s: float | None = None) -> Event | None:
        """Wait for the next event and return it; ``None`` when the subscription has ended.

        Args:
            timeout_s: How long to wait, in seconds; without limit by default.

        Raises:
            TimeoutError: There was no event in that time.
        """
        with self._bus.guard():
            has_news = self._bus.changed.wait_for(lambda: self._queue or self._closed, timeout_s)
            if not has_news:
                raise TimeoutError(f"subscription: no event within {timeout_s:g} s")
            return self._queue.popleft() if self._queue else None

    def poll(self) -> Event | None:
        """Return the next event without waiting; ``None`` if nothing is queued."""
        with self._bus.guard():
            return self._queue.popleft() if self._queue else None

    def listen(self, wake: Callable[[], None]) -> None:
        """Set a function that is called when there may be something to read.

        It is called at once, then on any thread, and also when the subscription has ended. It must
        return quickly, since publishing waits for it.
        """
        with self._bus.guard():
            self._wake = wake
            wake()

    @property
    def _title(self) -> str:
        """What it receives and how it is doing, for ``repr``."""
        topology = "all topologies" if self._topology is None else self._topology
        return f"to {topology}: {self.queued} queued{', closed' if self._closed else ''}"

    @property
    def queued(self) -> int:
        """How many events are waiting to be read."""
        return len(self._queue)

    @property
    def exhausted(self) -> bool:
        """Whether nothing is queued and nothing will be."""
        return self._closed and not self._queue

    def pop(self) -> Event:
        """Return the next event, which must be queued; for callers that hold the bus's lock."""
        return self._queue.popleft()

    def close(self) -> None:
        """Receive no more events; queued ones can still be read. Idempotent."""
        self._bus.unsubscribe(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _offer(self, event: Event) -> None:
        if self._topology not in (None, event.topology):
            return
        if len(self._queue) >= max(self._maxsize, len(self._bus.views)):
            self._begin()
        else:
            self._queue.append(event)
        if self._wake is not None:
            self._wake()

    def _begin(self) -> None:
        """Replace the queued events by snapshots."""
        self._queue.clear()
        self._queue.extend(self._bus.snapshots(self._topology))

    def _end(self) -> None:
        self._closed = True
        if self._wake is not None:
            self._wake()


class EventBus:
    """Holds the views of all topologies, and passes their events to the subscriptions.

    ``lock`` guards everything, and ``changed`` is notified whenever something is published. Enter
    the lock itself, not the condition, whose ``with`` is Python code: an exception raised there by
    a signal handler would leave the lock held for ever.

    ``pid`` is the process that the bus belongs to.
    """

    def __init__(self, topologies: Iterable[str]) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.pid = os.getpid()
        self.views = {name: TopologyView(name) for name in topologies}
        self.closed = False
        self._subscriptions: list[Subscription] = []

    @property
    def entered(self) -> bool:
        """Whether the calling thread holds the lock, as when a signal handler interrupts it."""
        return is_held(self.lock)

    def guard(self) -> threading.RLock:
        """Return the lock, for callers on threads of the application.

        Raises:
            ClusterKitError: This is a forked child, in which the lock may never be released.
        """
        check_process(self.pid)
        return self.lock

    def publish(self, *events: Event) -> None:
        """Number each event, apply it to its view, and queue it for every subscription."""
        for event in events:
            with self.lock:
                numbered = self.views[event.topology].apply(event)
                for subscription in self._subscriptions:
                    subscription._offer(numbered)
                self.changed.notify_all()

    def notify(self) -> None:
        """Wake all who wait for ``changed``, as something outside the views has changed."""
        with self.lock:
            self.changed.notify_all()

    def subscribe(self, topology: str | None = None, maxsize: int = DEFAULT_QUEUE) -> Subscription:
        """Return a new subscription to one topology, or to all."""
        subscription = Subscription(self, topology, maxsize)
        with self.guard():
            subscription._begin()
            if self.closed:
                subscription._end()
            else:
                self._subscriptions.append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """End ``subscription``; idempotent."""
        with self.lock:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)
            subscription._end()
            self.changed.notify_all()

    def nodes(self, topology: str | None, state: NodeState) -> tuple[Node, ...]:
        """Return the nodes of one topology, or of all, sorted by key; the caller holds the lock."""
        self.check(topology)
        if state not in ("up", "known"):
            raise ValueError(f"state {state!r}: expected 'up' or 'known'")
        found: dict[str, Node] = {}
        for name, view in self.views.items():
            if topology in (None, name):
                found |= view.up if state == "up" else view.known
        return tuple(found[key] for key in sorted(found))

    def current(self, topology: str, nodes: Iterable[Node]) -> tuple[Node, ...]:
        """Return linked nodes with their present metadata, which may have changed since."""
        with self.guard():
            view = self.views.get(topology)
            up = view.up if view is not None else {}

            def now(node: Node) -> Node:
                found = up.get(node.key)
                return found if found and found.boot_id == node.boot_id else node

            return tuple(now(each) for each in nodes)

    def check(self, topology: str | None) -> None:
        """Raise ``ClusterKitError`` unless there is such a topology; ``None`` means all."""
        if topology is not None and topology not in self.views:
            names = ", ".join(self.views)
            raise ClusterKitError(f"topology {topology!r}: not configured; there are: {names}")

    def add(self, topology: str) -> None:
        """Make an empty view of a new topology."""
        with self.lock:
            self.views = {**self.views, topology: TopologyView(topology)}

    def remove(self, topology: str) -> None:
        """Drop a topology's view, and end the subscriptions to it alone."""
        with self.lock:
            self.views = {name: view for name, view in self.views.items() if name != topology}
            for subscription in list(self._subscriptions):
                if subscription._topology == topology:
                    self.unsubscribe(subscription)
            self.changed.notify_all()  # ``wait_for`` waits without a subscription

    def snapshots(self, topology: str | None = None) -> list[Event]:
        """Return a snapshot of one topology, or of each; the caller holds the lock."""
        t = time.time()
        return [view.snapshot(t) for name, view in self.views.items() if topology in (None, name)]

    def close(self) -> None:
        """End all subscriptions, including later ones; idempotent."""
        with self.lock:
            self.closed = True
            for subscription in self._subscriptions:
                subscription._end()
            self._subscriptions.clear()
            self.changed.notify_all()
