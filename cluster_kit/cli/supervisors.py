"""Queries this user's supervisors on this machine, for ``status``, ``watch``, ``rotate``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster_kit.supervisor.control_files import Wanted

_OTHERS_S = 1.0  # for supervisors that are only to be named


@dataclass(frozen=True, slots=True)
class Answers:
    """The outcome of a query.

    Attributes:
        reports: The answers, sorted by node and process id.
        unresponsive: Process ids of the supervisors that did not answer in time.
        missing: Wanted names that no supervisor has.
    """

    reports: tuple[Mapping[str, Any], ...]
    unresponsive: tuple[int, ...]
    missing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every wanted supervisor answered, and at least one."""
        return bool(self.reports) and not self.missing and not self.unresponsive


def wanted_nodes(nodes: Iterable[str], cluster: str | None) -> Wanted:
    """Return the supervisors to query: those of ``nodes``, in any spelling, in ``cluster``."""
    from cluster_kit.node import canonical_key
    from cluster_kit.supervisor.control_files import Wanted

    return Wanted(names=tuple(map(canonical_key, nodes)), cluster=cluster)


def query(wanted: Wanted, within_s: float | None = None) -> Answers:
    """Query the ``wanted`` supervisors all at once; each has ``within_s`` seconds to answer."""
    from cluster_kit.supervisor.control_client import ASK_S, ask_all
    from cluster_kit.supervisor.control_files import is_called

    unresponsive: list[int] = []
    found = ask_all(unresponsive, wanted, within_s or ASK_S)
    reports = sorted(found, key=lambda report: (report["node"], report["pid"]))
    missing = [name for name in wanted.names if not any(is_called(each, name) for each in reports)]
    return Answers(tuple(reports), tuple(sorted(unresponsive)), tuple(missing))


def no_answer(pid: int, node: str | None = None) -> str:
    """Return the message for a process that does not answer; ``node`` is its last known name."""
    return f"{f'{node}: ' if node else ''}process {pid} does not answer: it hangs, or is suspended"


def why_missing(answers: Answers, wanted: Wanted) -> str:
    """Return why a supervisor was not found, if none was unresponsive."""
    running = _running()
    if not running:
        none = "no supervisor of yours runs on this machine, or it has no control socket"
        cure = "start one with 'cluster-kit run' or Supervisor(..., control=True)"
        return f"{none}: {cure}{_no_folder()}"
    which = [" or ".join(map(repr, answers.missing))] if answers.missing else []
    if wanted.cluster is not None:
        which.append(f"in cluster {wanted.cluster!r}")
    return f"no supervisor of yours is {' '.join(which)}; running: {', '.join(running)}"


def _running() -> list[str]:
    from cluster_kit.supervisor.control_client import ask_all

    unresponsive: list[int] = []
    found = ask_all(unresponsive, within_s=_OTHERS_S)
    running = sorted((report["node"], report["cluster"]) for report in found)
    several = len({cluster for _, cluster in running}) > 1
    named = [f"{node} ({cluster!r})" if several else node for node, cluster in running]
    return [*named, *map(no_answer, sorted(unresponsive))]


def _no_folder() -> str:
    from cluster_kit.supervisor.control_files import control_folders

    if next(control_folders(), None) is not None:
        return ""
    return "; there is no folder for control sockets: set XDG_RUNTIME_DIR, the same for both"
