"""Takes in connections, and lets them wait outside while this process has no descriptor left for them.

asyncio's own server asks again at once then, as often as its backlog is long, and logs each time.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

from cluster_kit.throttle import Throttle

log = logging.getLogger("cluster_kit.connectors.tcp")

BATCH = 64  # connections between two turns of the event loop: a flood starves nobody
REST_S = 0.5  # until the next try, when connections can't be taken in

_CURES = {
    errno.EMFILE: "this process has no file descriptor left; raise its limit: ulimit -n",
    errno.ENFILE: "this machine has no file descriptor left; raise its limit: sysctl fs.file-max",
}


class Door:
    """Accepts on a listening socket, which is its own from now on.

    Args:
        sock: The socket; it doesn't block.
        welcome: Makes the protocol for one connection.
    """

    def __init__(self, sock: socket.socket, welcome: Callable[[], asyncio.BaseProtocol]) -> None:
        self.entering: set[asyncio.Task[object]] = set()
        self._sock = sock
        self._welcome = welcome
        self._loop = asyncio.get_running_loop()
        self._rest: asyncio.TimerHandle | None = None
        self._throttle = Throttle()
        self._open()

    def _open(self) -> None:
        self._loop.add_reader(self._sock, self._accept)

    def close(self) -> None:
        """Accept nobody more; who is ``entering`` still comes in."""
        self._loop.remove_reader(self._sock)
        if self._rest is not None:
            self._rest.cancel()
        self._sock.close()

    def _accept(self) -> None:
        for _ in range(BATCH):
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                self._pause(exc)
                return
            task: asyncio.Task[object] = self._loop.create_task(self._loop.connect_accepted_socket(self._welcome, sock))
            self.entering.add(task)
            task.add_done_callback(self.entering.discard)

    def _pause(self, exc: OSError) -> None:
        self._loop.remove_reader(self._sock)
        self._rest = self._loop.call_later(REST_S, self._open)
        if self._throttle.passes("pause", self._loop.time()):
            why = _CURES.get(exc.errno or 0, (exc.strerror or str(exc)).lower())
            log.warning("tcp: cannot accept connections: %s; links stay up, newcomers wait", why)
