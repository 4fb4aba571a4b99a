"""What ``cluster-kit watch`` shows: how everybody is doing, and for a while who is no longer there. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from cluster_kit.cli.asking import Asked, silence
from cluster_kit.cli.overview import duration, overview, summary
from cluster_kit.cli.printable import printable

GONE_S = 60.0  # for so long those are shown that have ended


class Scene:
    """Remembers who answered before."""

    def __init__(self) -> None:
        self._there: dict[int, str] = {}
        self._ended: dict[int, tuple[str, float]] = {}

    def lines(self, asked: Asked, now_s: float) -> list[str]:
        """Return a line for all together, and then what there is to tell, with an empty line between two supervisors."""
        self._account(asked, now_s)
        parts = [overview(told) for told in asked.told]
        parts += [printable(silence(pid, self._there.get(pid))) for pid in asked.mute]
        parts += self._departures(now_s)
        return [summary(asked.told), "", *"\n\n".join(parts).split("\n")]

    def _account(self, asked: Asked, now_s: float) -> None:
        there = {each["pid"]: each["node"] for each in asked.told}
        for pid in self._there.keys() - there.keys() - set(asked.mute):
            self._ended[pid] = (self._there.pop(pid), now_s)
        self._there |= there
        self._ended = {pid: each for pid, each in self._ended.items() if pid not in there and now_s - each[1] < GONE_S}

    def _departures(self, now_s: float) -> Iterator[str]:
        for pid, (node, at_s) in self._ended.items():
            yield printable(f"{node}: process {pid}, gone {duration(now_s - at_s)} ago: it has ended")
