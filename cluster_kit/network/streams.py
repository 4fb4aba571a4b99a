"""Streams on the system's sockets.

They use the event loop's readers and writers rather than asyncio's transports and server. Those
take a task for each accepted connection, and when no file descriptor is left, asyncio's server
tries to accept a whole backlog at once and logs each failure.

How a stream ends::

    state      begins when                                ends when
    closing    close() is called, or the peer closes      everything is sent
    lingering  the last byte is sent to an open peer      the peer closes, or LINGER_S has passed
    ended      abort() is called, receiving fails, or the states above are over

If a send fails because the peer has closed, the stream sends nothing more, but still reads what the
peer sent before, such as its reason.

A stream lingers because a socket that is closed answers late bytes with a reset, and a reset makes
the peer lose what it has not read yet.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress

from cluster_kit.network import LINGER_S, Endpoint, Listener, Stream, StreamReader
from cluster_kit.network.sockaddrs import SockAddr, endpoint_of, sockaddr_of
from cluster_kit.throttle import Throttle

log = logging.getLogger("cluster_kit.network")

INBOX_BYTES = 262144  # several payloads with one call; untouched pages cost nothing
NOT_SENT_BYTES = 131072  # the kernel queues no more than this, so a heartbeat is not held up
BACKLOG = 1024  # a cluster that starts dials all at once; the kernel caps it at net.core.somaxconn
BATCH = 64  # connections in one turn of the event loop, so that a flood starves nothing else
RETRY_S = 0.5  # until the next try, when no connection can be accepted

_CURES = {
    errno.EMFILE: "this process has no file descriptor left; raise its limit: ulimit -n",
    errno.ENFILE: "this machine has no file descriptor left; raise its limit: sysctl fs.file-max",
}


class SystemStream(Stream):
    """A connected socket.

    Args:
        sock: The socket, which is non-blocking; the stream owns it from now on.
        there: The other end.
        inbox: The buffer to receive in; all streams share it, as nothing stays there between calls.
    """

    def __init__(self, sock: socket.socket, there: Endpoint, inbox: memoryview) -> None:
        self.here = endpoint_of(sock.getsockname())
        self.there = there
        self._sock = sock
        self._inbox = inbox
        self._loop = asyncio.get_running_loop()
        self._reader: StreamReader | None = None
        self._unsent = bytearray()
        self._cannot_send = False
        self._peer_finished = False
        self._is_closing = False
        self._has_ended = False
        self._linger_timer: asyncio.TimerHandle | None = None
        with suppress(OSError):  # the connection may be broken already, as the first read will show
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT_BYTES)

    def start(self, reader: StreamReader) -> None:
        """Start to receive."""
        self._reader = reader
        if self._has_ended:
            self._loop.call_soon(reader.lost)
        elif not self._is_closing:
            self._loop.add_reader(self._sock, self._receive, reader)

    def _receive(self, reader: StreamReader) -> None:
        try:
            count = self._sock.recv_into(self._inbox)
        except BlockingIOError:
            return
        except OSError:
            self.abort()
            return
        if not count:
            self._peer_finished = True
            self.close()
            return
        try:
            reader.received(self._inbox[:count])
        except BaseException:
            self.abort()
            raise

    def send(self, data: bytes) -> None:
        """Send at once what the kernel takes, and keep the rest."""
        if self._is_closing or self._cannot_send:
            return
        if not self._unsent:
            try:
                sent = self._sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError as exc:
                self._stop_sending(exc)
                return
            if sent == len(data):
                return
            self._loop.add_writer(self._sock, self._send_rest)
            with memoryview(data) as view:
                self._unsent += view[sent:]
            return
        self._unsent += data

    def _send_rest(self) -> None:
        try:
            sent = self._sock.send(self._unsent)
        except BlockingIOError:
            return
        except OSError as exc:
            self._stop_sending(exc)
            return
        del self._unsent[:sent]
        if not self._unsent:
            self._loop.remove_writer(self._sock)
            if self._is_closing:
                self._linger()
            elif self._reader is not None:
                self._reader.relieved()

    def _stop_sending(self, exc: OSError) -> None:
        """Stop sending, and end once everything that has arrived is read.

        A peer that closes may have sent the reason just before; our next bytes then get a reset.
        """
        if self._is_closing or not isinstance(exc, ConnectionError):
            self.abort()
            return
        self._cannot_send = True
        self._loop.remove_writer(self._sock)
        self._unsent.clear()

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return len(self._unsent)

    def close(self) -> None:
        """Close once everything is sent, and the peer has closed or ``LINGER_S`` has passed."""
        if not self._is_closing:
            self._is_closing = True
            self._loop.remove_reader(self._sock)
            if not self._unsent:
                self._linger()

    def _linger(self) -> None:
        if self._peer_finished or self._cannot_send:
            self._end()
            return
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._end()
            return
        self._loop.add_reader(self._sock, self._discard)
        self._linger_timer = self._loop.call_later(LINGER_S, self.abort)

    def _discard(self) -> None:
        try:
            has_more = self._sock.recv_into(self._inbox) > 0
        except BlockingIOError:
            return
        except OSError:
            has_more = False
        if not has_more:
            self.abort()

    def abort(self) -> None:
        """Close now."""
        if not self._has_ended:
            self._is_closing = True
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._unsent.clear()
            self._end()

    def _end(self) -> None:
        self._has_ended = True
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        self._sock.close()
        reader, self._reader = self._reader, None  # breaks a cycle of references
        if reader is not None:
            self._loop.call_soon(reader.lost)


async def dial(to: Endpoint, inbox: memoryview) -> SystemStream:
    """Return a stream to ``to``.

    Raises:
        OSError: That is not possible.
    """
    family, sockaddr = sockaddr_of(*to)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await _connect(sock, sockaddr)
        if sock.getsockname() == sock.getpeername():
            # The kernel chose the dialled port as our own, and TCP lets a socket connect to itself.
            raise ConnectionRefusedError(errno.ECONNREFUSED, "connected to itself")
        return SystemStream(sock, endpoint_of(sockaddr), inbox)
    except BaseException:
        sock.close()
        raise


async def _connect(sock: socket.socket, sockaddr: SockAddr) -> None:
    loop = asyncio.get_running_loop()
    settled = asyncio.Event()
    with suppress(BlockingIOError):
        sock.connect(sockaddr)
        return
    loop.add_writer(sock, settled.set)
    try:
        await settled.wait()
    finally:
        loop.remove_writer(sock)
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise OSError(number, os.strerror(number))


class SystemListener(Listener):
    """A listening socket; while no file descriptor is left, connections wait in the kernel.

    Raises:
        OSError: That is not possible.
    """

    def __init__(self, at: Endpoint, inbox: memoryview) -> None:
        self._sock = _listening(at)
        self.here = endpoint_of(self._sock.getsockname())
        self._inbox = inbox
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._throttle = Throttle()

    def start(self, accept: Callable[[Stream], None]) -> None:
        """Start to accept."""
        if not self._is_closed:
            self._loop.add_reader(self._sock, self._accept, accept)

    def _accept(self, accept: Callable[[Stream], None]) -> None:
        for _ in range(BATCH):
            if self._is_closed:
                return
            try:
                sock, sockaddr = self._sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as exc:
                self._pause(exc, accept)
                return
            sock.setblocking(False)
            stream = SystemStream(sock, endpoint_of(sockaddr), self._inbox)
            try:
                accept(stream)
            except BaseException:
                stream.abort()
                raise

    def _pause(self, exc: OSError, accept: Callable[[Stream], None]) -> None:
        self._loop.remove_reader(self._sock)
        self._retry = self._loop.call_later(RETRY_S, self.start, accept)
        if self._throttle.passes("pause", self._loop.time()):
            why = _CURES.get(exc.errno or 0, (exc.strerror or str(exc)).lower())
            text = "network: cannot accept connections: %s; open ones stay open, newcomers wait"
            log.warning(text, why)

    async def close(self) -> None:
        """Accept no more; the kernel refuses the connections that wait."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._sock)
            if self._retry is not None:
                self._retry.cancel()
            self._sock.close()


def _listening(at: Endpoint) -> socket.socket:
    family, sockaddr = sockaddr_of(*at)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(sockaddr)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
