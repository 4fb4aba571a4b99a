"""Forwards payloads between the application and its peers' links, without decoding them.

A slow link delays nothing but itself. In one direction, the application sends no more than a few
parcels for a link before it learns that they have been forwarded. In the other, parcels for an
application that is frozen or slow are queued here, with a limit per link. Only a few of them are in
the pipe at a time, so that they don't hold up the worker's other reports.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Coroutine
from functools import partial
from itertools import count
from typing import Any, TypeVar

from cluster_kit.abc import MAX_GREETING_BYTES, MAX_PAYLOAD_BYTES, Connector
from cluster_kit.attended import AttendedClock
from cluster_kit.errors import ConnectError, described
from cluster_kit.node import Node
from cluster_kit.pipe.channel import Parcel
from cluster_kit.pipe.messages import Forwarded, LinkClosed, LinkOpened
from cluster_kit.throttle import Throttle
from cluster_kit.worker.outbox import MAX_PENDING_BYTES, Outbox

log = logging.getLogger("cluster_kit.worker")

MAX_WAITING_BYTES = 4 << 20  # per link; far above the transit limit that honest peers keep
_AHEAD_BYTES = 1 << 18  # of parcels in the pipe, ahead of other reports
_MOST_AHEAD_BYTES = MAX_PENDING_BYTES - 2 * MAX_PAYLOAD_BYTES  # the same when a link ends
_FORWARDED_TOGETHER = 2  # parcels of a link per report; the application sends four before one
_FORWARDED_S = 0.002  # a single parcel is reported after this time, unless one arrives earlier
_PARCEL_BYTES = 64  # overhead of a parcel
_TOO_MUCH = (
    f"more than {MAX_WAITING_BYTES >> 20} MiB of its messages wait for this application: "
    "further ones are ignored until it is linked again"
)

_Result = TypeVar("_Result")


class _MessageLink:
    """A link that carries messages.

    Attributes:
        outgoing: The application's payloads, which the task ``sending`` sends.
        incoming: Payloads that wait for the application.
        incoming_bytes: The memory that they take.
        forwarded: Parcels sent since the application last learned of any.
        takes_parcels: False once sending has failed.
        is_over: The application knows that the link is closed; what arrives is dropped.
        unreported: The message that reports the link, until it is sent to the application.
    """

    def __init__(self, number: int, node: Node) -> None:
        self.number = number
        self.node = node
        self.outgoing: deque[bytes] = deque()
        self.sending: asyncio.Task[BaseException | None] | None = None
        self.incoming: deque[bytes] = deque()
        self.incoming_bytes = 0
        self.forwarded = 0
        self.takes_parcels = True
        self.is_over = False
        self.unreported: LinkOpened | None = None


class Forwarding:
    """Connects the links of a connector with the application.

    Args:
        connector: Sends payloads, if it carries messages at all.
        outbox: The way to the application.
        loop: The worker's.
        clock: Times the throttling of logs.
        greeting: The application's first greeting.
    """

    def __init__(
        self,
        connector: Connector,
        outbox: Outbox,
        loop: asyncio.AbstractEventLoop,
        *,
        clock: AttendedClock,
        greeting: bytes,
    ) -> None:
        self.greeting = greeting
        self.max_message_bytes = connector.max_message_bytes if connector.carries_messages else None
        """The size limit of messages, in bytes; ``None`` if the links carry none."""
        self._connector = connector
        self._outbox = outbox
        self._loop = loop
        self._clock = clock
        self._greetings = 0
        self._numbers = count(1)
        self._by_number: dict[int, _MessageLink] = {}  # those that are not over
        self._by_key: dict[str, _MessageLink] = {}
        self._waiting: deque[_MessageLink] = deque()  # those with payloads for the application
        self._forwarded_since: dict[_MessageLink, float] = {}  # those with unreported parcels
        self._timer_runs = False  # whether a timer runs to report them
        self._throttle = Throttle()

    # -- from the application ----------------------------------------------------------------------

    def greet(self, greeting: bytes) -> None:
        """Use ``greeting`` in new handshakes."""
        self.greeting = greeting
        self._greetings += 1

    def send(self, parcel: Parcel) -> None:
        """Send ``parcel`` over its link, in order; dropped if the link is gone."""
        link = self._by_number.get(parcel.link)
        if link is not None and link.takes_parcels:
            link.outgoing.append(parcel.payload)
            if link.sending is None:
                self._begin(link)

    def _begin(self, link: _MessageLink) -> None:
        sending = _start(self._loop, self._send_all(link), f"send to {link.node.key}")
        if sending.done():
            self._sent(link, sending)
            return
        link.sending = sending
        sending.add_done_callback(partial(self._sent, link))
        if link.is_over:  # the connector closed it during the eager start
            sending.cancel()

    async def _send_all(self, link: _MessageLink) -> BaseException | None:
        """Send all payloads, even those that come meanwhile; return the connector's exception."""
        try:
            while link.outgoing:
                await self._connector.send(link.node, link.outgoing.popleft())
                self._count_forwarded(link)
        except BaseException as exc:  # noqa: BLE001 - a plugin's error costs this link only
            return exc
        return None

    def _sent(self, link: _MessageLink, sending: asyncio.Task[BaseException | None]) -> None:
        link.sending = None
        if sending.cancelled():
            raised: BaseException | None = asyncio.CancelledError("it cancelled its own task")
        else:
            raised = sending.result()
        if raised is not None:
            self._failed(link, raised)
        elif link.outgoing:
            self._begin(link)

    def _count_forwarded(self, link: _MessageLink) -> None:
        link.forwarded += 1
        if link.forwarded == 1:
            self._forwarded_since[link] = self._loop.time()
            if not self._timer_runs:
                self._timer_runs = True
                self._loop.call_later(_FORWARDED_S, self._report_late)
        elif link.forwarded == _FORWARDED_TOGETHER:
            self._loop.call_soon(self._report_forwarded, link)

    def _report_late(self) -> None:
        """Report forwarded parcels that nothing else has reported for a while."""
        self._timer_runs = False
        for link, since_s in list(self._forwarded_since.items()):
            if since_s + _FORWARDED_S > self._loop.time():
                self._timer_runs = True
                self._loop.call_at(since_s + _FORWARDED_S, self._report_late)
                break
            self._report_forwarded(link)

    def _report_forwarded(self, link: _MessageLink) -> None:
        """Report the parcels of ``link`` that were forwarded since the last report."""
        parcels = self._take_forwarded(link)
        if parcels and not link.is_over:
            self._outbox.send(Forwarded(link.number, parcels))

    def _take_forwarded(self, link: _MessageLink) -> int:
        """Return how many forwarded parcels are unreported, and count them as reported."""
        if not link.forwarded:
            return 0
        del self._forwarded_since[link]
        parcels, link.forwarded = link.forwarded, 0
        return parcels

    def _failed(self, link: _MessageLink, exc: BaseException) -> None:
        if link.is_over:  # this is why it failed
            return
        link.takes_parcels = False
        link.outgoing.clear()
        if isinstance(exc, ConnectError):  # lost; what arrived before still has to be passed on
            log.debug("send to %s: %s", link.node, exc)
            return
        if self._throttle.passes("send", self._clock.now_s()):
            more = self._throttle.more("send")
            text = f"{described(exc)}{more}"
            log.error("send: the connector raised for %s: %s", link.node, text, exc_info=exc)
        self._end(link)

    async def flush(self, timeout_s: float) -> None:
        """Wait until all parcels are sent, for up to ``timeout_s``."""
        sending = [link.sending for link in self._by_number.values() if link.sending is not None]
        if sending:
            await asyncio.wait(sending, timeout=timeout_s)

    def close(self) -> None:
        """End all links, without sending or passing on what is queued."""
        for link in list(self._by_number.values()):
            self._end(link)

    # -- from the connector ------------------------------------------------------------------------

    def up(self, node: Node, greeting: bytes | None, sent_greeting: bytes) -> None:
        """Number a link that carries messages, and report it to the application.

        Raises:
            TypeError: The greeting isn't ``bytes``.
            ValueError: It is longer than ``MAX_GREETING_BYTES``.
        """
        if greeting is not None:
            _check("up: greeting", greeting, MAX_GREETING_BYTES)
        if node.key in self._by_key:
            self._close(self._by_key.pop(node.key))  # a link to an earlier run of the peer
        if greeting is None or self.max_message_bytes is None:
            return
        link = _MessageLink(next(self._numbers), node)
        self._by_number[link.number] = self._by_key[node.key] = link
        opened = LinkOpened(
            link=link.number,
            node=node,
            greeting=greeting,
            outdated=sent_greeting != self.greeting,
            greetings=self._greetings,
        )
        if self._outbox.pending_bytes <= _MOST_AHEAD_BYTES:
            self._outbox.send(opened)
        else:
            link.unreported = opened

    def down(self, node: Node) -> None:
        """Report to the application that a link is closed, if it knows of the link."""
        link = self._by_key.get(node.key)
        if link is not None and link.node.boot_id == node.boot_id:
            del self._by_key[node.key]
            self._close(link)

    def message(self, node: Node, payload: bytes) -> None:
        """Pass on a payload of a linked node.

        Raises:
            TypeError: It isn't ``bytes``.
            ValueError: It is longer than ``MAX_PAYLOAD_BYTES``.
        """
        _check("message: payload", payload, MAX_PAYLOAD_BYTES)
        link = self._by_key.get(node.key)
        if link is None or link.node.boot_id != node.boot_id:
            if self._throttle.passes("unknown", self._clock.now_s()):
                more = self._throttle.more("unknown")
                text = "message: ignored a payload of %s, as no link to it carries messages%s"
                log.warning(text, node, more)
        elif link.is_over:
            pass  # it was ended here, and the application knows that
        elif link.incoming or link.unreported is not None or not self._has_room():
            self._keep(link, payload)
        else:
            self._outbox.send_parcel(link.number, payload, self._take_forwarded(link))

    def _keep(self, link: _MessageLink, payload: bytes) -> None:
        """Queue ``payload`` for the application; end the link if too much is queued."""
        if not link.incoming:
            self._waiting.append(link)
        link.incoming.append(payload)
        link.incoming_bytes += len(payload) + _PARCEL_BYTES
        if link.incoming_bytes > MAX_WAITING_BYTES:
            if self._throttle.passes("waiting", self._clock.now_s()):
                more = self._throttle.more("waiting")
                log.warning("%s: %s", link.node, _TOO_MUCH + more)
            self._end(link)

    # -- to the application ------------------------------------------------------------------------

    def report_links(self) -> None:
        """Report links that came up while the pipe had no room, and are still there."""
        for link in self._by_number.values():
            if link.unreported is not None:
                opened, link.unreported = link.unreported, None
                self._outbox.send(opened)

    def catch_up(self) -> None:
        """Pass on queued payloads, of each link in turn, as far as the pipe has room."""
        while self._waiting and self._has_room():
            link = self._waiting.popleft()
            self._pass_on(link)
            if link.incoming:
                self._waiting.append(link)

    def _pass_on(self, link: _MessageLink) -> None:
        payload = link.incoming.popleft()
        link.incoming_bytes -= len(payload) + _PARCEL_BYTES
        self._outbox.send_parcel(link.number, payload, self._take_forwarded(link))

    def _close(self, link: _MessageLink) -> None:
        """Pass on what ``link`` has received, as far as the pipe has room, and end it."""
        if link.unreported is None:
            while link.incoming and self._outbox.pending_bytes <= _MOST_AHEAD_BYTES:
                self._pass_on(link)
        self._end(link)

    def _has_room(self) -> bool:
        return self._outbox.pending_bytes <= _AHEAD_BYTES

    def _end(self, link: _MessageLink) -> None:
        """Drop what is queued for ``link`` in both directions, and report that it is closed."""
        if link.is_over:
            return
        link.is_over = True
        link.takes_parcels = False
        del self._by_number[link.number]
        if link in self._waiting:
            self._waiting.remove(link)
        link.incoming.clear()
        link.outgoing.clear()
        link.incoming_bytes = 0
        if link.sending is not None:
            link.sending.cancel()
        if link.unreported is None:
            self._outbox.send(LinkClosed(link.number))


def _start(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, _Result], name: str
) -> asyncio.Task[_Result]:
    """Start a task, eagerly if this Python can.

    Most parcels are sent without waiting, and a turn of the event loop for each would cost more
    than all the rest.
    """
    if sys.version_info >= (3, 12):
        return asyncio.Task(work, loop=loop, name=name, eager_start=True)
    return loop.create_task(work, name=name)


def _check(what: str, data: bytes, max_bytes: int) -> None:
    if type(data) is not bytes:
        raise TypeError(f"{what} is of type {type(data).__name__}: expected bytes")
    if len(data) > max_bytes:
        raise ValueError(f"{what} has {len(data)} bytes: expected {max_bytes} at most")
