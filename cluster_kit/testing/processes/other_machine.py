"""Pretends, to the Python code of this process, to be another machine at a later time.

Code that depends on the clock or on the host name gives other answers there.
"""

from __future__ import annotations

import datetime
import platform
import socket
import time
from collections.abc import Callable
from typing import Any

# changes every part of a date and of a time
_LATER = datetime.timedelta(days=101, hours=7, minutes=13, seconds=17)
_HOST = "elsewhere"
_NANOSECONDS = 1_000_000_000


def move() -> None:
    """Replace clocks and host names for good; call it before other modules import them."""
    later_s = int(_LATER.total_seconds())
    for name in ("time", "monotonic"):
        _put(time, name, _added(getattr(time, name), later_s))
        _put(time, f"{name}_ns", _added(getattr(time, f"{name}_ns"), later_s * _NANOSECONDS))
    for name in ("gmtime", "localtime"):
        _put(time, name, _with_default(getattr(time, name)))
    _put(datetime, "datetime", _DateTime)
    _put(datetime, "date", _Date)
    for module, name in ((socket, "gethostname"), (socket, "getfqdn"), (platform, "node")):
        _put(module, name, lambda *_: _HOST)


class _DateTime(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _DateTime:
        return super().now(tz) + _LATER

    @classmethod
    def utcnow(cls) -> _DateTime:
        return super().utcnow() + _LATER


class _Date(datetime.date):
    @classmethod
    def today(cls) -> _Date:
        return super().today() + _LATER


def _put(module: object, name: str, fake: object) -> None:
    setattr(module, name, fake)


def _added(clock: Callable[[], Any], later: float) -> Callable[[], Any]:
    return lambda: clock() + later


def _with_default(clock: Callable[..., Any]) -> Callable[..., Any]:
    return lambda at_s=None: clock(time.time() if at_s is None else at_s)
