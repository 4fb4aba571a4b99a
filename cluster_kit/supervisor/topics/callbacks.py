"""Callbacks of subscriptions: each has its own thread, so that a slow one delays only itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from cluster_kit.supervisor import application_calls
from cluster_kit.supervisor.application_calls import ApplicationCalls, name_of
from cluster_kit.supervisor.threads import CancellableThread
from cluster_kit.supervisor.topics.items import Gap, Message
from cluster_kit.supervisor.topics.subscription import TopicSubscription
from cluster_kit.throttle import Throttle

Receiver = Callable[[Message | Gap], Any]

log = logging.getLogger("cluster_kit.supervisor")


class CallbackReader:
    """Calls ``receiver`` with each message and gap of a subscription until that ends.

    Exceptions of the receiver are logged.
    """

    def __init__(self, subscription: TopicSubscription, receiver: Receiver) -> None:
        self._subscription = subscription
        self._receiver = receiver
        self._thread: CancellableThread | None = None
        self._calls = ApplicationCalls()
        self._throttle = Throttle()

    def start(self) -> None:
        """Start the thread; raises ``RuntimeError`` if the system has none."""
        self._thread = CancellableThread(self._run, "cluster-kit-topic")
        try:
            self._thread.start()
        except BaseException:
            self._thread.undo_start()  # else ``join`` would wait for it
            raise

    @property
    def ended(self) -> bool:
        """Whether all calls have been made."""
        return self._thread is not None and self._thread.ended.is_set

    def join(self) -> None:
        """Wait until all calls have been made, or one takes too long.

        Returns at once in the callback's own thread.
        """
        if self._thread is None or self._thread.is_current:
            return
        if self._calls.wait(self._thread.ended) is not None:
            text = "callback %s has not returned for %g s: abandoned, its messages are lost"
            log.error(text, name_of(self._receiver), application_calls.LIMIT_S)

    def _run(self) -> None:
        for item in self._subscription:
            self._call(item)

    def _call(self, item: Message | Gap) -> None:
        try:
            self._calls.call(self._receiver, item)
        except BaseException as exc:  # the boundary between callbacks
            kind = type(exc).__name__
            if self._throttle.passes(kind, time.monotonic()):
                more = self._throttle.more(kind)
                log.exception("callback %s raised on %.200r%s", name_of(self._receiver), item, more)
