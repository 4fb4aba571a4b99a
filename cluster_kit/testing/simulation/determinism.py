"""Whether a simulation runs the same way in every process: not if something goes by ``hash``, a set
or the real world.

The other processes are ``python -m cluster_kit.testing.simulation.determinism``, each with a
PYTHONHASHSEED of its own.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import zip_longest

from cluster_kit.testing.simulation.configuration import configured
from cluster_kit.testing.simulation.invariants.findings import Finding, Law
from cluster_kit.testing.simulation.outcome import Outcome
from cluster_kit.testing.simulation.replay import Setting, as_written
from cluster_kit.testing.simulation.sandbox import packages_of
from cluster_kit.testing.simulation.scripts.script import Script

_HASH_SEEDS = (1, 2)  # always the same, so that what they find, they find again
_END = "end"  # of a trace; its hash follows


def compared(outcome: Outcome, setting: Setting) -> Outcome:
    """Return ``outcome``, with a finding if other processes come to another one; our own parts are
    known not to.
    """
    if not _has_foreign_parts(setting, outcome.script):
        return outcome
    difference = _difference(setting, outcome.script, outcome.digest)
    if difference is None:
        return outcome
    finding = Finding(
        Law.REPEATS,
        0.0,
        "-",
        f"{difference}; look for hash(), the order of a set, and the real world",
    )
    return replace(
        outcome, findings=(finding, *outcome.findings), counts={Law.REPEATS: 1, **outcome.counts}
    )


def _has_foreign_parts(setting: Setting, script: Script) -> bool:
    config = configured(setting.topology, script)
    return bool(
        packages_of(
            [
                component.build()
                for component in (*config.strategies, config.connector, config.topology)
            ]
        )
    )


def _difference(setting: Setting, script: Script, digest: str) -> str | None:
    """Return where the traces of two other processes begin to differ, or that they differ from
    ours.
    """
    question = pickle.dumps((replace(setting, topology=as_written(setting.topology)), script))
    with ExitStack() as stack:
        one, other = (_trace_elsewhere(question, hash_seed, stack) for hash_seed in _HASH_SEEDS)
        line = ""
        for line, other_line in zip_longest(one, other, fillvalue="nothing"):
            if line != other_line:
                seeds = " and ".join(map(str, _HASH_SEEDS))
                return (
                    f"the traces with PYTHONHASHSEED {seeds} differ: {_shown(line)!r}, and "
                    f"{_shown(other_line)!r}"
                )
    return (
        None
        if line.split() == [_END, digest]
        else "another process with this seed gives another trace"
    )


def _shown(line: str) -> str:
    return " ".join(line.split())


def _trace_elsewhere(question: bytes, hash_seed: int, stack: ExitStack) -> Iterator[str]:
    process = stack.enter_context(
        subprocess.Popen(  # noqa: S603 - this very module
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ
            | {
                "PYTHONHASHSEED": str(hash_seed),
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            },
        )
    )
    stack.callback(process.kill)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(question)
    process.stdin.close()
    return map(bytes.decode, process.stdout)


def _answer() -> None:
    for each in (signal.SIGINT, signal.SIGPIPE):  # who has asked is gone, or about to go
        signal.signal(each, signal.SIG_DFL)
    setting, script = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this

    def show(line: str) -> None:
        sys.stdout.write(f"{line}\n")

    show(f"{_END} {setting.run(script, show=show).digest}")


if __name__ == "__main__":
    _answer()
