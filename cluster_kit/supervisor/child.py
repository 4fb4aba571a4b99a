"""How a worker process starts and ends; no other module knows.

The start methods of ``multiprocessing`` import the application's ``__main__`` again in every child,
and refuse daemonic parents. A worker does neither: it is a fresh interpreter that runs
``cluster_kit.worker`` and receives everything over its channel. A thread waits for its end, which
works on every system.

The executable may not be an interpreter: in a program that is frozen, or embeds Python,
``sys.executable`` is that program. So nothing that a process sends is believed before it has
greeted like a worker, and its environment keeps the program from becoming an application again.
"""

from __future__ import annotations

import errno
import multiprocessing.spawn
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from cluster_kit import worker
from cluster_kit.errors import ClusterKitError
from cluster_kit.pipe.socket_channel import SocketChannel
from cluster_kit.supervisor import reaper  # noqa: F401 - must run before we have workers
from cluster_kit.supervisor.recursion_guard import refuse_in_worker
from cluster_kit.worker.__main__ import GREETING, SUPERVISOR_GREETING
from cluster_kit.worker.environment import worker_environment

_UNKNOWN_EXIT = 255
_BLOCKED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SET_EXECUTABLE = "multiprocessing.set_executable('/path/to/python')"
_INTERPRETER_CURE = f"name this program's Python interpreter with {_SET_EXECUTABLE}"
_FREEZE_CURE = "a frozen program calls multiprocessing.freeze_support() first of all"
_CURES = {
    errno.EAGAIN: "too many processes or threads: see 'ulimit -u' and the cgroup's pids.max",
    errno.EMFILE: "too many open files: see 'ulimit -n'",
    errno.ENFILE: "too many open files on this machine: see 'sysctl fs.file-max'",
    errno.ENOMEM: "free some memory, or raise its limit",
    errno.EPERM: "seccomp or another policy of this kernel ({kernel}) forbids it: allow it there",
    errno.ENOSYS: "this kernel ({kernel}) or its seccomp policy lacks it: allow it there",
}


class WorkerProcess:
    """One worker. It owns the process and our end of its channel from ``start`` until ``close``."""

    def __init__(self) -> None:
        self.pid: int
        self.channel: SocketChannel
        self.exitcode: int | None = None
        """The exit code, which is negative for a signal; ``None`` while the process runs."""
        self.heard = False
        """Whether it has sent any message as a worker; set by the reader of the channel."""
        self._executable = _executable()
        self._lock = threading.Lock()
        self._on_end: Callable[[], None] | None = None
        self._process: subprocess.Popen[bytes]
        self._waiting: threading.Thread

    def start(self) -> None:
        """Start the interpreter, and send it our import path.

        Raises:
            ClusterKitError: There is no interpreter, the system refuses a process, a thread or a
                descriptor, or this process is a worker itself.
        """
        refuse_in_worker("cannot start a worker")
        if not self._executable:
            what = f"sys.executable is {sys.executable!r}"
            raise ClusterKitError(f"cannot start a worker: {what}: {_INTERPRETER_CURE}")
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                self.channel = SocketChannel(ours, GREETING)
                try:
                    self._start(theirs.fileno())
                except BaseException:
                    self.channel.close()
                    raise
        except (OSError, RuntimeError) as exc:
            raise ClusterKitError(f"cannot start a worker{self._refusal(exc)}") from exc
        with suppress(OSError):  # it has ended already, and ``when_ended`` will report that
            self.channel.send_raw(_import_path())

    def _start(self, channel_fd: int) -> None:
        with _command(self._executable, channel_fd) as (argv, fds):
            # A Ctrl-C must not reach the process before it can ignore that.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED_SIGNALS)
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                    argv, pass_fds=fds, stdin=subprocess.DEVNULL, env=worker_environment(os.environ)
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self.pid = self._process.pid
        name = "cluster-kit-worker-end"
        self._waiting = threading.Thread(target=self._wait, name=name, daemon=True)
        try:
            self._waiting.start()
        except BaseException:
            self._process.kill()
            self._wait()
            raise

    def _refusal(self, exc: OSError | RuntimeError) -> str:
        if isinstance(exc, RuntimeError):  # a thread could not be started
            return f": {exc}: {_CURES[errno.EAGAIN]}"
        what = (exc.strerror or str(exc)).lower()
        if exc.filename is not None:  # the executable's, which could not be executed
            return f" with {self._executable!r}: {what}: {_INTERPRETER_CURE}"
        cure = _CURES.get(exc.errno or 0, "").format(kernel=" ".join(os.uname()[::2][:2]))
        return f": {what}{cure and ': '}{cure}"

    def _wait(self) -> None:
        """Wait for the process to end, and take its exit code.

        Differs: ``subprocess`` reports success if the exit code was reaped elsewhere.
        """
        try:
            _, status = os.waitpid(self.pid, 0)
        except ChildProcessError:
            code = _UNKNOWN_EXIT
        else:
            code = os.waitstatus_to_exitcode(status)
        with self._lock:
            self.exitcode = self._process.returncode = code
            on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()

    def when_ended(self, do: Callable[[], None]) -> None:
        """Call ``do`` when the process has ended, on any thread; at once if it has already."""
        with self._lock:
            if self.exitcode is None:
                self._on_end = do
                return
        do()

    def not_a_worker_error(self, fault: str | None = None) -> ClusterKitError:
        """Return the error for a started process that did not become a worker.

        Args:
            fault: What it did instead of sending a message as a worker; by default it just ended.
        """
        what = f"cannot start a worker: {self._executable!r} {fault or self.ending}"
        if fault is None and self.exitcode == -signal.SIGKILL:
            return ClusterKitError(f"{what} before it sent anything: is memory exhausted?")
        if self.channel.greeted:
            cure = "see its standard error"
            return ClusterKitError(f"{what} before it had loaded cluster_kit: {cure}")
        cure = _FREEZE_CURE if _is_frozen() else _INTERPRETER_CURE
        return ClusterKitError(f"{what}, and is not a cluster_kit worker: {cure}")

    @property
    def ending(self) -> str:
        """How the process ended, as a predicate."""
        code = self.exitcode
        if code == _UNKNOWN_EXIT:
            causes = "does the application ignore SIGCHLD, or wait for any child?"
            return f"ended, and its exit code was reaped elsewhere: {causes}"
        if code is not None and code < 0:
            return f"was killed by signal {-code}"
        return f"exited with code {code}"

    @property
    def ended_normally(self) -> bool:
        """Whether it was a worker and exited with code 0, which means that its work is done."""
        return self.heard and self.exitcode == 0

    def kill(self) -> None:
        """Kill the process, if it has not ended."""
        with self._lock:
            if self.exitcode is None:
                with suppress(ProcessLookupError):  # its exit code was just reaped elsewhere
                    os.kill(self.pid, signal.SIGKILL)

    def join(self, timeout_s: float | None = None) -> None:
        """Wait until the process has ended, but at most for ``timeout_s``."""
        self._waiting.join(timeout_s)

    def close(self) -> None:
        """Release the channel; the process must have ended."""
        with suppress(OSError):  # the application may have closed it
            self.channel.close()


def _executable() -> str:
    """Return the executable that ``multiprocessing`` would start; empty if there is none."""
    if _is_frozen():
        return sys.executable
    return os.fsdecode(multiprocessing.spawn.get_executable() or "")


def _is_frozen() -> bool:
    return bool(getattr(sys, "frozen", False))


@contextmanager
def _command(executable: str, channel_fd: int) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    """Yield a worker's command line, and the descriptors that it inherits."""
    if not _is_frozen():
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        yield [executable, *flags, "-P", *_program(), str(channel_fd)], (channel_fd,)
        return
    from cluster_kit.worker.freeze_support import preparation

    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(preparation(channel_fd))
        yield multiprocessing.spawn.get_command_line(pipe_handle=reading), (channel_fd, reading)
    finally:
        os.close(reading)


def _program() -> list[str]:
    """Return the interpreter's arguments; in a zip archive, there is no file to name."""
    file = Path(worker.__file__).with_name("__main__.py")
    if file.is_file():
        return [str(file)]
    import pkgutil

    source = pkgutil.get_data(worker.__name__, file.name)
    assert source is not None, "a loader without data"
    return ["-c", source.decode()]


def _import_path() -> bytes:
    """Return the first bytes to a worker, which hold our import path."""
    # Entries that are neither text nor bytes are skipped by the import system, too.
    entries = (os.fsdecode(entry) for entry in sys.path if isinstance(entry, str | bytes))
    path = "\0".join(entries).encode(errors="surrogateescape")
    return SUPERVISOR_GREETING + len(path).to_bytes(4, "big") + path


class SpareWorker:
    """A worker process that is started ahead of its topology.

    Its imports then overlap the reading of the configuration. It is a context manager, which owns
    the process until it is taken; it is empty if the process could not be started. Enter it on a
    thread that lives on: the process ends with the thread that started it.
    """

    def __init__(self) -> None:
        self._process: WorkerProcess | None = None

    def __enter__(self) -> Self:
        process = WorkerProcess()
        with suppress(ClusterKitError):  # ``start_worker`` tries again, and reports it
            process.start()
            self._process = process
        return self

    def prepare(self) -> None:
        """Make it load the modules for protection by a secret."""
        if self._process is not None:
            # Imported only now, since everything waits until the process has been started.
            from cluster_kit.pipe.messages import Prepare

            with suppress(OSError):  # it has ended, and ``take`` will notice
                self._process.channel.send(Prepare())

    def take(self) -> WorkerProcess | None:
        """Give the process away; ``None`` if it has ended, or was taken before."""
        process, self._process = self._process, None
        if process is not None and process.exitcode is not None:
            process.close()
            return None
        return process

    def __exit__(self, *_: object) -> None:
        process = self.take()
        if process is not None:
            process.kill()
            process.join()
            process.close()


def start_worker(spare: SpareWorker | None) -> WorkerProcess:
    """Return a running worker process, which is the spare if there is one.

    Raises:
        ClusterKitError: It can't be started.
    """
    process = spare.take() if spare else None
    if process is None:
        process = WorkerProcess()
        process.start()
    return process
