"""Callbacks of subscriptions: each has its own thread, so that a slow one delays only itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from cluster_kit.supervisor.threads import OneShotEvent
from cluster_kit.supervisor.topics.items import Gap, Message
from cluster_kit.supervisor.topics.subscription import TopicSubscription
from cluster_kit.throttle import Throttle

_CALL_S = 2.0  # how long one call may take once everything else has ended
_POLL_S = 0.1

Receiver = Callable[[Message | Gap], Any]

log = logging.getLogger("cluster_kit.supervisor")


class CallbackReader:
    """Calls ``receiver`` with each message and gap of a subscription until that ends.

    Exceptions of the receiver are logged.
    """

    def __init__(self, subscription: TopicSubscription, receiver: Receiver) -> None:
        self._subscription = subscription
        self._receiver = receiver
        self._name = str(getattr(receiver, "__qualname__", type(receiver).__qualname__))
        self._thread: threading.Thread | None = None
        self._calls = 0
        self._calling = False
        self._ended = OneShotEvent()
        self._throttle = Throttle()

    def start(self) -> None:
        """Start the thread; raises ``RuntimeError`` if the system has none."""
        self._thread = threading.Thread(target=self._run, name="cluster-kit-topic", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether all calls have been made."""
        return self._ended.is_set

    def join(self) -> None:
        """Wait until all calls have been made, or one takes too long.

        Returns at once in the callback's own thread.
        """
        if self._thread is None or self._thread is threading.current_thread():
            return
        calls, since_s = self._calls, time.monotonic()
        while not self._ended.wait(_POLL_S):
            if self._calls != calls:
                calls, since_s = self._calls, time.monotonic()
            elif self._calling and time.monotonic() - since_s > _CALL_S:
                text = "callback %s has not returned for %g s: abandoned, its messages are lost"
                log.error(text, self._name, _CALL_S)
                return

    def _run(self) -> None:
        try:
            for item in self._subscription:
                self._call(item)
        finally:
            self._ended.set()

    def _call(self, item: Message | Gap) -> None:
        self._calling = True
        try:
            self._receiver(item)
        except BaseException as exc:  # the boundary between callbacks
            kind = type(exc).__name__
            if self._throttle.passes(kind, time.monotonic()):
                more = self._throttle.more(kind)
                log.exception("callback %s raised on %.200r%s", self._name, item, more)
        self._calling = False
        self._calls += 1
