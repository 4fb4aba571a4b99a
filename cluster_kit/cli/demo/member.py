"""One node of the demo: a ``cluster-kit run`` process and its worker, in a process group.

The group makes it one thing to kill and to freeze, and lets a terminal's Ctrl-C reach the demo
alone. A demo that is killed leaves nothing behind either: a member ends with its standard input,
and the kernel continues a frozen one, because its group has become an orphan. Source: POSIX.1-2017,
``_Exit``, consequences of process termination.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from enum import StrEnum

from cluster_kit.cli.demo.board import Board

_LEAVE_S = 10.0
_LAST_WORDS_LINES = 5
_LAST_WORDS_CHARS = 1000  # of a line


class State(StrEnum):
    """What was done to a member."""

    RUNNING = "running"
    KILLED = "killed"
    FROZEN = "frozen"
    LEFT = "left"


class Member:
    """Owns the processes of one node; ``end`` releases everything.

    Args:
        name: The node's name.
        config: What the configuration file holds.
        board: Hears what the node prints.
    """

    def __init__(self, name: str, config: bytes, board: Board) -> None:
        self.name = name
        self.state = State.LEFT
        self._config = config
        self._board = board
        self._errors = deque[str](maxlen=_LAST_WORDS_LINES)
        self._process: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []

    def start(self) -> None:
        """Start the node, for the first time or again."""
        self._board.start(self.name)
        options = ["--name", self.name, "--events", "json", "--until-eof"]
        reading, writing = os.pipe()  # a file that can't be left behind
        try:
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(self._config)
            self._process = process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "cluster_kit.cli",
                    "run",
                    f"/dev/fd/{reading}",
                    *options,
                ],
                pass_fds=[reading],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                process_group=0,
            )
        finally:
            os.close(reading)
        self._readers = [
            threading.Thread(target=read, args=(process,), daemon=True)
            for read in (self._read, self._read_errors)
        ]
        for reader in self._readers:
            reader.start()
        self.state = State.RUNNING

    def kill(self) -> None:
        """Kill the node and its worker."""
        self._signal(signal.SIGKILL)
        self._reap()
        self.state = State.KILLED

    def freeze(self) -> None:
        """Stop the node and its worker in the middle of whatever they do."""
        self._signal(signal.SIGSTOP)
        self.state = State.FROZEN

    def thaw(self) -> None:
        """Let a frozen node go on."""
        self._signal(signal.SIGCONT)
        self.state = State.RUNNING

    def ask_to_leave(self) -> None:
        """Tell the node to leave; ``end`` waits for it."""
        if self._process is not None:
            self._process.terminate()
            self.state = State.LEFT

    def end(self) -> None:
        """Wait until the node has left, and kill it if it doesn't."""
        if self._process is not None:
            try:
                self._process.wait(_LEAVE_S)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
            self._reap()

    def last_words(self) -> str:
        """Return the last lines that the node wrote to standard error."""
        return "\n".join(self._errors)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, number)

    def _reap(self) -> None:
        process = self._process
        assert process is not None
        process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()
        self._process = None

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._board.hear(self.name, json.loads(line))
        self._board.end(self.name)

    def _read_errors(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self._errors.append(line.rstrip()[:_LAST_WORDS_CHARS])
