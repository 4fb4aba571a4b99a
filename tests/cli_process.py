"""Runs ``cluster-kit`` commands as real processes and reads what they print as it comes."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

COMMAND = str(Path(sys.executable).with_name("cluster-kit"))
DEADLINE_S = 30.0


def cluster_kit(*arguments, timeout_s=60, **options):
    """Run a command to its end."""
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        **options,
    )


class Process:
    """A process and its children, in a session of their own; its output is read line by line."""

    def __init__(self, *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **options):
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )
        self.lines = []
        self.errors = []
        self._closed = 0
        self._news = threading.Condition()
        streams = ((self.process.stdout, self.lines), (self.process.stderr, self.errors))
        self._readers = [
            threading.Thread(target=self._read, args=each)
            for each in streams
            if each[0] is not None
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, lines):
        for line in stream:
            with self._news:
                lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._closed += 1
            self._news.notify_all()

    def until(self, condition, what, timeout_s=DEADLINE_S):
        """Wait until ``condition()`` is true, which can change with each line."""
        with self._news:
            self._news.wait_for(
                lambda: condition() or self._closed == len(self._readers), timeout_s
            )
            if not condition():
                pytest.fail(
                    f"not seen within {timeout_s:g} s: {what}; printed: {self.lines[-20:]}, "
                    f"{self.errors[-20:]}"
                )

    def until_printed(self, text):
        self.until(lambda: any(text in line for line in self.lines), text)

    def signal(self, number):
        """Signal the process alone."""
        self.process.send_signal(number)

    def signal_all(self, number):
        """Signal the process and its children."""
        os.killpg(self.process.pid, number)

    def wait(self, timeout_s=DEADLINE_S):
        """Wait for the end and return the exit code."""
        code = self.process.wait(timeout_s)
        for reader in self._readers:
            reader.join(timeout_s)
        return code

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            self.signal_all(signal.SIGCONT)
            self.signal_all(signal.SIGKILL)
        self.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


class Run(Process):
    """A ``cluster-kit run --events json``."""

    def __init__(self, file, *options, **popen):
        super().__init__(COMMAND, "run", file, "--events", "json", *options, **popen)

    @property
    def events(self):
        return [json.loads(line) for line in self.lines]

    def heard(self, *kinds):
        """Return event and node of each event of these kinds, in order."""
        return [(event["event"], event["node"]) for event in self.events if event["event"] in kinds]

    def wait_for(self, event, times=1, **fields):
        """Wait until an event was printed so many times; return the last one."""

        def found():
            return [
                each for each in self.events if each.items() >= {"event": event, **fields}.items()
            ]

        self.until(lambda: len(found()) >= times, f"{times} times {event} {fields}")
        return found()[-1]


class Hosted(Run):
    """A ``cluster-kit run`` in the network of one place, under ``web@`` and its address there."""

    def __init__(self, place, file, address=None):
        self.name = f"web@{address or place.address}"
        command = place.command([COMMAND, "run", file, "--name", self.name, "--events", "json"])
        Process.__init__(self, *command, cwd=file.parent)


class Cluster:
    """Processes of one cluster that is closed to all others; a context manager."""

    def __init__(self, folder):
        self.folder = folder
        self.name = f"test-{secrets.token_hex(6)}"
        self.file = self.write("cluster.yaml", {"lan": {"strategy": "gossip"}})
        self.processes = []

    def write(self, file, topologies, **keys):
        path = self.folder / file
        path.write_text(json.dumps({"cluster": self.name, "topologies": topologies, **keys}))
        return path

    def keep(self, process):
        self.processes.append(process)
        return process

    def run(self, name, *options, file=None, **popen):
        return self.keep(Run(file or self.file, "--name", name, *options, **popen))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.end()
