"""What is measured between two applications, whatever carries the messages."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from statistics import quantiles

WARM_UP = 200
QUESTIONS = 2000
SMALL_BYTES, SMALL = 100, 200_000
LARGE_BYTES, LARGE = 65_536, 4_000
LIMIT_S = 120.0
RESET, COUNT = b"reset", b"count"


class Counter:
    """The serving end: answers questions, and counts what comes one way."""

    def __init__(self) -> None:
        self._messages = 0
        self._first_s = self._last_s = 0.0

    def add(self) -> None:
        """Count one more message."""
        self._last_s = time.monotonic()
        if not self._messages:
            self._first_s = self._last_s
        self._messages += 1

    def answer(self, question: bytes) -> bytes:
        """Return the answer to a question: itself, unless it is about what was counted."""
        if question == RESET:
            self._messages = 0
        elif question == COUNT:
            return json.dumps([self._messages, self._last_s - self._first_s]).encode()
        return question


class Driver(ABC):
    """The driving end."""

    @abstractmethod
    def ask(self, data: bytes) -> bytes:
        """Send ``data``, and return the answer."""

    @abstractmethod
    def tell(self, data: bytes) -> None:
        """Send ``data`` one way, in order; wait while there is no room."""

    def told(self) -> None:  # noqa: B027 - most keep nothing back
        """Let out whatever was kept back so far."""


def measure(driver: Driver) -> Mapping[str, float]:
    """Return the results of all rounds."""
    p50_s, p99_s = _round_trips(driver)
    return {
        "ask_p50": p50_s,
        "ask_p99": p99_s,
        "small": _one_way(driver, SMALL_BYTES, SMALL),
        "large": _one_way(driver, LARGE_BYTES, LARGE) * LARGE_BYTES,
    }


def _round_trips(driver: Driver) -> tuple[float, float]:
    """Return the median and the 99th percentile of a question of 100 bytes and its answer."""
    question = b"x" * SMALL_BYTES
    times = []
    for i in range(WARM_UP + QUESTIONS):
        since_s = time.perf_counter()
        driver.ask(question)
        if i >= WARM_UP:
            times.append(time.perf_counter() - since_s)
    cuts = quantiles(times, n=100)
    return cuts[49], cuts[98]


def _one_way(driver: Driver, size: int, n: int) -> float:
    """Return how many messages of ``size`` bytes arrive per second; all must arrive."""
    data = b"x" * size
    driver.ask(RESET)
    for _ in range(n):
        driver.tell(data)
    driver.told()
    deadline_s = time.monotonic() + LIMIT_S
    while True:
        received, seconds = json.loads(driver.ask(COUNT))
        if received == n:
            return (n - 1) / seconds
        if time.monotonic() > deadline_s:
            raise SystemExit(
                f"{n - received} of {n} messages of {size} bytes did not arrive within {LIMIT_S:g} "
                "s"
            )
        time.sleep(0.01)
