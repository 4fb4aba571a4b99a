"""The options that the EPMD strategies share, and the questions that follow from them.

The application imports this module too, so it loads neither an event loop nor another package.
"""

from __future__ import annotations

import os
import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from cluster_kit.abc import Strategy
from cluster_kit.config.bounds import Bounds, faults_of_bounds
from cluster_kit.errors import ConfigError, faults_of, raise_all
from cluster_kit.fault import Fault
from cluster_kit.node import Node

PORT = 4369  # registered with IANA for EPMD
PORT_VARIABLE = "ERL_EPMD_PORT"
LOOPBACK = "127.0.0.1"  # EPMD always listens there, too, and only its own host can register
MIN_S = 0.05
MAX_S = 86_400.0

_SECONDS = Bounds(ge=MIN_S, le=MAX_S)
_EPMD_PORT = Bounds(ge=1, le=65535, cure=f"give EPMD's own port, or leave it out for {PORT}")


@dataclass(frozen=True, slots=True)
class EpmdQuestion:
    """A question to one EPMD.

    Args:
        epmd: The host whose EPMD is asked.
        host: The part of its nodes' names after the ``@``.
        names: The part before the ``@`` of those wanted; ``None`` for every name.
    """

    epmd: str
    host: str
    names: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpmdOptions(Strategy):
    """Asks EPMDs for nodes, and registers this node at the one of its own host.

    Args:
        epmd_port: Port of every EPMD; by default that of the environment variable ERL_EPMD_PORT,
            else 4369.
        interval_s: Seconds between two questions to an EPMD.
        deadline_s: Seconds that an EPMD may take to answer.
        gone_after_s: For how many seconds answers must lack a name before its node is gone; a
            restarted EPMD knows nobody at first.
        register: Whether this node makes itself known at EPMD.
    """

    epmd_port: Annotated[int, _EPMD_PORT] | None = None
    interval_s: Annotated[float, _SECONDS] = 5.0
    deadline_s: Annotated[float, _SECONDS] = 5.0
    gone_after_s: Annotated[float, Bounds(ge=0, le=MAX_S)] = 10.0
    register: bool = True

    def __post_init__(self) -> None:
        raise_all(self.faults())

    def faults(self) -> Iterator[Fault]:
        """Check the options."""
        yield from faults_of_bounds(self)
        yield from faults_of(self.port)

    @abstractmethod
    def questions(self, local: Node) -> tuple[EpmdQuestion, ...]:
        """Return the questions to ask; called before each round.

        Raises:
            DiscoveryError: They are unknown now; those of the last round are asked.
        """

    def port(self) -> int:
        """Return the port of every EPMD."""
        if self.epmd_port is not None:
            return self.epmd_port
        given = os.environ.get(PORT_VARIABLE, str(PORT))
        if not (re.fullmatch("[0-9]{1,5}", given) and 1 <= int(given) <= 65535):
            what = f"{PORT_VARIABLE} {given[:80]!r}: expected a port from 1 to 65535"
            raise ConfigError(Fault((), what, "correct it, or set epmd_port"))
        return int(given)
