"""The nodes of the demo: started at once, ended at once, closed to any other cluster.

Each is a ``cluster-kit run`` process and its worker, in a process group. The group lets both be
killed or frozen as one, and lets a terminal's Ctrl-C reach the demo alone. A demo that is killed
leaves nothing behind either: a node ends with its standard input, and a frozen one is thawed first,
by the shell that froze it.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections import deque
from enum import StrEnum
from typing import Self

from cluster_kit.cli.demo.board import Board

_LEAVE_S = 10.0
_ERROR_LINES = 5
_ERROR_CHARS = 1000  # of a line

# A shell runs this, because it has to outlive a demo that is killed. The kernel isn't enough: it
# continues an orphaned process group only if a member has stopped by then, and that takes a moment.
_FREEZE_UNTIL_EOF = 'kill -s STOP -- "-$1"; read -r _; kill -s CONT -- "-$1"'


class NodeState(StrEnum):
    """What the demo last did to a node."""

    RUNNING = "running"
    KILLED = "killed"
    FROZEN = "frozen"
    LEFT = "left"


class DemoNode:
    """Owns the processes of one node; ``end`` releases everything.

    Args:
        name: The name of the node.
        config: The content of its configuration file.
        board: Records what the node reports.
    """

    def __init__(self, name: str, config: bytes, board: Board) -> None:
        self.name = name
        self.state = NodeState.LEFT
        self._config = config
        self._board = board
        self._errors = deque[str](maxlen=_ERROR_LINES)
        self._process: subprocess.Popen[str] | None = None
        self._freezer: subprocess.Popen[bytes] | None = None
        self._readers: list[threading.Thread] = []

    def start(self) -> None:
        """Start the node, for the first time or again."""
        self._board.start(self.name)
        reading, writing = os.pipe()  # in place of a file that could be left behind
        command = [sys.executable, "-P", "-m", "cluster_kit.cli", "run", f"/dev/fd/{reading}"]
        command += ["--name", self.name, "--events", "json", "--until-eof"]
        try:
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(self._config)
            self._process = process = subprocess.Popen(  # noqa: S603 - our own interpreter
                command,
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
        self.state = NodeState.RUNNING

    def kill(self) -> None:
        """Kill the node and its worker."""
        self._signal(signal.SIGKILL)
        self._reap()
        self.state = NodeState.KILLED

    def freeze(self) -> None:
        """Suspend the node and its worker, until ``thaw`` or the end of the demo."""
        assert self._process is not None
        command = ["/bin/sh", "-c", _FREEZE_UNTIL_EOF, "freezer", str(self._process.pid)]
        self._freezer = subprocess.Popen(  # noqa: S603 - our own script
            command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, process_group=0
        )
        self.state = NodeState.FROZEN

    def thaw(self) -> None:
        """Continue the node, if it is frozen."""
        if self._freezer is not None:
            self._freezer.communicate()
            self._freezer = None
            self.state = NodeState.RUNNING

    def ask_to_leave(self) -> None:
        """Ask the node to leave; ``end`` waits for it."""
        if self._process is not None:
            self._process.terminate()
            self.state = NodeState.LEFT

    def end(self) -> None:
        """Wait until the node has left, and kill it if it doesn't."""
        if self._process is not None:
            try:
                self._process.wait(_LEAVE_S)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
            self._reap()

    def error_lines(self) -> str:
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
            self._board.record(self.name, json.loads(line))
        self._board.end(self.name)

    def _read_errors(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self._errors.append(line.rstrip()[:_ERROR_CHARS])


class DemoCluster:
    """All nodes of the demo; as a context manager, leaves no process behind."""

    def __init__(self, size: int) -> None:
        self.board = Board()
        cluster = f"demo-{secrets.token_hex(8)}"
        config = {"cluster": cluster, "topologies": {"demo": {"strategy": "gossip"}}}
        content = json.dumps(config).encode()
        names = [f"n{number}@127.0.0.1" for number in range(1, size + 1)]
        self.nodes = [DemoNode(name, content, self.board) for name in names]

    def start(self) -> None:
        """Start all nodes."""
        for node in self.nodes:
            node.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.thaw()
            node.ask_to_leave()
        for node in self.nodes:
            node.end()

    def others(self, node: DemoNode) -> list[DemoNode]:
        """Return the running nodes other than ``node``."""
        others = [other for other in self.nodes if other is not node]
        return [other for other in others if other.state is NodeState.RUNNING]

    def error_lines(self) -> str:
        """Return the last lines that the nodes wrote to standard error."""
        errors = [(node.name, node.error_lines()) for node in self.nodes]
        return "\n".join(f"--- {name}, standard error:\n{text}" for name, text in errors if text)
