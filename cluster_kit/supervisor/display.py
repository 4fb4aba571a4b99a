"""How a supervisor shows itself: in one line as ``repr``, and as a table in notebooks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cluster_kit.diagnosis import listed
from cluster_kit.node import Node
from cluster_kit.pipe.messages import Inspected
from cluster_kit.supervisor.status import TopologyStatus

if TYPE_CHECKING:
    from cluster_kit.supervisor.bus import EventBus
    from cluster_kit.supervisor.loop import SupervisingLoop

_MAX_NAMED = 20  # nodes in one cell
_HEADINGS = ("topology", "state", "address", "linked", "known", "linked nodes", "last error")


class Displayed:
    """The display methods of ``Supervisor``. They query no worker, so they never wait for one."""

    if TYPE_CHECKING:
        _bus: EventBus
        _loop: SupervisingLoop | None
        _local: Node
        _pid: int

    def __repr__(self) -> str:
        return f"<{self._title(type(self).__name__)}>"

    def _repr_html_(self) -> str:
        """Return a table of the topologies, which notebooks show."""
        return as_table(self._title(type(self).__name__), list(self._status_now().values()))

    def _title(self, kind: str) -> str:
        if not hasattr(self, "_pid"):  # a traceback that shows variables shows this one, too
            return f"{kind}, which could not be made"
        if os.getpid() != self._pid:
            state = f"it belongs to process {self._pid}"
        elif self._loop is None:
            state = "not started"
        else:
            states = (f"{name} {each.state}" for name, each in self._status_now().items())
            state = ", ".join(states)
        return f"{kind} {self._local}: {state}"

    def _status_now(self) -> Mapping[str, TopologyStatus]:
        """Return the status as far as the workers need not be asked; empty before ``start``."""
        if self._loop is None or os.getpid() != self._pid:
            return {}
        with self._bus.lock:
            return {name: each.status(Inspected()) for name, each in self._loop.workers.items()}


def as_table(title: str, statuses: Sequence[TopologyStatus]) -> str:
    """Return HTML with one row per topology, in which everything is escaped."""
    from html import escape  # few programs need it

    def row(tag: str, values: Sequence[object]) -> str:
        cells = "".join(f"<{tag}>{escape(str(value))}</{tag}>" for value in values)
        return f"<tr>{cells}</tr>"

    rows = "".join(row("td", _values(each)) for each in statuses)
    return f"<table><caption>{escape(title)}</caption>{row('th', _HEADINGS)}{rows}</table>"


def _values(status: TopologyStatus) -> Sequence[object]:
    return (
        status.name,
        status.state,
        status.address or "",
        len(status.links),
        len(status.known),
        listed([link.node for link in status.links], _MAX_NAMED),
        status.last_error or "",
    )
