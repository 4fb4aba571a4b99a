"""How a worker process starts; nothing else knows.

multiprocessing's own start methods import the application's ``__main__`` again in every child and refuse daemonic parents. A
worker needs neither: it is a fresh interpreter that runs ``cluster_kit.worker`` and is told everything over its channel. To the
code around it it is a multiprocessing process all the same: ``sentinel``, ``exitcode``, ``is_alive``, ``join``, ``kill``.

Source: ``multiprocessing.popen_spawn_posix`` for the contract of a start method; joblib's loky does likewise.
Differs: not listed by ``multiprocessing.active_children``, so that an application that forgets to stop does not hang at exit
waiting for workers that are themselves waiting for its end.
"""

from __future__ import annotations

import multiprocessing.process
import multiprocessing.spawn
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, Self

from cluster_kit import worker
from cluster_kit.worker.channel import Channel

_MAIN = str(Path(worker.__file__).with_name("__main__.py"))
UNKNOWN_EXIT = 255
_HELD_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Popen:
    """What ``BaseProcess`` expects of a start method, on a pidfd."""

    method = "cluster_kit"

    def __init__(self, fds: tuple[int, ...]) -> None:
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        executable = os.fsdecode(multiprocessing.spawn.get_executable())
        argv = [executable, *flags, "-P", _MAIN, *map(str, fds)]
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)  # a Ctrl-C must not hit it before it can ignore that
        try:
            self._process = subprocess.Popen(argv, pass_fds=fds, stdin=subprocess.DEVNULL)  # noqa: S603 - our own interpreter
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self.pid = self._process.pid
        self.sentinel = os.pidfd_open(self.pid)

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def poll(self) -> int | None:
        return self._reap(os.WNOHANG)

    def wait(self, timeout: float | None = None) -> int | None:
        if timeout is None:
            return self._reap(0)
        poller = select.poll()
        poller.register(self.sentinel, select.POLLIN)
        poller.poll(timeout * 1000)
        return self._reap(os.WNOHANG)

    def _reap(self, options: int) -> int | None:
        """Take the exit code; unlike ``subprocess``, never take one that somebody else took for success."""
        if self._process.returncode is None:
            try:
                ended = os.waitid(os.P_PID, self.pid, os.WEXITED | options)
            except ChildProcessError:
                self._process.returncode = UNKNOWN_EXIT
            else:
                if ended is not None:
                    self._process.returncode = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        return self._process.returncode

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def close(self) -> None:
        with suppress(OSError):  # the application may have closed it
            os.close(self.sentinel)


class WorkerProcess(multiprocessing.process.BaseProcess):
    """One worker; owns its process handle and our end of its channel, until ``close``."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.channel: Channel

    def start(self) -> None:
        """Start the interpreter and tell it our import path.

        Raises:
            OSError: The system refuses another process or file descriptor.
        """
        path = "\0".join(map(os.fsdecode, filter(_is_path, sys.path))).encode(errors="surrogateescape")
        ours, theirs = socket.socketpair()
        supervisor = os.pidfd_open(os.getpid())
        try:
            self._popen = _Popen((theirs.fileno(), supervisor))
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(supervisor)
        self._sentinel = self._popen.sentinel
        try:
            ours.sendall(len(path).to_bytes(4, "big") + path)
        except OSError:
            ours.close()
            self._popen.kill()
            self._popen.wait()
            self._popen.close()
            raise
        self.channel = Channel(ours)

    def run(self) -> NoReturn:
        """Never called: the work is in ``cluster_kit.worker``."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the handles; the process must have ended."""
        with suppress(OSError):  # the application may have closed it
            self.channel.close()
        super().close()

    @staticmethod
    def _Popen(process: Any) -> NoReturn:  # noqa: N802 - multiprocessing's name
        raise NotImplementedError


def _is_path(entry: object) -> bool:
    """Whether the import system takes it; whatever else is in ``sys.path``, it skips."""
    return isinstance(entry, str | bytes)


class SpareWorker:
    """A worker process that starts ahead of its topology, so that its imports overlap the reading of the configuration.

    A context manager that owns the process until somebody takes it. Without the means for another process it is empty. Enter it
    in a thread that lives on: the process ends with the thread that started it.
    """

    def __init__(self) -> None:
        self._process: WorkerProcess | None = None

    def __enter__(self) -> Self:
        process = WorkerProcess("cluster-kit")
        with suppress(OSError):  # whoever needs a worker tries again, and reports it
            process.start()
            self._process = process
        return self

    def take(self) -> WorkerProcess | None:
        """Hand over the process, once."""
        process, self._process = self._process, None
        return process

    def __exit__(self, *_: object) -> None:
        process = self.take()
        if process is not None:
            process.kill()
            process.join()
            process.close()


def start_worker(name: str, spare: SpareWorker | None) -> WorkerProcess:
    """Return a running worker process for the topology ``name``.

    Raises:
        OSError: The system refuses another process or file descriptor.
    """
    process = spare.take() if spare else None
    if process is None:
        process = WorkerProcess("cluster-kit")
        process.start()
    process.name = f"cluster-kit {name}"
    return process
