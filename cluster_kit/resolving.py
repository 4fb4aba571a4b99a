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
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Thread
from typing import Any

MAX_THREADS = 256  # if so many names hang at once, the network is broken or under attack
RESERVED = 64  # of them, for names that did not take long the last time
LONG_S = 2.0
_MAX_LONG = 4096  # names that took long, to remember

Addresses = Sequence[tuple[int, int, int, str, tuple[Any, ...]]]
_Question = tuple[str, int, int, int, int]

_long: dict[_Question, None] = {}
_asking: dict[_Question, Future[Addresses]] = {}  # of all event loops of this process


async def resolve(
    host: str,
    port: int = 0,
    *,
    family: int = 0,
    kind: int = socket.SOCK_STREAM,
    canonical: bool = False,
) -> Addresses:
    """Return what ``socket.getaddrinfo`` does; addresses that are given as such are answered at
    once.

    Args:
        host: A name or an address.
        port: For the addresses.
        family: Of the addresses.
        kind: Of the sockets.
        canonical: Have the first address come with the name that the host was found by.

    Raises:
        OSError: The host can't be looked up; ``socket.gaierror`` where its name is to blame.
    """
    try:
        return _ask(host, port, family, kind, socket.AI_NUMERICHOST)
    except socket.gaierror:
        flags = socket.AI_CANONNAME if canonical else 0
        return await asyncio.wrap_future(_start((host, port, family, kind, flags)))


def _start(question: _Question) -> Future[Addresses]:
    """Return the look-up that is under way, or begin one."""
    future = _asking.get(question)
    if future is not None:
        return future
    if len(_asking) >= MAX_THREADS - (RESERVED if question in _long else 0):
        text = f"{len(_asking)} other names are being looked up, and have no answer"
        raise socket.gaierror(socket.EAI_AGAIN, text)
    future = Future()
    future.set_running_or_notify_cancel()  # cancelling one wait must not end the others
    name = f"look up {question[0]}"
    thread = Thread(target=_run, args=(question, future), name=name, daemon=True)
    _asking[question] = future
    try:
        thread.start()
    except RuntimeError as exc:
        del _asking[question]
        raise socket.gaierror(socket.EAI_AGAIN, f"no thread to look it up in: {exc}") from exc
    return future


def _run(question: _Question, future: Future[Addresses]) -> None:
    since_s = time.monotonic()
    try:
        found = _ask(*question)
    except BaseException as exc:  # noqa: BLE001 - or whoever asked would wait for ever
        _end(question, since_s)
        future.set_exception(exc)
    else:
        _end(question, since_s)
        future.set_result(found)


def _end(question: _Question, since_s: float) -> None:
    """Note that the look-up is over, and whether it took long."""
    if time.monotonic() - since_s < LONG_S:
        _long.pop(question, None)
    elif len(_long) < _MAX_LONG:
        _long[question] = None
    del _asking[question]


def _ask(host: str, port: int, family: int, kind: int, flags: int = 0) -> Addresses:
    try:
        return socket.getaddrinfo(host, port, family=family, type=kind, flags=flags)
    except ValueError as exc:  # UnicodeError is one; so is what a null byte in it raises
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from exc
