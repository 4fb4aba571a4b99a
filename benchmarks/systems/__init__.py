"""The systems under test: how a node of each starts, and what the lines that it prints mean.

Every system has a module here with one class that follows ``System``. A node is one application
process with whatever processes it needs; it prints one line for each thing that its application is
told.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol


class Kind(Enum):
    """What an application learned."""

    READY = "ready"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Notice:
    """One line of a node's output; ``subject`` is the short name of the node that it is about."""

    kind: Kind
    subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Where a node goes: its number and address, its cluster's name and first node's address."""

    number: int
    host: str
    cluster: str
    first_host: str

    @property
    def name(self) -> str:
        """Short name, unique in the cluster."""
        return f"n{self.number}"


class System(Protocol):
    """How to run one node and read it."""

    name: str
    leave_signal: signal.Signals

    def prepare(self, folder: Path) -> None:
        """Write and compile what nodes need into ``folder``."""

    def daemon(self, host: str) -> Sequence[str] | None:
        """Return the command that must run once per host, if any; it is no part of a node."""

    def command(self, seat: Seat) -> Sequence[str]:
        """Return the command that becomes the node's application process."""

    def environment(self) -> Mapping[str, str]:
        """Return variables to add to the environment of nodes and daemons."""

    def notice(self, line: bytes) -> Notice | None:
        """Return what a line means, or ``None`` for one that means nothing here."""
