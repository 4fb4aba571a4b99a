"""How a stream in memory is opened: the listener, the dial, and the kernels in between.

A dial is a packet to the other host (SYN) and one back; lost ones are sent again. The stream waits
in the listener's backlog until its process accepts it, so dials to a frozen process succeed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING

from cluster_kit.errors import NetworkError, NetworkFault
from cluster_kit.network import Endpoint, Listener, Stream
from cluster_kit.testing.memory.streams import MemoryStream

if TYPE_CHECKING:
    from cluster_kit.testing.memory.host import MemoryHost
    from cluster_kit.testing.virtual_time.loop import VirtualLoop

BACKLOG = 1024  # streams
SYN_RETRY_S = 1.0  # doubles each time. Source: RFC 6298
SYN_RETRIES = 6  # Linux: net.ipv4.tcp_syn_retries
NO_HOST_S = 3.0  # Linux: three ARP requests, a second apart


class MemoryListener(Listener):
    """Accepts streams at one host and port."""

    def __init__(self, host: MemoryHost, loop: VirtualLoop, at: Endpoint) -> None:
        self.here = at
        self.host = host
        self.loop = loop
        self._accept: Callable[[Stream], None] | None = None
        self._context: Context | None = None
        self._waiting: deque[MemoryStream] = deque()
        self._is_queued = False
        self._is_closed = False
        loop.on_end(self._close)

    @property
    def has_room(self) -> bool:
        """Whether the backlog has room for another stream."""
        return len(self._waiting) < BACKLOG

    def start(self, accept: Callable[[Stream], None]) -> None:
        """Accept streams, from a later turn of the event loop on."""
        if not self._is_closed:
            self._accept = accept
            self._context = copy_context()
            self._is_queued = True
            self.loop.call_soon(self._hand_over, context=self._context)

    def opened(self, stream: MemoryStream) -> None:
        """Add an open stream to the backlog."""
        if self._is_closed:
            stream.abort()
            return
        self._waiting.append(stream)
        if self._context is not None and not self._is_queued:
            self._is_queued = True
            self.loop.arrive(self._context, self._hand_over)

    def _hand_over(self) -> None:
        self._is_queued = False
        while self._waiting and self._accept is not None:
            stream = self._waiting.popleft()
            try:
                self._accept(stream)
            except BaseException:
                stream.abort()
                raise

    async def close(self) -> None:
        """Abort the streams in the backlog."""
        self._close()

    def _close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._accept = None
            self.loop.off_end(self._close)
            self.host.listeners.remove(self)
            while self._waiting:
                self._waiting.popleft().abort()


class DialAttempt:
    """One attempt to open a stream.

    Args:
        host: The machine that dials.
        loop: Its process.
        to: The address to dial.
    """

    def __init__(self, host: MemoryHost, loop: VirtualLoop, to: Endpoint) -> None:
        self._host = host
        self._loop = loop
        self._to = to
        self._timeline = host.network.timeline
        self._context = copy_context()
        self._future: asyncio.Future[MemoryStream] = loop.create_future()
        self._stream: MemoryStream | None = None
        self._is_over = False

    async def stream(self) -> MemoryStream:
        """Return the stream once it is open.

        Raises:
            NetworkError: The dial failed.
        """
        self._loop.on_end(self._end)
        try:
            self._begin()
            return await self._future
        except asyncio.CancelledError:
            if self._stream is not None:
                self._stream.abort()
            raise
        finally:
            self._loop.off_end(self._end)
            self._end()

    def _end(self) -> None:
        self._is_over = True

    def _begin(self) -> None:
        target = self._host.network.host_at(self._to.host, self._host)
        here = self._host.source_of(self._to.host)
        if here is None:
            self._fail("network is unreachable", NetworkFault.UNREACHABLE)
        elif target is None:
            self._timeline.call_at(
                self._timeline.now_s + NO_HOST_S,
                self._fail,
                "no route to host",
                NetworkFault.UNREACHABLE,
            )
        else:
            self._send_syn(target, Endpoint(here, self._host.free_port()), 0)

    def _send_syn(self, target: MemoryHost, here: Endpoint, retries: int) -> None:
        if self._is_over:
            return
        if retries > SYN_RETRIES:
            self._fail("connection timed out", NetworkFault.TIMEOUT)
            return
        path = self._host.network.path(self._host, target)
        self._host.traffic.packets_sent += 1
        if path.is_black_hole or self._host.network.loses(self._host, target, 0):
            self._resend_syn(target, here, retries)
        else:
            self._timeline.call_at(
                self._timeline.now_s + path.latency_s, self._arrive, target, here, retries
            )

    def _resend_syn(self, target: MemoryHost, here: Endpoint, retries: int) -> None:
        """Send again once the answer to the last attempt is overdue."""
        self._timeline.call_at(
            self._timeline.now_s + SYN_RETRY_S * 2**retries,
            self._send_syn,
            target,
            here,
            retries + 1,
        )

    def _arrive(self, target: MemoryHost, here: Endpoint, retries: int) -> None:
        network = self._host.network
        target.traffic.packets_received += 1
        listener = target.listener_at(self._to)
        is_refused = listener is None or network.path(self._host, target).refuses
        back = network.path(target, self._host)
        target.traffic.packets_sent += 1
        if (listener is not None and not listener.has_room) or network.loses(target, self._host, 0):
            self._resend_syn(target, here, retries)
        elif is_refused:
            self._timeline.call_at(
                self._timeline.now_s + back.latency_s,
                self._fail,
                "connection refused",
                NetworkFault.REFUSED,
            )
        else:
            assert listener is not None
            self._timeline.call_at(
                self._timeline.now_s + back.latency_s, self._open, listener, here
            )

    def _open(self, listener: MemoryListener, here: Endpoint) -> None:
        if self._is_over:
            return
        self._host.traffic.packets_received += 1
        self._stream = ours = MemoryStream(self._host, self._loop, here, self._to)
        theirs = MemoryStream(listener.host, listener.loop, self._to, here)
        ours.link(theirs)
        theirs.link(ours)
        ours.carrier.carry(0, listener.opened, theirs)
        self._loop.arrive(self._context, self._settle, self._future.set_result, ours)

    def _fail(self, text: str, fault: NetworkFault) -> None:
        if not self._is_over:
            self._loop.arrive(
                self._context,
                self._settle,
                self._future.set_exception,
                NetworkError(text, fault=fault),
            )

    def _settle(self, how: Callable[..., None], outcome: object) -> None:
        if not self._future.done():
            how(outcome)
