"""Asks the supervisors of this user how they are doing, for ``status`` and ``watch``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster_kit.supervisor.control_files import Wanted

Answer = Mapping[str, Any]

_OTHERS_S = 1.0  # for those that are asked only to say that they are there


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking.

    Attributes:
        told: The answers, by name.
        mute: Process ids of those that did not answer in time.
        missing: Names of those asked for from which no answer came.
    """

    told: tuple[Answer, ...]
    mute: tuple[int, ...]
    missing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether whoever was asked for has answered, and there was somebody."""
        return bool(self.told) and not self.missing


def those(nodes: Iterable[str], cluster: str | None) -> Wanted:
    """Return whom to ask for ``nodes``, however their hosts are spelt, and ``cluster``."""
    from cluster_kit.node import canonical_key
    from cluster_kit.supervisor.control_files import Wanted

    return Wanted(names=tuple(map(canonical_key, nodes)), cluster=cluster)


def ask(wanted: Wanted, within_s: float | None = None) -> Asked:
    """Ask those ``wanted``, and nobody else; each has ``within_s`` seconds to answer."""
    from cluster_kit.supervisor.control import ASK_S, ask_all
    from cluster_kit.supervisor.control_files import is_called

    mute: list[int] = []
    told = sorted(ask_all(mute, wanted, within_s or ASK_S), key=lambda each: (each["node"], each["pid"]))
    missing = [name for name in wanted.names if not any(is_called(each, name) for each in told)]
    return Asked(tuple(told), tuple(sorted(mute)), tuple(missing))


def silence(pid: int, node: str | None = None) -> str:
    """Return what there is to say of a process that does not answer, and was ``node`` when it did."""
    return f"{f'{node}: ' if node else ''}process {pid} does not answer: it hangs, or is stopped"


def why_missing(asked: Asked, wanted: Wanted) -> str:
    """Return why somebody who was asked for is not there, where nobody was mute."""
    others = _others()
    if not others:
        return (
            "no supervisor of yours runs on this machine, or none tells of itself: start one with 'cluster-kit run', "
            f"or make it with Supervisor(..., control=True){_no_folder()}"
        )
    where = f" in cluster {wanted.cluster!r}" if wanted.cluster is not None else ""
    who = f"is {' or '.join(map(repr, asked.missing))}{where}" if asked.missing else f"is{where}"
    return f"no supervisor of yours {who}; there are: {', '.join(others)}"


def _others() -> list[str]:
    from cluster_kit.supervisor.control import ask_all

    mute: list[int] = []
    told = sorted((each["node"], each["cluster"]) for each in ask_all(mute, within_s=_OTHERS_S))
    clusters = {cluster for _, cluster in told}
    there = [f"{node} ({cluster!r})" if len(clusters) > 1 else node for node, cluster in told]
    return [*there, *map(silence, sorted(mute))]


def _no_folder() -> str:
    from cluster_kit.supervisor.control_files import control_folders

    if next(control_folders(), None) is not None:
        return ""
    return "; there is no folder for control sockets: set XDG_RUNTIME_DIR, the same for both"
