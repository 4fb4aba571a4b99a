"""Sends a worker's messages to its supervisor, in bounded memory.

A frozen application doesn't read the pipe. Events are then dropped and, once it reads again,
replaced by a view of the current state. Log records are dropped and counted. Anything else is small
and rare, and is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from cluster_kit.errors import CommandError, described
from cluster_kit.events import Event, NodeDown, NodeFound, NodeLost, NodeUp, NodeUpdated
from cluster_kit.node import Node
from cluster_kit.pipe.channel import Channel
from cluster_kit.pipe.messages import Beat, Happened, Logged, Reply, View
from cluster_kit.throttle import Throttle
from cluster_kit.worker.plugin_calls import CLOSE_S

MAX_PENDING_BYTES = 1 << 20  # with more than this pending, events give way to a view


class Outbox:
    """Sends messages without ever blocking or raising.

    If the supervisor is gone, the code that reads the channel notices.

    Args:
        channel: The pipe to the supervisor.
        loop: The worker's.
        known: The nodes that the application knows of from a worker before this one.
    """

    def __init__(
        self, channel: Channel, loop: asyncio.AbstractEventLoop, known: Iterable[Node] = ()
    ) -> None:
        self._channel = channel
        self._loop = loop
        self._view = _ApplicationView(known)
        self._view_due = False
        self._dropped_logs = 0
        self._throttle = Throttle()

    @property
    def pending_bytes(self) -> int:
        """Bytes that were sent and that the supervisor has not read yet."""
        return self._channel.pending_bytes

    def send_parcel(self, link: int, payload: bytes, forwarded: int) -> None:
        """Send a parcel, whatever is pending; the caller limits that."""
        with suppress(OSError):
            self._channel.send_parcel(link, payload, forwarded)

    def send(self, message: Any) -> None:
        """Send ``message``; beats and log records are dropped if too much is pending."""
        full = self._channel.pending_bytes > MAX_PENDING_BYTES
        if full and isinstance(message, Beat | Logged):
            self._dropped_logs += isinstance(message, Logged)
            return
        try:
            self._channel.send(message)
        except OSError:
            return
        except BaseException as exc:  # noqa: BLE001 - it holds a plugin's value that can't be pickled
            self._replace(message, exc)

    def send_last(self, message: Any) -> None:
        """Send ``message`` and wait until everything is sent, as the process is about to end."""
        self.send(message)
        self._channel.drain(CLOSE_S)

    def _replace(self, message: Any, exc: BaseException) -> None:
        """Log that ``message`` is lost, and send something in its place if the supervisor needs it.

        A view takes the place of events. It may hold the same value, and then nothing takes its
        place.
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
        self._view.apply(events)
        if self._view_due or self._channel.pending_bytes > MAX_PENDING_BYTES:
            self._view_due = True
        else:
            self.send(Happened(events))

    def catch_up(self) -> None:
        """Make up for what was dropped; called when nothing is pending any more."""
        if self._view_due:
            self._view_due = False
            self.send(self._view.message())
        if self._dropped_logs:
            count, self._dropped_logs = self._dropped_logs, 0
            text = f"{count} log records were dropped while the application read nothing"
            self.send(Logged("cluster_kit.worker", logging.WARNING, text))


class _ApplicationView:
    """The view that the application has once it has handled all events so far.

    It holds two nodes for each peer, however many events there are.
    """

    def __init__(self, known: Iterable[Node]) -> None:
        self._known = {node.key: node for node in known}
        self._up: dict[str, Node] = {}

    def apply(self, events: Iterable[Event]) -> None:
        for event in events:
            match event:
                case NodeFound(node=node):
                    self._known[node.key] = node
                case NodeLost(node=node):
                    self._known.pop(node.key, None)
                case NodeUp(node=node):
                    self._up[node.key] = node
                    self._update(node)
                case NodeDown(node=node):
                    self._up.pop(node.key, None)
                case NodeUpdated(node=node):
                    self._update(node)

    def _update(self, node: Node) -> None:
        for nodes in (self._known, self._up):
            if node.key in nodes:
                nodes[node.key] = node

    def message(self) -> View:
        return View(known=_by_key(self._known), up=_by_key(self._up))


def _by_key(nodes: dict[str, Node]) -> tuple[Node, ...]:
    return tuple(node for _, node in sorted(nodes.items()))
