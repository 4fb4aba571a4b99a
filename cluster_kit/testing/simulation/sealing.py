"""While a simulation runs, its nodes can't get at real time, threads, name servers or randomness that no seed rules.

What they call is replaced in its module, and raises as long as one of their event loops runs. Code that took a function out of
its module before escapes, as does C code; the hash of the trace, which is then another each time, gives such a leak away.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from cluster_kit.testing.virtual_time.loop import VirtualLoop

_TIMES = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep")
_LOOKUPS = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "getfqdn", "create_connection", "create_server")
_DRAWS = tuple(name for name in random.__all__ if callable(getattr(random, name)) and name.islower())  # no classes
_LOGGING = "logging"  # a record has the time of day, which nobody reads


@contextmanager
def sealed() -> Iterator[None]:
    """Seal the block's simulations off; everything is put back at the end."""
    holes: list[tuple[Any, str]] = [(time, name) for name in _TIMES]
    holes += [(socket, name) for name in _LOOKUPS] + [(socket.socket, "__init__")]
    holes += [(random, name) for name in _DRAWS]
    holes += [(os, "urandom"), (threading.Thread, "start")]
    before = [(owner, name, owner.__dict__[name]) for owner, name in holes]
    seed = random.Random.seed
    try:
        for owner, name, value in before:
            setattr(owner, name, _guard(value, f"{getattr(owner, '__qualname__', owner.__name__)}.{name}"))
        random.Random.seed = _guard_seed(seed)  # type: ignore[method-assign]
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)
        random.Random.seed = seed  # type: ignore[method-assign]


def _guard(real: Callable[..., Any], name: str) -> Any:
    @wraps(real, updated=())
    def guarded(*args: Any, **kwargs: Any) -> Any:
        _refuse(f"{name}()")
        return real(*args, **kwargs)

    return guarded


def _guard_seed(real: Callable[..., None]) -> Any:
    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        if a is None:
            _refuse("random.Random without a seed")
        real(self, a, version)

    return seed


def _refuse(what: str) -> None:
    """Raise if simulated code asks."""
    loop = asyncio._get_running_loop()
    if not isinstance(loop, VirtualLoop):
        return
    caller = sys._getframe(2)
    while caller.f_globals.get("__name__") == "random" and caller.f_back is not None:
        caller = caller.f_back
    if caller.f_globals.get("__name__") != _LOGGING:
        loop.leak(f"{what} at {caller.f_code.co_filename}:{caller.f_lineno}")
