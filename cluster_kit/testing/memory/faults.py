"""Faults between two hosts, as frozen values, and their combined effect on a path. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


def _check(condition: bool, text: str) -> None:
    if not condition:
        raise ValueError(text)


def _check_rate(rate: float) -> None:
    _check(0 <= rate <= 1, f"rate: is {rate}; write a fraction from 0 to 1")


@dataclass(frozen=True, slots=True)
class Drop:
    """Lose packets; streams retransmit theirs.

    Attributes:
        rate: The fraction that is lost, from 0 to 1.
    """

    rate: float

    def __post_init__(self) -> None:
        _check_rate(self.rate)


@dataclass(frozen=True, slots=True)
class Delay:
    """Take longer. Packets stay in order, even with jitter, because they queue.

    Attributes:
        seconds: Added to the latency.
        jitter_s: The most that is added on top, at random for each packet.
    """

    seconds: float
    jitter_s: float = 0.0

    def __post_init__(self) -> None:
        _check(self.seconds >= 0, f"seconds: are {self.seconds}; write 0 or more")
        _check(self.jitter_s >= 0, f"jitter_s: is {self.jitter_s}; write 0 or more")


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Deliver datagrams twice; streams don't notice.

    Attributes:
        rate: The fraction that is duplicated, from 0 to 1.
    """

    rate: float

    def __post_init__(self) -> None:
        _check_rate(self.rate)


@dataclass(frozen=True, slots=True)
class Reorder:
    """Deliver datagrams out of order; streams don't notice.

    Attributes:
        rate: The fraction that falls behind, from 0 to 1.
        by_s: How far.
    """

    rate: float
    by_s: float = 0.05

    def __post_init__(self) -> None:
        _check_rate(self.rate)
        _check(self.by_s >= 0, f"by_s: is {self.by_s}; write 0 or more")


@dataclass(frozen=True, slots=True)
class Cut:
    """Block all packets. Streams stay open, and TCP retransmits until the end of the cut."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse new streams, like a host without a listener."""


@dataclass(frozen=True, slots=True)
class BlackHole:
    """Drop the packets that open streams, as some firewalls do; all else passes."""


@dataclass(frozen=True, slots=True)
class SlowReader:
    """Make the target read its streams slowly, so that data piles up at the sender.

    Attributes:
        bytes_per_s: How fast the target reads each stream.
    """

    bytes_per_s: float

    def __post_init__(self) -> None:
        _check(
            self.bytes_per_s > 0,
            f"bytes_per_s: is {self.bytes_per_s}; write more than 0, or use Cut",
        )


Fault = Drop | Delay | Duplicate | Reorder | Cut | Refuse | BlackHole | SlowReader


class Path(NamedTuple):
    """The path from one host to another, with the combined effect of all its faults.

    Attributes:
        is_steady: Whether what arrives does so once and after a fixed time.
    """

    latency_s: float
    is_cut: bool = False
    drop: float = 0.0
    jitter_s: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_by_s: float = 0.0
    refuses: bool = False
    is_black_hole: bool = False
    bytes_per_s: float | None = None
    is_steady: bool = True


def path_with(latency_s: float, faults: Iterable[Fault]) -> Path:
    """Return a path of this latency with these faults."""
    path = Path(latency_s)
    for fault in faults:
        match fault:
            case Drop(rate):
                path = path._replace(drop=1 - (1 - path.drop) * (1 - rate))
            case Delay(seconds, jitter_s):
                path = path._replace(
                    latency_s=path.latency_s + seconds, jitter_s=path.jitter_s + jitter_s
                )
            case Duplicate(rate):
                path = path._replace(duplicate=max(path.duplicate, rate))
            case Reorder(rate, by_s):
                path = path._replace(
                    reorder=max(path.reorder, rate), reorder_by_s=max(path.reorder_by_s, by_s)
                )
            case Cut():
                path = path._replace(is_cut=True)
            case Refuse():
                path = path._replace(refuses=True)
            case BlackHole():
                path = path._replace(is_black_hole=True)
            case SlowReader(rate):
                path = path._replace(bytes_per_s=min(path.bytes_per_s or rate, rate))
    return path._replace(is_steady=not (path.jitter_s or path.duplicate or path.reorder))
