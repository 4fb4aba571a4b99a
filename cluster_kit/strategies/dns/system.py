"""Asks the system's own resolver: hosts file, name service switch, search domains and all, as ``getaddrinfo`` does.

It blocks, it can't be cancelled, and with name servers that don't answer it does so for as long as resolv.conf grants it. So
each question has a thread of its own that nobody waits for at the end: not the event loop, not the interpreter. While one
hangs, nobody asks the same question in a second thread.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import Future
from threading import Thread

from cluster_kit.strategies.dns.replies import Kind, Reply, Status

PATIENCE_S = 11.0  # glibc gives up on a name server after 5 s: enough to hear the third of three
WHERE = "the system's resolver"

_Question = tuple[str, Kind]

_FAMILY = {Kind.A: socket.AF_INET, Kind.AAAA: socket.AF_INET6}
_NO_DATA = {getattr(socket, name, None) for name in ("EAI_NODATA", "EAI_ADDRFAMILY")}  # not every C library has them
_asking: dict[_Question, Future[Reply]] = {}  # by all runs in this process: threads are the process's


class SystemResolver:
    """Asks for A and AAAA; one family at a time, since of both at once it doesn't tell that one has failed."""

    async def ask(self, name: str, kind: Kind) -> Reply:
        """Return what the system knows of ``name``."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await asyncio.wrap_future(_start((name, kind)))
        except TimeoutError:
            return Reply(status=Status.FAILED, said=f"{WHERE} does not answer")


def _start(question: _Question) -> Future[Reply]:
    """Return the look-up that is under way, or begin one."""
    future = _asking.get(question)
    if future is None:
        future = _asking[question] = Future()
        future.set_running_or_notify_cancel()  # who is cancelled while it waits leaves it to the others
        Thread(target=_run, args=(question, future), name=f"look up {question[0]}", daemon=True).start()
    return future


def _run(question: _Question, future: Future[Reply]) -> None:
    try:
        reply = _look_up(*question)
    finally:
        del _asking[question]
    future.set_result(reply)


def _look_up(name: str, kind: Kind) -> Reply:
    try:
        found = socket.getaddrinfo(name, None, family=_FAMILY[kind], type=socket.SOCK_STREAM)
    except OSError as exc:
        return _failure(exc, kind)
    return Reply(status=Status.FOUND, addresses=tuple(sorted({str(sockaddr[0]) for *_, sockaddr in found})))


def _failure(error: OSError, kind: Kind) -> Reply:
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME:
        return Reply(status=Status.NO_NAME, said="there is no such name")
    if isinstance(error, socket.gaierror) and error.errno in _NO_DATA:
        return Reply(status=Status.NO_DATA, said=f"it has no {kind} records")
    return Reply(status=Status.FAILED, said=f"{WHERE} says: {(error.strerror or str(error)).lower()}")
