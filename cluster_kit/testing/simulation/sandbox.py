"""While a simulation runs, its nodes can't get at real time, threads, name servers or randomness
that no seed rules.

What they call is replaced in its module, and in those of the packages under test that have taken it
out of there, and raises as long as one of their event loops runs. C code escapes, such as
``datetime.now``, and so does who keeps a function elsewhere: the trace, which is then another each
time, gives such a leak away.
"""

from __future__ import annotations

import _thread
import asyncio
import os
import random
import select
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import wraps
from types import FrameType
from typing import Any

from cluster_kit.testing.virtual_time.loop import VirtualLoop

_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime")
_TIMES = (*_CLOCKS, *(f"{name}_ns" for name in _CLOCKS), "sleep")
_LOOKUPS = (
    "getaddrinfo",
    "getnameinfo",
    "gethostbyname",
    "gethostbyname_ex",
    "gethostbyaddr",
    "gethostname",
    "getfqdn",
)
_SOCKETS = ("create_connection", "create_server")
# no classes
_DRAWS = tuple(
    name for name in random.__all__ if callable(getattr(random, name)) and name.islower()
)
_SYSTEM = (
    "urandom",
    "getrandom",
    "fork",
    "forkpty",
    "posix_spawn",
    "posix_spawnp",
    "system",
    "_exit",
    "abort",
)
_HOLES = (
    *((time, name) for name in _TIMES),
    *((socket, name) for name in (*_LOOKUPS, *_SOCKETS)),
    (socket.socket, "__init__"),
    (select, "select"),
    *((random, name) for name in (*_DRAWS, "_urandom")),
    (uuid, "uuid1"),
    *((os, name) for name in _SYSTEM),
    (subprocess.Popen, "__init__"),
    (_thread, "start_new_thread"),
    (threading.Thread, "start"),
    (threading.Condition, "wait"),
)
# with so many arguments it is not about now
_SINCE = {"gmtime": 1, "localtime": 1, "ctime": 1, "asctime": 1, "strftime": 2}
_LOGGING = "logging"  # a record has the time of day, which nobody reads


def packages_of(parts: Collection[object]) -> frozenset[str]:
    """Return the packages, or single modules, that the classes of ``parts`` come from; none of
    ours, nor of Python's.
    """
    modules = {kind.__module__.partition(".")[0] for part in parts for kind in type(part).__mro__}
    return frozenset(modules - sys.stdlib_module_names - {"cluster_kit"})


@contextmanager
def sealed(packages: Collection[str] = ()) -> Iterator[None]:
    """Seal the block's simulations off; everything is put back at the end.

    Args:
        packages: In their modules, what they have taken out of its own module is replaced as well.
    """
    guards = {(owner, name): _guard(owner, name) for owner, name in _HOLES if hasattr(owner, name)}
    guards |= {
        (time, name): _guard(time, name, harmless_with=count) for name, count in _SINCE.items()
    }
    guards[random.Random, "seed"] = _guard_seed(random.Random.seed)
    before = [(owner, name, owner.__dict__[name], guard) for (owner, name), guard in guards.items()]
    before += list(_taken(packages, {id(value): guard for _, _, value, guard in before}))
    try:
        for owner, name, _, guard in before:
            setattr(owner, name, guard)
        yield
    finally:
        for owner, name, value, _ in before:
            setattr(owner, name, value)


def _taken(
    packages: Collection[str], guards: dict[int, Any]
) -> Iterator[tuple[Any, str, Any, Any]]:
    """Yield what the modules of ``packages`` have imported by its name."""
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] in packages:
            for name, value in list(vars(module).items()):
                if id(value) in guards:
                    yield module, name, value, guards[id(value)]


def _guard(owner: Any, name: str, *, harmless_with: float = float("inf")) -> Any:
    real = owner.__dict__[name]
    label = f"{getattr(owner, '__qualname__', owner.__name__)}.{name}"

    @wraps(real, updated=())
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if len(args) < harmless_with or args[-1] is None:
            _refuse(f"{label}()")
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
    if caller.f_globals.get("__name__") != _LOGGING:
        place = _outside_python(caller)
        loop.leak(f"{what} at {place.f_code.co_filename}:{place.f_lineno}")


def _outside_python(frame: FrameType) -> FrameType:
    """Return who asked Python's own modules; asyncio calls everybody."""
    asking: FrameType | None = frame
    while asking is not None:
        package = str(asking.f_globals.get("__name__")).partition(".")[0]
        if package not in sys.stdlib_module_names:
            return asking
        asking = None if package == "asyncio" else asking.f_back
    return frame
