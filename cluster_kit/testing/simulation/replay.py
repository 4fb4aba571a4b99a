"""Replays simulations: what one depends on, the command that runs it again, smaller scripts."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import Any

from cluster_kit.abc import Connector, Strategy, Topology
from cluster_kit.testing.simulation.outcome import Outcome
from cluster_kit.testing.simulation.scripts.script import Script
from cluster_kit.testing.simulation.scripts.shrinking import shrink
from cluster_kit.testing.simulation.simulation import GOSSIP, Simulation

MOST_TRIES = 300
_MAX_NODE_S = 60_000.0  # that shrinking may simulate: about a minute of real time
_PARTS = ("strategy", "connector", "topology")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Everything but the script that a simulation depends on; see ``Simulation``."""

    topology: Mapping[str, Any] = field(default_factory=lambda: GOSSIP)
    seed: int = 0
    loss: float = 0.0
    secret: bool = False
    seconds: float | None = None

    def run(
        self,
        script: Script,
        *,
        show: Callable[[str], object] | None = None,
        progress: Callable[[float], object] | None = None,
    ) -> Outcome:
        """Run ``script``; the same script gives the same outcome."""
        return Simulation(
            script,
            topology=self.topology,
            seed=self.seed,
            loss=self.loss,
            secret=self.secret,
            seconds=self.seconds,
            show=show,
            progress=progress,
        ).run()

    def check(self, script: Script, *, false_alarms: int = 0) -> Outcome:
        """Run ``script``, and return the outcome if no invariant is violated.

        Args:
            script: What happens.
            false_alarms: How many false alarms there may be at most.

        Raises:
            AssertionError: An invariant is violated; the message has the command that replays the
                smallest script found that breaks it.
        """
        outcome = self.run(script)
        if not outcome.is_good:
            raise AssertionError(report(outcome, self, smallest(outcome, self)))
        if len(outcome.false_alarms) > false_alarms:
            first = outcome.false_alarms[0]
            count = f"{len(outcome.false_alarms)} false alarms"
            raise AssertionError(f"seed {self.seed}: {count}; {first}\n{self.command(script)}")
        return outcome

    def command(self, script: Script) -> str:
        """Return a shell command that contains ``script`` and runs it."""
        words = ["cluster-kit", "simulate", "--seed", str(self.seed)]
        given = as_written(self.topology)
        keys = {key: given.pop(key) for key in list(given) if key not in _PARTS}
        for option, value in (given | ({"keys": keys} if keys else {})).items():
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            words += [f"--{option}", text]
        words += ["--loss", repr(self.loss)] if self.loss else []
        words += ["--secret"] if self.secret else []
        words += ["--seconds", repr(self.seconds)] if self.seconds is not None else []
        return f"{shlex.join(words)} --script - <<'END'\n{script.as_yaml()}END"


def as_written(part: Any) -> Any:
    """Return a part of an entry as a file has it: classes and instances by name, with options."""
    if isinstance(part, type):
        return f"{part.__module__}:{part.__qualname__}"
    if isinstance(part, Mapping):
        return {key: as_written(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [as_written(each) for each in part]
    if isinstance(part, Strategy | Connector | Topology):
        options: list[Field[Any]] = (
            [each for each in fields(part) if each.init] if is_dataclass(part) else []
        )
        values = [(each, getattr(part, each.name)) for each in options]
        changed = {each.name: value for each, value in values if value != each.default}
        return {"name": as_written(type(part)), **as_written(changed)}
    return part


def smallest(
    outcome: Outcome,
    setting: Setting,
    progress: Callable[[int], object] | None = None,
    *,
    run: Callable[[Script], Outcome] | None = None,
) -> Script:
    """Return the smallest script found that violates the same invariant as ``outcome`` did first.

    Args:
        outcome: Of the script to shrink.
        setting: Everything but the script.
        progress: Called with the number of each try.
        run: Runs a script, in place of ``setting``.
    """
    law = outcome.findings[0].law
    left_node_s = _MAX_NODE_S
    tries = 0

    def fails(script: Script) -> bool:
        nonlocal left_node_s, tries
        if left_node_s < 0 or not script.numbers:
            return False
        tries += 1
        if progress is not None:
            progress(tries)
        tried = (run or setting.run)(script)
        left_node_s -= tried.node_s
        return law in tried.counts

    return shrink(outcome.script, fails, most_tries=MOST_TRIES)


def report(outcome: Outcome, setting: Setting, script: Script) -> str:
    """Return the message for a failure: the first finding, and how to replay ``script``."""
    return (
        f"seed {outcome.seed}: {outcome.findings[0]}\n"
        "to replay the smallest script that violates the same invariant:\n"
        f"{setting.command(script)}"
    )
