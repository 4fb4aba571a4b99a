"""A simulation that can be run again: what it depends on besides the script, and the command that
does it.
"""

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
# to spend on making a script smaller, about a minute: a large cluster gets few tries
_MOST_NODE_S = 60_000.0
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
        """Run ``script``; the same one gives the same outcome."""
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
        """Run ``script``, and return the outcome if it breaks no law.

        Args:
            script: What happens.
            false_alarms: How many there may be at most.

        Raises:
            AssertionError: It breaks one; the message has the smallest script found that does, and
                the command that runs it.
        """
        outcome = self.run(script)
        if not outcome.is_good:
            raise AssertionError(report(outcome, self, smallest(outcome, self)))
        if len(outcome.false_alarms) > false_alarms:
            first = outcome.false_alarms[0]
            raise AssertionError(
                f"seed {self.seed}: {len(outcome.false_alarms)} false alarms; "
                f"{first}\n{self.command(script)}"
            )
        return outcome

    def command(self, script: Script) -> str:
        """Return the command that runs ``script``, which is in it."""
        words = ["cluster-kit", "simulate", "--seed", str(self.seed)]
        given = as_written(self.topology)
        keys = {key: given.pop(key) for key in list(given) if key not in _PARTS}
        for option, value in (given | ({"keys": keys} if keys else {})).items():
            words += [
                f"--{option}",
                value if isinstance(value, str) else json.dumps(value, default=str),
            ]
        words += ["--loss", repr(self.loss)] if self.loss else []
        words += ["--secret"] if self.secret else []
        words += ["--seconds", repr(self.seconds)] if self.seconds is not None else []
        return f"{shlex.join(words)} --script - <<'END'\n{script.as_yaml()}END"


def as_written(part: Any) -> Any:
    """Return a part of an entry as a file has it: classes by their names, instances as these with
    their options.
    """
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
        changed = {
            each.name: getattr(part, each.name)
            for each in options
            if getattr(part, each.name) != each.default
        }
        return {"name": as_written(type(part)), **as_written(changed)}
    return part


def smallest(
    outcome: Outcome,
    setting: Setting,
    progress: Callable[[int], object] | None = None,
    *,
    run: Callable[[Script], Outcome] | None = None,
) -> Script:
    """Return the smallest script found that breaks the same law as ``outcome`` does first.

    Args:
        outcome: Of the script that breaks it.
        setting: Everything but the script.
        progress: Called with the number of each try.
        run: Runs a script, in place of ``setting``.
    """
    law = outcome.findings[0].law
    left_node_s = _MOST_NODE_S
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
    """Return what to say of a failure: what is wrong, and how to see it again with the smallest
    ``script``.
    """
    lines = [
        f"seed {outcome.seed}: {outcome.findings[0]}",
        "to replay the smallest script that breaks the same law:",
    ]
    return "\n".join([*lines, setting.command(script)])
