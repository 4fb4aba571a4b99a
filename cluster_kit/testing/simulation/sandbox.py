"""Keeps simulated code away from real time, threads, sockets, name servers and unseeded randomness.

For the time of a simulation each such function is replaced by a guard, both in its own module and
wherever a package under test has imported it by name. A guard raises if the running event loop is a
simulated one, and passes the call on otherwise.

Two kinds of leak remain: C code that asks the system itself, such as ``datetime.now``, and
references kept elsewhere, as in a class attribute. These change the trace from run to run, which
``determinism`` detects.
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
from math import inf
from types import FrameType
from typing import Any

from cluster_kit.testing.virtual_time.loop import VirtualLoop

_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime")
_TIMES = (*_CLOCKS, *(f"{name}_ns" for name in _CLOCKS), "sleep")
_SOCKETS = (
    "getaddrinfo", "getnameinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr",
    "gethostname", "getfqdn", "create_connection", "create_server",
)  # fmt: skip
# the functions of random's own, unseeded generator; its classes are fine with a seed
_DRAWS = [name for name in random.__all__ if callable(getattr(random, name)) and name.islower()]
_SYSTEM = (
    "urandom", "getrandom", "fork", "forkpty", "posix_spawn", "posix_spawnp", "system", "_exit",
    "abort",
)  # fmt: skip
_GUARDED = (
    *((time, name) for name in _TIMES),
    *((socket, name) for name in _SOCKETS),
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
# these use the present time unless they get so many arguments
_NOW_UNLESS = {"gmtime": 1, "localtime": 1, "ctime": 1, "asctime": 1, "strftime": 2}
_LOGGING = "logging"  # stamps records with the time of day, which is never read


def packages_of(parts: Collection[object]) -> frozenset[str]:
    """Return the top-level packages of the classes of ``parts``, save cluster_kit and Python's."""
    modules = {kind.__module__.partition(".")[0] for part in parts for kind in type(part).__mro__}
    return frozenset(modules - sys.stdlib_module_names - {"cluster_kit"})


@contextmanager
def sandboxed(packages: Collection[str] = ()) -> Iterator[None]:
    """Guard the simulations that run in the block.

    Args:
        packages: In their modules, functions imported by name are guarded, too.
    """
    present = [(owner, name) for owner, name in _GUARDED if hasattr(owner, name)]
    guards = {(owner, name): _guard(owner, name) for owner, name in present}
    for name, count in _NOW_UNLESS.items():
        guards[time, name] = _guard(time, name, harmless_with=count)
    guards[random.Random, "seed"] = _guard_seed(random.Random.seed)
    before = [(owner, name, owner.__dict__[name], guard) for (owner, name), guard in guards.items()]
    before += list(_imported(packages, {id(value): guard for _, _, value, guard in before}))
    try:
        for owner, name, _, guard in before:
            setattr(owner, name, guard)
        yield
    finally:
        for owner, name, value, _ in before:
            setattr(owner, name, value)


def _imported(
    packages: Collection[str], guards: dict[int, Any]
) -> Iterator[tuple[Any, str, Any, Any]]:
    """Yield the guarded functions that modules of ``packages`` have imported by name."""
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] in packages:
            for name, value in list(vars(module).items()):
                if id(value) in guards:
                    yield module, name, value, guards[id(value)]


def _guard(owner: Any, name: str, *, harmless_with: float = inf) -> Any:
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
    """Raise if simulated code is the caller."""
    loop = asyncio._get_running_loop()
    if not isinstance(loop, VirtualLoop):
        return
    caller = sys._getframe(2)
    if caller.f_globals.get("__name__") != _LOGGING:
        place = _outside_python(caller)
        loop.leak(f"{what} at {place.f_code.co_filename}:{place.f_lineno}")


def _outside_python(frame: FrameType) -> FrameType:
    """Return the first caller outside the standard library, or ``frame`` if asyncio comes first."""
    asking: FrameType | None = frame
    while asking is not None:
        package = str(asking.f_globals.get("__name__")).partition(".")[0]
        if package not in sys.stdlib_module_names:
            return asking
        asking = None if package == "asyncio" else asking.f_back
    return frame
