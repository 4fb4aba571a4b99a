"""Strategy ``hosts_file``: the nodes that a file lists now; it may be edited at any time.

A whole file is an explicit answer, so a node that is removed from it is gone. A file that can't be
read, or that may be half written, is a failed look-up and removes no node.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cluster_kit.abc import Discovery, Observation, Strategy
from cluster_kit.config.bounds import Bounds, faults_of_bounds
from cluster_kit.errors import raise_all
from cluster_kit.fault import Fault

if TYPE_CHECKING:
    from cluster_kit.diagnosis import Finding

MIN_INTERVAL_S = 0.05
MAX_INTERVAL_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostsFileStrategy(Strategy):
    """Vouches for the nodes in a file.

    It isn't a ``PollingStrategy``: an edit needs no confirmation, reading a file needs no back-off,
    and unchanged content is not reported again.

    Args:
        path: The file: one node a line, as ``name@host:port``, or ``host:port`` if the node
            introduces itself.
        interval_s: Seconds from one look at the file to the next.
    """

    path: Path
    interval_s: Annotated[float, Bounds(ge=MIN_INTERVAL_S, le=MAX_INTERVAL_S)] = 1.0

    def __post_init__(self) -> None:
        raise_all(_faults(self))

    def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Yield the list, and again whenever it has changed."""
        from cluster_kit.strategies.hosts_file.session import HostsFileSession

        return HostsFileSession(self.path, self.interval_s, ctx).observe()

    def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Read the file once: report faulty lines, nodes, and which hosts have an address."""
        from cluster_kit.strategies.hosts_file.diagnosis import diagnose

        return diagnose(self.path, ctx.local)


def _faults(options: HostsFileStrategy) -> Iterator[Fault]:
    try:
        named = b"\0" not in os.fsencode(options.path)
    except UnicodeEncodeError:
        named = False
    if not named:
        what = f"{str(options.path)!r:.80}: no file can have that name"
        yield Fault(("path",), what, "correct it")
    yield from faults_of_bounds(options)
