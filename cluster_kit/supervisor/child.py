"""How a worker process starts and ends; nothing else knows.

multiprocessing's own start methods import the application's ``__main__`` again in every child and
refuse daemonic parents. A worker needs neither: it is a fresh interpreter that runs
``cluster_kit.worker`` and gets everything over its channel. A thread waits for its end, which needs
nothing that only some systems have.

What is started may be no interpreter at all: ``sys.executable`` is the program itself where that is
frozen or embeds Python. A worker must therefore greet before anything else it says is believed, and
its environment keeps a program from becoming an application once more.
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
from cluster_kit.supervisor import reaper  # noqa: F401 - looks for workers while none of them can be ours
from cluster_kit.supervisor.recursion_guard import refuse_in_worker
from cluster_kit.worker.__main__ import GREETING, SUMMONS
from cluster_kit.worker.mark import marked

_UNKNOWN_EXIT = 255
_HELD_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERPRETER = "name this program's Python interpreter with multiprocessing.set_executable('/path/to/python')"
_HOOK = "a frozen program calls multiprocessing.freeze_support() first of all"
_CURES = {
    errno.EAGAIN: "too many processes or threads: see 'ulimit -u' and the cgroup's pids.max",
    errno.EMFILE: "too many open files: see 'ulimit -n'",
    errno.ENFILE: "too many open files on this machine: see 'sysctl fs.file-max'",
    errno.ENOMEM: "free some memory, or raise its limit",
    errno.EPERM: "seccomp or another security policy of this kernel ({kernel}) forbids it: allow it there",
    errno.ENOSYS: "seccomp, or this kernel ({kernel}), does without it: allow it there",
}


class WorkerProcess:
    """One worker; owns its process and our end of its channel, from ``start`` until ``close``."""

    def __init__(self) -> None:
        self.pid: int
        self.channel: SocketChannel
        self.exitcode: int | None = None
        """What it exited with, a signal as a negative number; ``None`` while it runs."""
        self.heard = False
        """Whether it has said anything as a worker; set by who listens to the channel."""
        self._executable = _executable()
        self._lock = threading.Lock()
        self._at_end: Callable[[], None] | None = None
        self._process: subprocess.Popen[bytes]
        self._waiting: threading.Thread

    def start(self) -> None:
        """Start the interpreter and tell it our import path.

        Raises:
            ClusterKitError: There is no interpreter to start, the system refuses something, or this is a worker itself.
        """
        refuse_in_worker("cannot start a worker")
        if not self._executable:
            raise ClusterKitError(f"cannot start a worker: sys.executable is {sys.executable!r}: {_INTERPRETER}")
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
        with suppress(OSError):  # it has ended again, which its end tells
            self.channel.send_raw(_import_path())

    def _start(self, channel_fd: int) -> None:
        with _command(self._executable, channel_fd) as (argv, fds):
            # a Ctrl-C must not hit it before it can ignore that
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                    argv, pass_fds=fds, stdin=subprocess.DEVNULL, env=marked(os.environ)
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self.pid = self._process.pid
        self._waiting = threading.Thread(target=self._wait, name="cluster-kit-worker-end", daemon=True)
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
        if exc.filename is not None:  # of the program, as it could not be executed
            return f" with {self._executable!r}: {what}: {_INTERPRETER}"
        cure = _CURES.get(exc.errno or 0, "").format(kernel=" ".join(os.uname()[::2][:2]))
        return f": {what}{cure and ': '}{cure}"

    def _wait(self) -> None:
        """Wait for its end and take its exit code.

        Differs: ``subprocess`` reports success where somebody else took the exit code.
        """
        try:
            _, status = os.waitpid(self.pid, 0)
        except ChildProcessError:
            code = _UNKNOWN_EXIT
        else:
            code = os.waitstatus_to_exitcode(status)
        with self._lock:
            self.exitcode = self._process.returncode = code
            at_end, self._at_end = self._at_end, None
        if at_end is not None:
            at_end()

    def when_ended(self, do: Callable[[], None]) -> None:
        """Call ``do`` once it has ended, in whatever thread; at once if it has already."""
        with self._lock:
            if self.exitcode is None:
                self._at_end = do
                return
        do()

    def disproof(self, fault: str | None = None) -> ClusterKitError:
        """Return the error that says why this is no worker.

        Args:
            fault: What it did instead of saying a word as a worker; by default it just ended.
        """
        what = fault or self.ending
        if fault is None and self.exitcode == -signal.SIGKILL:
            return ClusterKitError(
                f"cannot start a worker: {self._executable!r} {what} before it said anything: is memory short?"
            )
        if self.channel.greeted:
            return ClusterKitError(
                f"cannot start a worker: {self._executable!r} {what} before it had loaded cluster_kit: "
                "its standard error says why"
            )
        cure = _HOOK if _is_frozen() else _INTERPRETER
        return ClusterKitError(f"cannot start a worker: {self._executable!r} {what}, and never proved to be one: {cure}")

    @property
    def ending(self) -> str:
        """How it ended, in words that follow its name."""
        code = self.exitcode
        if code == _UNKNOWN_EXIT:
            return "ended, and somebody else took its exit code: does the application ignore SIGCHLD, or wait for any child?"
        if code is not None and code < 0:
            return f"was killed by signal {-code}"
        return f"exited with code {code}"

    @property
    def ended_normally(self) -> bool:
        """Whether it was a worker and exited with code 0, by which a process says that it is done."""
        return self.heard and self.exitcode == 0

    def kill(self) -> None:
        """End it at once."""
        with self._lock:
            if self.exitcode is None:
                with suppress(ProcessLookupError):  # somebody else has just taken its exit code
                    os.kill(self.pid, signal.SIGKILL)

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for its end, or for so many seconds."""
        self._waiting.join(timeout_s)

    def close(self) -> None:
        """Release the channel; the process must have ended."""
        with suppress(OSError):  # the application may have closed it
            self.channel.close()


def _executable() -> str:
    """Return what ``multiprocessing`` would start; nothing where there is no such thing."""
    return sys.executable if _is_frozen() else os.fsdecode(multiprocessing.spawn.get_executable() or "")


def _is_frozen() -> bool:
    return bool(getattr(sys, "frozen", False))


@contextmanager
def _command(executable: str, channel_fd: int) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    """Yield the command line of a worker, and the descriptors that it inherits."""
    if not _is_frozen():
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        yield [executable, *flags, "-P", *_program(), str(channel_fd)], (channel_fd,)
        return
    from cluster_kit.worker.frozen import preparation

    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(preparation(channel_fd))
        yield multiprocessing.spawn.get_command_line(pipe_handle=reading), (channel_fd, reading)
    finally:
        os.close(reading)


def _program() -> list[str]:
    """Return what the interpreter is to run, which is no file where the package was imported from a zip archive."""
    file = Path(worker.__file__).with_name("__main__.py")
    if file.is_file():
        return [str(file)]
    import pkgutil

    source = pkgutil.get_data(worker.__name__, file.name)
    assert source is not None, "a loader without data"
    return ["-c", source.decode()]


def _import_path() -> bytes:
    """Return the first words to a worker, with our import path; what is neither text nor bytes, the import system skips."""
    entries = (os.fsdecode(entry) for entry in sys.path if isinstance(entry, str | bytes))
    path = "\0".join(entries).encode(errors="surrogateescape")
    return SUMMONS + len(path).to_bytes(4, "big") + path


class SpareWorker:
    """A worker process that starts ahead of its topology, so that its imports overlap the reading of the configuration.

    A context manager that owns the process until somebody takes it. Without the means for another process it is empty. Enter it
    in a thread that lives on: the process ends with the thread that started it.
    """

    def __init__(self) -> None:
        self._process: WorkerProcess | None = None

    def __enter__(self) -> Self:
        process = WorkerProcess()
        with suppress(ClusterKitError):  # whoever needs a worker tries again, and reports it
            process.start()
            self._process = process
        return self

    def prepare(self) -> None:
        """Have it load what protection by a secret takes."""
        if self._process is not None:
            from cluster_kit.worker.messages import Prepare  # no sooner: until the process runs, all waits for it

            with suppress(OSError):  # it has ended: whoever takes it notices
                self._process.channel.send(Prepare())

    def take(self) -> WorkerProcess | None:
        """Hand over the process, once; nothing if it has ended."""
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
    """Return a running worker process.

    Raises:
        ClusterKitError: There can't be one; says why.
    """
    process = spare.take() if spare else None
    if process is None:
        process = WorkerProcess()
        process.start()
    return process
