"""What a worker has to tell its supervisor, in bounded memory.

An application that is frozen takes nothing from the pipe. Events are then dropped and, once it
reads again, replaced by the view as it stands; log records are dropped and counted; the rest is
small and rare, and kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from cluster_kit.errors import CommandError, described
from cluster_kit.events import Event
from cluster_kit.node import Node
from cluster_kit.pipe.channel import Channel
from cluster_kit.throttle import Throttle
from cluster_kit.worker.event_log import EventLog
from cluster_kit.worker.messages import Beat, Happened, Logged, Reply

MAX_PENDING_BYTES = 1 << 20  # beyond this, events give way to a view


class Outbox:
    """Sends messages without ever blocking or raising; a supervisor that is gone is noticed by who
    reads the channel.

    Args:
        channel: The supervisor's other end.
        loop: Runs this worker.
        known: The nodes that the application knows of from a worker before this one.
    """

    def __init__(
        self, channel: Channel, loop: asyncio.AbstractEventLoop, known: Iterable[Node] = ()
    ) -> None:
        self._channel = channel
        self._loop = loop
        self._log = EventLog(known)
        self._view_due = False
        self._dropped_logs = 0
        self._throttle = Throttle()

    @property
    def pending_bytes(self) -> int:
        """What waits for the supervisor to take what came before."""
        return self._channel.pending_bytes

    def send_parcel(self, link: int, payload: bytes, forwarded: int) -> None:
        """Send a parcel; who sends many sees to it that few are pending."""
        with suppress(OSError):
            self._channel.send_parcel(link, payload, forwarded)

    def send(self, message: Any) -> None:
        """Send ``message``; beats and log records are left out while the supervisor takes
        nothing.
        """
        full = self._channel.pending_bytes > MAX_PENDING_BYTES
        if full and isinstance(message, Beat | Logged):
            self._dropped_logs += isinstance(message, Logged)
            return
        try:
            self._channel.send(message)
        except OSError:
            return
        except BaseException as exc:  # noqa: BLE001 - a plugin's value in it cannot be pickled
            self._not_sent(message, exc)

    def _not_sent(self, message: Any, exc: BaseException) -> None:
        """Say what is lost, if it may be; what happened is made up for by a view, but once only, as
        that may fail, too.
        """
        text = f"{type(message).__name__} cannot be sent to the application: {described(exc)}"
        kind = f"{type(message).__name__} {type(exc).__name__}"
        if self._throttle.passes(kind, self._loop.time()):
            self.send(Logged("cluster_kit.worker", logging.ERROR, text + self._throttle.more(kind)))
        if isinstance(message, Happened):
            self._view_due = True
            self._loop.call_soon(self.catch_up)
        elif isinstance(message, Reply):
            self.send(Reply(id=message.id, error=CommandError(f"call: {text}")))

    def publish(self, events: tuple[Event, ...]) -> None:
        """Send ``events``, or remember that a view is due in their place."""
        self._log.add(events)
        if self._view_due or self._channel.pending_bytes > MAX_PENDING_BYTES:
            self._view_due = True
        else:
            self.send(Happened(events))

    def catch_up(self) -> None:
        """Tell how things stand, where something was left out; the supervisor has taken all that it
        was sent.
        """
        if self._view_due:
            self._view_due = False
            self.send(self._log.view())
        if self._dropped_logs:
            text = (
                f"{self._dropped_logs} log records were dropped while the application read nothing"
            )
            self._dropped_logs = 0
            self.send(Logged("cluster_kit.worker", logging.WARNING, text))
