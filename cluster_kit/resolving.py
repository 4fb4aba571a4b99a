"""Looks up host names as the system does: hosts file, name service switch, search domains and all.

``getaddrinfo`` blocks, can't be cancelled, and takes as long as resolv.conf allows if name servers
don't answer. In the few threads of an event loop's executor, names that hang would hold up all
others. So each look-up has a daemon thread of its own, which nothing waits for at exit. A second
look-up of the same name joins the first. Names that were slow the last time can't use up all
threads.
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

_MAX_SLOW = 4096  # names to remember because they were slow
_NO_ADDRESS = "correct the host, or give it an address in DNS or /etc/hosts"
_NO_ANSWER = "its name server doesn't answer; see /etc/resolv.conf, and whether it can be reached"


class LookUps:
    """The look-ups of all event loops of a process, which share its threads.

    Args:
        max_threads: How many may hang at once; more are a fault of the network, or an attack.
        reserved: How many of these are kept for names that were not slow the last time.
        slow_s: How many seconds make a look-up slow.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        max_threads: int = 256,
        reserved: int = 64,
        slow_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._max_threads = max_threads
        self._reserved = reserved
        self._slow_s = slow_s
        self._slow: dict[_Question, None] = {}
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
        """Return what ``socket.getaddrinfo`` does; an address needs no thread.

        Args:
            host: A name or an address.
            port: The port that the addresses get.
            family: The address family; 0 for any.
            kind: The type of socket.
            canonical: Whether the first address comes with the host's canonical name.

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
        if len(self) >= self._max_threads - (self._reserved if question in self._slow else 0):
            text = f"{len(self)} other names are being looked up, and have no answer"
            raise socket.gaierror(socket.EAI_AGAIN, text)
        future = Future()
        future.set_running_or_notify_cancel()  # a cancelled caller doesn't cancel it for others
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
        except BaseException as exc:  # noqa: BLE001 - otherwise its callers would wait forever
            self._end(question, since_s)
            future.set_exception(exc)
        else:
            self._end(question, since_s)
            future.set_result(found)

    def _end(self, question: _Question, since_s: float) -> None:
        """Note that the look-up is over, and whether it was slow."""
        if self._clock() - since_s < self._slow_s:
            self._slow.pop(question, None)
        elif len(self._slow) < _MAX_SLOW:
            self._slow[question] = None
        del self._asking[question]


def addresses_of(found: Addresses) -> list[str]:
    """Return the IP addresses that a look-up found, each once, in its order."""
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def cure_of(error: OSError) -> str:
    """Return what to do about a host that can't be looked up, or not in time."""
    is_silent = isinstance(error, TimeoutError) or error.errno == socket.EAI_AGAIN
    return _NO_ANSWER if is_silent else _NO_ADDRESS


def _ask(host: str, port: int, family: int, kind: int, flags: int = 0) -> Addresses:
    try:
        return socket.getaddrinfo(host, port, family=family, type=kind, flags=flags)
    except ValueError as exc:  # a UnicodeError, or a null byte in the host
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from exc


resolve = LookUps().resolve
"""Looks up a host for any event loop of this process; see ``LookUps.resolve``."""
