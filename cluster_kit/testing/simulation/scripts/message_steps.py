"""Steps in which applications send and receive messages, and one that kills their worker.

In a script with any of these, each node has an application that listens to ``TOPIC`` from the start
and answers questions there. In any other script there are no applications.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster_kit.fault import Fault
from cluster_kit.testing.simulation.scripts.step import ALL, NodeStep

TOPIC = "news"
WINDOW_MESSAGES = 100
WINDOW_BYTES = 1_000_000

_MOST_TIMES = 1_000_000
_MOST_BYTES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageStep(NodeStep):
    """A step that the applications of nodes carry out. Skipped unless a node runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingStep(MessageStep):
    """A message that is sent several times.

    Args:
        topic: The topic.
        times: How often.
        every_s: Seconds from one message to the next.
        bytes: The length of each, or the length of a serial number if that is more.
    """

    topic: str = TOPIC
    times: int = 1
    every_s: float = 0.01
    bytes: int = 20

    @property
    def lasts_s(self) -> float:
        """Seconds from the first to the last."""
        return (self.times - 1) * self.every_s

    def own_faults(self) -> Iterator[Fault]:
        """Yield what is out of bounds."""
        if not 1 <= self.times <= _MOST_TIMES:
            yield Fault(("times",), f"{self.times}: expected 1 to {_MOST_TIMES}")
        if not 0 <= self.bytes <= _MOST_BYTES:
            yield Fault(("bytes",), f"{self.bytes}: expected 0 to {_MOST_BYTES}")
        yield from _faults_of_topic(self.topic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish(SendingStep):
    """Nodes publish."""

    verb = "publish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Send(SendingStep):
    """Nodes send a message to each of ``to``, or all linked nodes, and wait for room if need be."""

    verb = "send"

    to: tuple[int, ...] = ALL


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(SendingStep):
    """Nodes ask each of ``to``, or all linked nodes, and wait ``timeout_s`` for an answer."""

    verb = "ask"

    to: tuple[int, ...] = ALL
    timeout_s: float = 5.0

    @property
    def lasts_s(self) -> float:
        """Seconds from the first to the end of the last."""
        return (self.times - 1) * self.every_s + self.timeout_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen(MessageStep):
    """Nodes listen to ``topic``, with room for ``messages`` and ``bytes`` of each sender."""

    verb = "listen"

    topic: str = TOPIC
    messages: int = WINDOW_MESSAGES
    bytes: int = WINDOW_BYTES

    def own_faults(self) -> Iterator[Fault]:
        """Yield that there is no room for any message."""
        if self.messages < 1:
            yield Fault(("messages",), f"{self.messages}: expected at least 1")
        if self.bytes < 1:
            yield Fault(("bytes",), f"{self.bytes}: expected at least 1")
        yield from _faults_of_topic(self.topic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlisten(MessageStep):
    """Nodes stop listening to ``topic``."""

    verb = "unlisten"

    topic: str = TOPIC

    def own_faults(self) -> Iterator[Fault]:
        """Yield that the topic is invalid."""
        yield from _faults_of_topic(self.topic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall(MessageStep):
    """Nodes read nothing for ``for_s`` seconds."""

    verb = "stall"

    for_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(MessageStep):
    """Nodes read messages ``late_s`` seconds after they have arrived."""

    verb = "read"

    late_s: float = 0.0
    for_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KillWorker(NodeStep):
    """The worker of a node is killed and replaced at once, under the same application.

    Skipped unless a node runs.
    """

    verb = "kill_worker"


def _faults_of_topic(topic: str) -> Iterator[Fault]:
    if not 0 < len(topic.encode(errors="replace")) <= 255:
        yield Fault(("topic",), f"{topic!r:.80}: expected a name of 1 to 255 bytes")
