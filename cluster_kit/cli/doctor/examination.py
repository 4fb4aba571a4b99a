"""Runs the examination of one source in a process, and collects its findings.

The process runs plugins: if it dies or becomes silent, that is a finding, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Self

from cluster_kit.diagnosis import failed
from cluster_kit.pipe.messages import CannotServe
from cluster_kit.supervisor.child import WorkerProcess
from cluster_kit.worker.examiner import Diagnosed, ExaminationDone, Examine

SILENT_S = 10.0  # a process beats once a second, except while a plugin imports what is heavy
_TICK_S = 0.5  # silence is counted in ticks, so that stopping both processes is not silence


class Examination:
    """A context manager: the process lives inside the block.

    Args:
        source: The name of the source.
        order: What to examine.

    Raises:
        ClusterKitError: On entry, if the process can't be started; from ``findings``, if the
            started program is not a worker.
    """

    def __init__(self, source: str, order: Examine) -> None:
        self.source = source
        self._order = order
        self._process = WorkerProcess()

    def __enter__(self) -> Self:
        self._process.start()
        channel = self._process.channel
        with suppress(OSError):  # it died, as findings() will notice
            channel.send(self._order)
            channel.drain()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()

    def findings(self) -> Iterator[Diagnosed]:
        """Yield the findings as they come, until the last one, or until the process fails."""
        for message in self._messages():
            match message:
                case Diagnosed():
                    yield message
                case CannotServe(error=error):
                    yield self._broken(f"cannot be made: {error}")
                    return
                case ExaminationDone():
                    return

    def _messages(self) -> Iterator[Any]:
        channel = self._process.channel
        silent_s = 0.0
        fault = None
        while silent_s < SILENT_S:
            if not channel.wait(_TICK_S):
                silent_s += _TICK_S
                continue
            silent_s = 0.0
            try:
                for message in channel.receive():
                    self._process.heard = True
                    yield message
            except EOFError as exc:
                fault = f"sent {exc}" if exc.args else self._ending()
                break
        if not self._process.heard:
            ended = self._process.exitcode is not None
            silent = f"sent nothing for {SILENT_S:g} s"
            raise self._process.not_a_worker_error(None if ended else fault or silent)
        blocked = f"blocks the event loop of its process for more than {SILENT_S:g} s"
        yield self._broken(fault or blocked)

    def _ending(self) -> str:
        self._process.join(SILENT_S)
        if self._process.exitcode is None:
            return "closed its pipe before it was done"
        return f"{self._process.ending} before it was done"

    def _broken(self, got: str) -> Diagnosed:
        cause = "this is a bug of a plugin, not a fault of the source; report it to its author"
        return Diagnosed("source", failed("its process", got, cause))
