"""Another machine, where it is later, as far as Python code of this process can tell.

Whoever decides by the clock or by the name of the host decides otherwise there.
"""

from __future__ import annotations

import datetime
import platform
import socket
import time
from collections.abc import Callable
from typing import Any

# every part of a date and of a time differs
_LATER = datetime.timedelta(days=101, hours=7, minutes=13, seconds=17)
_HOST = "elsewhere"
_NANOSECONDS = 1_000_000_000


def move() -> None:
    """Go there for good, before anybody takes a function out of its module."""
    for name in ("time", "monotonic"):
        _put(time, name, _added(getattr(time, name), _LATER.total_seconds()))
        _put(
            time,
            f"{name}_ns",
            _added(getattr(time, f"{name}_ns"), int(_LATER.total_seconds()) * _NANOSECONDS),
        )
    for name in ("gmtime", "localtime"):
        _put(time, name, _told_now(getattr(time, name)))
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


def _told_now(clock: Callable[..., Any]) -> Callable[..., Any]:
    return lambda at_s=None: clock(time.time() if at_s is None else at_s)
