"""Queries this user's supervisors on this machine, for ``status``, ``watch``, ``rotate``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster_kit.supervisor.control_files import Wanted

Report = Mapping[str, Any]

_OTHERS_S = 1.0  # for supervisors that weren't asked for, and are only to be named


@dataclass(frozen=True, slots=True)
class Answers:
    """The outcome of a query.

    Attributes:
        reports: The answers, by node and process id.
        unresponsive: Process ids of the supervisors that did not answer in time.
        missing: Names that were asked for, and that no supervisor has.
    """

    reports: tuple[Report, ...]
    unresponsive: tuple[int, ...]
    missing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether somebody answered, and nobody who was asked for is missing."""
        return bool(self.reports) and not self.missing


def wanted_nodes(nodes: Iterable[str], cluster: str | None) -> Wanted:
    """Return which supervisors to query: those of ``nodes``, in any spelling, and ``cluster``."""
    from cluster_kit.node import canonical_key
    from cluster_kit.supervisor.control_files import Wanted

    return Wanted(names=tuple(map(canonical_key, nodes)), cluster=cluster)


def query(wanted: Wanted, within_s: float | None = None) -> Answers:
    """Query the ``wanted`` supervisors at once; each has ``within_s`` seconds to answer."""
    from cluster_kit.supervisor.control_client import ASK_S, ask_all
    from cluster_kit.supervisor.control_files import is_called

    mute: list[int] = []
    found = ask_all(mute, wanted, within_s or ASK_S)
    reports = sorted(found, key=lambda report: (report["node"], report["pid"]))
    missing = [name for name in wanted.names if not any(is_called(each, name) for each in reports)]
    return Answers(tuple(reports), tuple(sorted(mute)), tuple(missing))


def unresponsive(pid: int, node: str | None = None) -> str:
    """Return a sentence about a process that does not answer, and was ``node`` when it did."""
    return f"{f'{node}: ' if node else ''}process {pid} does not answer: it hangs, or is stopped"


def why_missing(answers: Answers, wanted: Wanted) -> str:
    """Return why a supervisor was not found, where none was unresponsive."""
    others = _others()
    if not others:
        return (
            "no supervisor of yours runs on this machine, or it has no control socket: start one "
            f"with 'cluster-kit run', or make it with Supervisor(..., control=True){_no_folder()}"
        )
    where = f" in cluster {wanted.cluster!r}" if wanted.cluster is not None else ""
    who = (
        f"is {' or '.join(map(repr, answers.missing))}{where}" if answers.missing else f"is{where}"
    )
    return f"no supervisor of yours {who}; running: {', '.join(others)}"


def _others() -> list[str]:
    from cluster_kit.supervisor.control_client import ask_all

    mute: list[int] = []
    running = sorted((each["node"], each["cluster"]) for each in ask_all(mute, within_s=_OTHERS_S))
    several = len({cluster for _, cluster in running}) > 1
    named = [f"{node} ({cluster!r})" if several else node for node, cluster in running]
    return [*named, *map(unresponsive, sorted(mute))]


def _no_folder() -> str:
    from cluster_kit.supervisor.control_files import control_folders

    if next(control_folders(), None) is not None:
        return ""
    return "; there is no folder for control sockets: set XDG_RUNTIME_DIR, the same for both"
