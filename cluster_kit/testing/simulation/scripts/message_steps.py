"""Steps in which applications talk to each other, or listen, or don't; and one in which an
application loses its worker.

In a script with any of these each node has an application with messages, which listens to ``TOPIC``
from the start and answers there. In any other script there are none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster_kit.fault import Fault
from cluster_kit.testing.simulation.scripts.step import ALL, OfNodes

TOPIC = "news"
WINDOW_MESSAGES = 100
WINDOW_BYTES = 1_000_000

_MOST_TIMES = 1_000_000
_MOST_BYTES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk(OfNodes):
    """A step of the applications of nodes. Skipped unless a node runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech(Talk):
    """Something that is said so many ``times``, each ``every_s`` seconds.

    Args:
        topic: Where.
        times: How often.
        every_s: From one to the next.
        bytes: How long each is, at least; the least is what it takes to tell one from another.
    """

    topic: str = TOPIC
    times: int = 1
    every_s: float = 0.01
    bytes: int = 20

    @property
    def lasts_s(self) -> float:
        """From the first to the last, in seconds."""
        return (self.times - 1) * self.every_s

    def own_faults(self) -> Iterator[Fault]:
        """Yield what is too much."""
        if not 1 <= self.times <= _MOST_TIMES:
            yield Fault(("times",), f"{self.times}: expected 1 to {_MOST_TIMES}")
        if not 0 <= self.bytes <= _MOST_BYTES:
            yield Fault(("bytes",), f"{self.bytes}: expected 0 to {_MOST_BYTES}")
        yield from _faults_of_topic(self.topic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish(Speech):
    """Nodes publish."""

    verb = "publish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Send(Speech):
    """Nodes send something to each of ``to``, or of those who are linked, and wait for room without
    a limit.
    """

    verb = "send"

    to: tuple[int, ...] = ALL

    @property
    def named(self) -> frozenset[int]:
        """Who sends, and to whom."""
        return frozenset((*self.nodes, *self.to))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Speech):
    """Nodes ask each of ``to``, or of those who are linked, and wait ``timeout_s`` seconds for an
    answer.
    """

    verb = "ask"

    to: tuple[int, ...] = ALL
    timeout_s: float = 5.0

    @property
    def named(self) -> frozenset[int]:
        """Who asks, and whom."""
        return frozenset((*self.nodes, *self.to))

    @property
    def lasts_s(self) -> float:
        """From the first to the end of the last, in seconds."""
        return (self.times - 1) * self.every_s + self.timeout_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen(Talk):
    """Nodes listen to ``topic`` from now on, with room for so many ``messages`` and ``bytes`` of
    each sender.
    """

    verb = "listen"

    topic: str = TOPIC
    messages: int = WINDOW_MESSAGES
    bytes: int = WINDOW_BYTES

    def own_faults(self) -> Iterator[Fault]:
        """Yield that there is no room for anything."""
        if self.messages < 1:
            yield Fault(("messages",), f"{self.messages}: expected at least 1")
        if self.bytes < 1:
            yield Fault(("bytes",), f"{self.bytes}: expected at least 1")
        yield from _faults_of_topic(self.topic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlisten(Talk):
    """Nodes listen to ``topic`` no longer."""

    verb = "unlisten"

    topic: str = TOPIC

    def own_faults(self) -> Iterator[Fault]:
        """Yield that there is no such topic."""
        yield from _faults_of_topic(self.topic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall(Talk):
    """Nodes read nothing for ``for_s`` seconds."""

    verb = "stall"

    for_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Talk):
    """Nodes read each message ``late_s`` seconds after it has come."""

    verb = "read"

    late_s: float = 0.0
    for_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KillWorker(OfNodes):
    """The worker of a node is killed and replaced at once; its application goes on. Skipped unless
    a node runs.
    """

    verb = "kill_worker"


def _faults_of_topic(topic: str) -> Iterator[Fault]:
    if not 0 < len(topic.encode(errors="replace")) <= 255:
        yield Fault(("topic",), f"{topic!r:.80}: expected a name of 1 to 255 bytes")
