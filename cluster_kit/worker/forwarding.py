"""Passes on what applications say to each other, unread: parcels of the application to links, and
what comes over links to it.

Nobody waits here for anybody but the link concerned. The application sends no more than a few
parcels for a link before it is told that they are on their way. For an application that is frozen
or slow, parcels wait here, and of each link so many only: the pipe has little of them at a time, so
that they hold up nothing else that a worker has to tell.
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
from cluster_kit.throttle import Throttle
from cluster_kit.worker.messages import Forwarded, LinkClosed, LinkOpened
from cluster_kit.worker.outbox import MAX_PENDING_BYTES, Outbox

log = logging.getLogger("cluster_kit.worker")

MAX_WAITING_BYTES = 4 << 20  # of one link, for the application; a peer that keeps to the protocol never has as much in transit
_AHEAD_BYTES = 1 << 18  # in the pipe, ahead of anything else that a worker has to tell
_MOST_AHEAD_BYTES = MAX_PENDING_BYTES - 2 * MAX_PAYLOAD_BYTES  # where a link ends: no event gives way to them
_FORWARDED_TOGETHER = 2  # parcels of one link, of which the application is told at once: it gives out four before that
_FORWARDED_S = 0.002  # until it is told of a single one, unless what comes over the link tells it before
_PARCEL_BYTES = 64  # what a parcel costs besides its payload
_Result = TypeVar("_Result")
_TOO_MUCH = (
    f"more than {MAX_WAITING_BYTES >> 20} MiB of its messages wait for this application: "
    "the others are ignored until it is linked again"
)


class _Link:
    """One link that carries messages.

    Attributes:
        outgoing: The application's parcels for it, which its task ``sending`` sends.
        incoming: What waits for the application, and ``incoming_bytes`` what it costs.
        forwarded: Parcels that were sent since the application was told.
        takes_parcels: Not any more once sending has failed.
        is_over: The application was told that it is closed; what comes over it is nobody's.
        untold: How the application is to be told of it, if it was not.
    """

    def __init__(self, number: int, node: Node) -> None:
        self.untold: LinkOpened | None = None
        self.number = number
        self.node = node
        self.outgoing: deque[bytes] = deque()
        self.sending: asyncio.Task[BaseException | None] | None = None
        self.incoming: deque[bytes] = deque()
        self.incoming_bytes = 0
        self.forwarded = 0
        self.takes_parcels = True
        self.is_over = False


class Forwarding:
    """Between the links of one connector and the application.

    Args:
        connector: Sends, if it carries messages at all.
        outbox: The way to the application.
        loop: Where all this happens.
        clock: By which it is told how often the same goes wrong.
        greeting: The application's, at first.
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
        """The longest message that its links carry; ``None`` where they carry none."""
        self._connector = connector
        self._outbox = outbox
        self._loop = loop
        self._clock = clock
        self._greetings = 0
        self._numbers = count(1)
        self._by_number: dict[int, _Link] = {}  # those that are not over
        self._by_key: dict[str, _Link] = {}
        self._waiting: deque[_Link] = deque()  # those of which something waits for the application
        self._owed: dict[_Link, float] = {}  # of whose parcels the application is to be told, and since when
        self._tells_later = False  # that, by a timer
        self._throttle = Throttle()

    # -- from the application ----------------------------------------------------------------------

    def greet(self, greeting: bytes) -> None:
        """Let peers be told ``greeting`` from now on."""
        self.greeting = greeting
        self._greetings += 1

    def send(self, parcel: Parcel) -> None:
        """Send ``parcel`` over its link, in its turn; one for a link that is gone is dropped."""
        link = self._by_number.get(parcel.link)
        if link is not None and link.takes_parcels:
            link.outgoing.append(parcel.payload)
            if link.sending is None:
                self._begin(link)

    def _begin(self, link: _Link) -> None:
        sending = _start(self._loop, self._send_all(link), f"send to {link.node.key}")
        if sending.done():
            self._sent(link, sending)
            return
        link.sending = sending
        sending.add_done_callback(partial(self._sent, link))
        if link.is_over:  # by what the connector did in the beginning
            sending.cancel()

    async def _send_all(self, link: _Link) -> BaseException | None:
        """Send what there is, and what comes meanwhile; return what the connector raised, which costs this link only."""
        try:
            while link.outgoing:
                await self._connector.send(link.node, link.outgoing.popleft())
                self._is_on_its_way(link)
        except BaseException as exc:  # noqa: BLE001 - the boundary
            return exc
        return None

    def _sent(self, link: _Link, sending: asyncio.Task[BaseException | None]) -> None:
        link.sending = None
        raised = asyncio.CancelledError("it cancelled its own task") if sending.cancelled() else sending.result()
        if raised is not None:
            self._failed(link, raised)
        elif link.outgoing:
            self._begin(link)

    def _is_on_its_way(self, link: _Link) -> None:
        link.forwarded += 1
        if link.forwarded == 1:
            self._owed[link] = self._loop.time()
            if not self._tells_later:
                self._tells_later = True
                self._loop.call_later(_FORWARDED_S, self._tell_late)
        elif link.forwarded == _FORWARDED_TOGETHER:
            self._loop.call_soon(self._tell_forwarded, link)

    def _tell_late(self) -> None:
        """Tell the application of the parcels that nothing has told it of for a while."""
        self._tells_later = False
        for link, since_s in list(self._owed.items()):
            if since_s + _FORWARDED_S > self._loop.time():
                self._tells_later = True
                self._loop.call_at(since_s + _FORWARDED_S, self._tell_late)
                break
            self._tell_forwarded(link)

    def _tell_forwarded(self, link: _Link) -> None:
        """Tell the application of the parcels of ``link`` that were forwarded since it was told."""
        parcels = self._take_forwarded(link)
        if parcels and not link.is_over:
            self._outbox.send(Forwarded(link.number, parcels))

    def _take_forwarded(self, link: _Link) -> int:
        """Return how many parcels the application is to be told of; it is told of them now."""
        if not link.forwarded:
            return 0
        del self._owed[link]
        parcels, link.forwarded = link.forwarded, 0
        return parcels

    def _failed(self, link: _Link, exc: BaseException) -> None:
        if link.is_over:  # that is why
            return
        link.takes_parcels = False
        link.outgoing.clear()
        if isinstance(exc, ConnectError):  # the link is lost: what came over it before is still to be reported
            log.debug("send to %s: %s", link.node, exc)
            return
        if self._throttle.passes("send", self._clock.now_s()):
            more = self._throttle.more("send")
            log.error("send: the connector raised for %s: %s%s", link.node, described(exc), more, exc_info=exc)
        self._end(link)

    async def flush(self, timeout_s: float) -> None:
        """Wait until all parcels are sent, or for so many seconds."""
        sending = [link.sending for link in self._by_number.values() if link.sending is not None]
        if sending:
            await asyncio.wait(sending, timeout=timeout_s)

    def close(self) -> None:
        """End all links: nothing is sent or passed on any more."""
        for link in list(self._by_number.values()):
            self._end(link)

    # -- from the connector ------------------------------------------------------------------------

    def up(self, node: Node, greeting: bytes | None, told: bytes) -> None:
        """Number a link that carries messages, and tell the application of it.

        Raises:
            TypeError: The greeting is no ``bytes``.
            ValueError: It is longer than ``MAX_GREETING_BYTES``.
        """
        if greeting is not None:
            _check("up: greeting", greeting, MAX_GREETING_BYTES)
        if node.key in self._by_key:
            self._close(self._by_key.pop(node.key))  # of another run, which it replaces
        if greeting is None or self.max_message_bytes is None:
            return
        link = _Link(next(self._numbers), node)
        self._by_number[link.number] = self._by_key[node.key] = link
        outdated = told != self.greeting
        opened = LinkOpened(link=link.number, node=node, greeting=greeting, outdated=outdated, greetings=self._greetings)
        if self._outbox.pending_bytes <= _MOST_AHEAD_BYTES:
            self._outbox.send(opened)
        else:
            link.untold = opened

    def down(self, node: Node) -> None:
        """Tell the application that a link is closed, if it was told of it."""
        link = self._by_key.get(node.key)
        if link is not None and link.node.boot_id == node.boot_id:
            del self._by_key[node.key]
            self._close(link)

    def message(self, node: Node, payload: bytes) -> None:
        """Pass on what a linked node has sent.

        Raises:
            TypeError: It is no ``bytes``.
            ValueError: It is longer than ``MAX_PAYLOAD_BYTES``.
        """
        _check("message: payload", payload, MAX_PAYLOAD_BYTES)
        link = self._by_key.get(node.key)
        if link is None or link.node.boot_id != node.boot_id:
            if self._throttle.passes("unknown", self._clock.now_s()):
                more = self._throttle.more("unknown")
                log.warning("message: %s has sent one, but no link to it carries any: it is ignored%s", node, more)
        elif link.incoming or not (link.is_over or (link.untold is None and self._has_room())):
            self._keep(link, payload)
        elif not link.is_over:
            self._outbox.send_parcel(link.number, payload, self._take_forwarded(link))

    def _keep(self, link: _Link, payload: bytes) -> None:
        """Have ``payload`` wait for the application, unless too much does."""
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

    def tell_links(self) -> None:
        """Tell of the links that came while the application took nothing, and are still there."""
        for link in self._by_number.values():
            if link.untold is not None:
                opened, link.untold = link.untold, None
                self._outbox.send(opened)

    def catch_up(self) -> None:
        """Pass on some of what waits, of each link in turn: the application has taken what came before."""
        while self._waiting and self._has_room():
            link = self._waiting.popleft()
            self._pass_on(link)
            if link.incoming:
                self._waiting.append(link)

    def _pass_on(self, link: _Link) -> None:
        payload = link.incoming.popleft()
        link.incoming_bytes -= len(payload) + _PARCEL_BYTES
        self._outbox.send_parcel(link.number, payload, self._take_forwarded(link))

    def _close(self, link: _Link) -> None:
        """End ``link`` behind what it has brought, as far as there is room in the pipe."""
        while link.incoming and link.untold is None and self._outbox.pending_bytes <= _MOST_AHEAD_BYTES:
            self._pass_on(link)
        self._end(link)

    def _has_room(self) -> bool:
        return self._outbox.pending_bytes <= _AHEAD_BYTES

    def _end(self, link: _Link) -> None:
        if link.is_over:
            return
        link.is_over = True
        link.takes_parcels = False
        del self._by_number[link.number]
        if link in self._waiting:
            self._waiting.remove(link)
        for queue in (link.incoming, link.outgoing):
            queue.clear()
        link.incoming_bytes = 0
        if link.sending is not None:
            link.sending.cancel()
        if link.untold is None:
            self._outbox.send(LinkClosed(link.number))


def _start(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, _Result], name: str) -> asyncio.Task[_Result]:
    """Have a task of its own do ``work``, which it begins at once where Python can do that.

    Most parcels are sent without waiting. A turn of the event loop for each costs more than the rest.
    """
    if sys.version_info >= (3, 12):
        return asyncio.Task(work, loop=loop, name=name, eager_start=True)
    return loop.create_task(work, name=name)


def _check(what: str, data: bytes, most: int) -> None:
    if type(data) is not bytes:
        raise TypeError(f"{what} is a {type(data).__name__}: expected bytes")
    if len(data) > most:
        raise ValueError(f"{what} has {len(data)} bytes: expected {most} at most")
