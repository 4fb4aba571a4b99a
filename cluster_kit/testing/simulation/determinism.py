"""Checks that a simulation runs the same way in every process.

It doesn't if something depends on ``hash()``, on the order of a set, or on the real world. The same
simulation is run by two further processes, each with another PYTHONHASHSEED, and the traces of the
two are compared line by line. Each process is this module, run as ``__main__``: it reads a pickled
setting and script from standard input, and writes the trace and then its hash.
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

_HASH_SEEDS = (1, 2)  # always the same, so that a difference can be found again
_END = "end"  # begins the last line, which has the hash


def compared(outcome: Outcome, setting: Setting) -> Outcome:
    """Return ``outcome``, with a finding if the trace is another one in other processes.

    Nothing is run if all parts are cluster_kit's own, which are known to be deterministic.
    """
    config = configured(setting.topology, outcome.script)
    components = (*config.strategies, config.connector, config.topology)
    if not packages_of([component.build() for component in components]):
        return outcome
    difference = _difference(setting, outcome.script, outcome.digest)
    if difference is None:
        return outcome
    what = f"{difference}; look for hash(), the order of a set, and the real world"
    findings = (Finding(Law.REPEATS, 0.0, "-", what), *outcome.findings)
    return replace(outcome, findings=findings, counts={Law.REPEATS: 1, **outcome.counts})


def _difference(setting: Setting, script: Script, digest: str) -> str | None:
    """Report where the traces of two other processes differ, or that they differ from ours."""
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
    if line.split() == [_END, digest]:
        return None
    return "another process with this seed gives another trace"


def _shown(line: str) -> str:
    return " ".join(line.split())


def _trace_elsewhere(question: bytes, hash_seed: int, stack: ExitStack) -> Iterator[str]:
    paths = os.pathsep.join(filter(None, sys.path))
    process = stack.enter_context(
        subprocess.Popen(  # noqa: S603 - this very module
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": paths},
        )
    )
    stack.callback(process.kill)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(question)
    process.stdin.close()
    return map(bytes.decode, process.stdout)


def _main() -> None:
    for each in (signal.SIGINT, signal.SIGPIPE):  # die without a traceback when the parent does
        signal.signal(each, signal.SIG_DFL)
    setting, script = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this

    def show(line: str) -> None:
        sys.stdout.write(f"{line}\n")

    show(f"{_END} {setting.run(script, show=show).digest}")


if __name__ == "__main__":
    _main()
