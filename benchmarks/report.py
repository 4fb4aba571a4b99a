"""Medians and ratios as a Markdown table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Measure:
    """A row's title and unit; ``limit`` is our goal, or ``None`` to match the other system."""

    title: str
    unit: str
    limit: float | None = None
    compared: bool = True


MEASURES = {
    "formation": Measure("full mesh, from the last process's start", "s"),
    "formation_ready": Measure("full mesh, from the last node's readiness", "s"),
    "formation_cpu": Measure("CPU seconds until then, per node", "s"),
    "join": Measure("join told to all, from the process's start", "s"),
    "join_ready": Measure("join told to all, from its readiness", "s"),
    "crash": Measure("kill -9 told to all", "s"),
    "leave": Measure("graceful leave told to all", "s", 0.05),
    "frozen": Measure("SIGSTOP told to all", "s", 5.0),
    "thawed": Measure("full mesh again after SIGCONT", "s", 2.0),
    "frozen_alarms": Measure("false alarms meanwhile", "", 0),
    "worker": Measure("killed worker: full mesh again", "s", 1.0),
    "partition": Measure("packets dropped, told to all", "s", 5.0),
    "healed": Measure("full mesh again after the partition", "s", 2.0),
    "partition_alarms": Measure("false alarms meanwhile", "", 0),
    "idle_cpu": Measure("idle: CPU seconds a minute, per node", "s", 0.2),
    "idle_pss": Measure("idle: PSS per node", "MiB", 45.0),
    "idle_bytes": Measure("idle: bytes sent a second, per node", "B", 1024.0),
    "idle_packets": Measure("idle: packets sent a second, per node", "", compared=False),
    "import": Measure("`import cluster_kit`", "s", 0.06),
    "import_modules": Measure("modules that it loads", "", compared=False),
}

Key = tuple[str, int, str]  # measure, nodes, system


class Results:
    """All samples of a run."""

    def __init__(self, systems: Sequence[str]) -> None:
        self._systems = systems
        self._samples: dict[Key, list[float]] = {}

    def add(self, measure: str, n: int, system: str, value: float) -> None:
        """Keep one sample."""
        self._samples.setdefault((measure, n, system), []).append(value)

    def table(self) -> str:
        """Return the medians, with the range in which the samples lie."""
        ours, *theirs = self._systems
        ratios = [f"{ours} / {other}" for other in theirs]
        header = ["measure", "N", *self._systems, *ratios, "target"]
        rows = [header, ["---"] * len(header), *self._rows()]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def _rows(self) -> Iterator[list[str]]:
        ours, *theirs = self._systems
        for key, measure in MEASURES.items():
            for n in sorted({n for name, n, _ in self._samples if name == key}):
                samples = {
                    system: self._samples.get((key, n, system), []) for system in self._systems
                }
                title = f"{measure.title}, {measure.unit}" if measure.unit else measure.title
                cells = [_cell(samples[system]) for system in self._systems]
                ratios = [_ratio(samples[ours], samples[other]) for other in theirs]
                yield [
                    title,
                    str(n) if n else "",
                    *cells,
                    *ratios,
                    _verdict(measure, samples, theirs[:1], ours),
                ]


def _cell(samples: list[float]) -> str:
    if not samples:
        return "-"
    if len(set(samples)) == 1:
        return _number(samples[0])
    return f"{_number(median(samples))} ({_number(min(samples))} to {_number(max(samples))})"


def _number(value: float) -> str:
    if value == int(value):
        return f"{int(value)}"
    return (
        f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"
    )


def _ratio(ours: list[float], theirs: list[float]) -> str:
    return f"{median(ours) / median(theirs):.2f}" if ours and theirs and median(theirs) else "-"


def _verdict(
    measure: Measure, samples: Mapping[str, list[float]], rivals: Sequence[str], ours: str
) -> str:
    if not samples[ours] or not measure.compared:
        return ""
    value = median(samples[ours])
    if measure.limit is not None:
        return f"{_number(measure.limit)}: {'met' if value <= measure.limit else '**missed**'}"
    rival = next((median(samples[name]) for name in rivals if samples[name]), None)
    if rival is None:
        return ""
    return f"{rivals[0]}: {'met' if value <= rival else '**missed**'}"
