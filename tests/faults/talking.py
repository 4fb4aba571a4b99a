"""Applications in their own processes that exchange messages, and are killed or frozen."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from pathlib import Path
from queue import Empty, SimpleQueue

import psutil
from watched import free_port

DEADLINE_S = 60.0
_PROGRAM = Path(__file__).with_name("talker.py")


class Talker:
    """One application, whose commands are ``do`` or ``begin`` and ``done``; see ``talker``.

    Attributes:
        worker: Its worker's process id, from ``start`` on; another one once that is replaced.
    """

    def __init__(self, config):
        self.name = config["node"]
        self.log = []
        self.worker = None
        self.process = subprocess.Popen(
            [sys.executable, _PROGRAM, json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._results = SimpleQueue()
        self._readers = [
            threading.Thread(
                target=self._take, args=(self.process.stdout, self._results.put), daemon=True
            ),
            threading.Thread(
                target=self._take, args=(self.process.stderr, self.log.append), daemon=True
            ),
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _take(stream, keep):
        for line in stream:
            keep(line)

    def begin(self, command, **arguments):
        self.process.stdin.write(json.dumps([command, arguments]) + "\n")
        self.process.stdin.flush()

    def done(self, timeout_s=DEADLINE_S):
        """Return what came of the oldest command that was begun."""
        try:
            return json.loads(self._results.get(timeout=timeout_s))
        except Empty:
            raise AssertionError(
                f"{self.name} gives no answer; it said: {''.join(self.log[-30:])}"
            ) from None

    def is_done(self):
        """Whether ``done`` has something to return."""
        return not self._results.empty()

    def do(self, command, **arguments):
        self.begin(command, **arguments)
        return self.done()

    def start(self, nodes=1):
        self.worker = self.do("start", nodes=nodes)

    # -- what befalls it ---------------------------------------------------------------------------

    def signal(self, number, *, worker=True):
        """Signal the application, and by default its worker too."""
        os.kill(self.process.pid, number)
        if worker:
            self.signal_worker(number)

    def signal_worker(self, number):
        for process in psutil.Process(self.process.pid).children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)

    @contextlib.contextmanager
    def frozen(self, *, worker=False):
        self.signal(signal.SIGSTOP, worker=worker)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def memory(self):
        """Return the bytes of the application's own memory, and of its worker's."""
        return [psutil.Process(pid).memory_info().rss for pid in (self.process.pid, self.worker)]

    def end(self):
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            self.signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait(DEADLINE_S)
        for reader in self._readers:
            reader.join(DEADLINE_S)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


class Talk:
    """The applications of one cluster; a context manager.

    Attributes:
        talkers: Those that run, by name.
    """

    def __init__(self):
        self.cluster = f"test-{secrets.token_hex(6)}"
        self.secret = secrets.token_hex(32)
        self.port = free_port()
        self.talkers = {}

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        for each in self.talkers.values():
            each.end()

    def config(self, name, **connector):
        entry = {
            "strategy": {"name": "gossip", "port": self.port},
            "connector": {"name": "tcp", **connector},
        }
        return {
            "node": f"{name}@127.0.0.1",
            "cluster": self.cluster,
            "secret": self.secret,
            "topologies": {"lan": entry},
        }

    def make(self, name, **connector):
        """Prepare an application without starting it, in place of an earlier one of that name."""
        talker = self.talkers[name] = Talker(self.config(name, **connector))
        return talker

    def start(self, *talkers):
        """Start these, and wait until all are linked."""
        for each in talkers:
            each.begin("start", nodes=len(talkers))
        for each in talkers:
            each.worker = each.done()
