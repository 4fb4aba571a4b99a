"""Looks up host names as the system does: hosts file, name service switch, search domains and all.

``getaddrinfo`` blocks, can't be cancelled, and takes as long as resolv.conf allows where name
servers don't answer. In the few threads that an event loop has for such work, names that hang would
hold up those that don't. So each question has a thread of its own, which neither the event loop nor
the interpreter waits for at its end. While one hangs, nobody asks the same question in a second
thread. Names that took long the last time can't use up all the threads.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import Any

Addresses = Sequence[tuple[int, int, int, str, tuple[Any, ...]]]
_Question = tuple[str, int, int, int, int]

_MAX_LONG = 4096  # names that took long, to remember


class LookUps:
    """The look-ups of a process, by all of its event loops: threads are the process's.

    Args:
        max_threads: How many may hang at once; more are a fault of the network, or an attack.
        reserved: How many of these are kept for names that did not take long the last time.
        long_s: How many seconds are long.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        max_threads: int = 256,
        reserved: int = 64,
        long_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._max_threads = max_threads
        self._reserved = reserved
        self._long_s = long_s
        self._long: dict[_Question, None] = {}
        self._asking: dict[_Question, Future[Addresses]] = {}

    def __len__(self) -> int:
        return len(self._asking)

    async def resolve(
        self,
        host: str,
        port: int = 0,
        *,
        family: int = 0,
        kind: int = socket.SOCK_STREAM,
        canonical: bool = False,
    ) -> Addresses:
        """Return what ``socket.getaddrinfo`` does; addresses are answered at once.

        Args:
            host: A name or an address.
            port: For the addresses.
            family: Of the addresses.
            kind: Of the sockets.
            canonical: Have the first address come with the name that the host was found by.

        Raises:
            OSError: The host can't be looked up; ``socket.gaierror`` if its name is to blame.
        """
        try:
            return _ask(host, port, family, kind, socket.AI_NUMERICHOST)
        except socket.gaierror:
            flags = socket.AI_CANONNAME if canonical else 0
            return await asyncio.wrap_future(self._start((host, port, family, kind, flags)))

    def _start(self, question: _Question) -> Future[Addresses]:
        """Return the look-up that is under way, or begin one."""
        future = self._asking.get(question)
        if future is not None:
            return future
        if len(self) >= self._max_threads - (self._reserved if question in self._long else 0):
            text = f"{len(self)} other names are being looked up, and have no answer"
            raise socket.gaierror(socket.EAI_AGAIN, text)
        future = Future()
        future.set_running_or_notify_cancel()  # a caller that is cancelled leaves it to the others
        name = f"look up {question[0]}"
        thread = Thread(target=self._run, args=(question, future), name=name, daemon=True)
        self._asking[question] = future
        try:
            thread.start()
        except RuntimeError as exc:
            del self._asking[question]
            raise socket.gaierror(socket.EAI_AGAIN, f"no thread to look it up in: {exc}") from exc
        return future

    def _run(self, question: _Question, future: Future[Addresses]) -> None:
        since_s = self._clock()
        try:
            found = _ask(*question)
        except BaseException as exc:  # noqa: BLE001 - nobody may wait for this question for good
            self._end(question, since_s)
            future.set_exception(exc)
        else:
            self._end(question, since_s)
            future.set_result(found)

    def _end(self, question: _Question, since_s: float) -> None:
        """Note that the look-up is over, and whether it took long."""
        if self._clock() - since_s < self._long_s:
            self._long.pop(question, None)
        elif len(self._long) < _MAX_LONG:
            self._long[question] = None
        del self._asking[question]


def _ask(host: str, port: int, family: int, kind: int, flags: int = 0) -> Addresses:
    try:
        return socket.getaddrinfo(host, port, family=family, type=kind, flags=flags)
    except ValueError as exc:  # UnicodeError is one; so is what a null byte in it raises
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from exc


resolve = LookUps().resolve
"""The one for the whole process."""
