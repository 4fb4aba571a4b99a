"""The control socket: tells those of the same user, on the same machine, how a supervisor is doing.

Each supervisor that is asked to has one, named by its process, in a folder that only its user can enter. A question is one
line, the answer one line of JSON, and the connection ends. Nothing can be changed through it.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cluster_kit._version import __version__
from cluster_kit.errors import ClusterKitError
from cluster_kit.node import Node
from cluster_kit.supervisor.status import TopologyStatus, as_plain

ASK_S = 5.0  # for a question and its answer; a worker that doesn't answer is given a second
MAX_QUESTION_BYTES = 64
MAX_ANSWER_BYTES = 2**26  # ten thousand nodes with all the metadata they may have
SUFFIX = ".sock"
_QUESTION = b"status\n"
_BACKLOG = 16
_PEER = struct.Struct("=3i")  # pid, uid, gid; unix(7), SO_PEERCRED

Answer = Mapping[str, Any]

log = logging.getLogger("cluster_kit.supervisor")


def control_folders() -> list[Path]:
    """Return where this user's control sockets may be, the first place first; a service may not have what a shell has."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    own = [Path(runtime, "cluster-kit")] if runtime and Path(runtime).is_dir() else []
    return [*own, Path(tempfile.gettempdir(), f"cluster-kit-{os.getuid()}")]


class ControlSocket:
    """Answers with what ``status`` returns, in a thread of its own, from ``open`` until ``close``."""

    def __init__(self, status: Callable[[], Answer]) -> None:
        self._status = status
        self._path: Path | None = None
        self._sock: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Begin to answer; where there can't be a socket, that is all that is missing, and a warning tells why."""
        folder = control_folders()[0]
        try:
            _make_private(folder)
            _sweep(folder)
            self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listen(self._sock, folder)
            thread = threading.Thread(target=self._serve, args=(self._sock,), name="cluster-kit-control", daemon=True)
            thread.start()
        except (OSError, RuntimeError) as exc:
            self.close()
            cause = (getattr(exc, "strerror", None) or str(exc)).lower()
            log.warning("control: no socket in '%s', 'cluster-kit status' won't see this process: %s", folder, cause)
        except BaseException:  # such as Ctrl-C
            self.close()
            raise
        else:
            self._thread = thread

    def _listen(self, sock: socket.socket, folder: Path) -> None:
        """Take the name by which others look for it only once it listens: before, it looks like one that was left behind."""
        self._path = folder / f"{os.getpid()}-{os.urandom(4).hex()}.new"
        sock.bind(str(self._path))
        self._path.chmod(0o600)
        sock.listen(_BACKLOG)
        self._path = self._path.rename(self._path.with_suffix(SUFFIX))

    def close(self) -> None:
        """Answer no more, and leave no file; idempotent."""
        sock, self._sock = self._sock, None
        path, self._path = self._path, None
        if path is not None:
            path.unlink(missing_ok=True)
        if sock is None:
            return
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)  # ends the thread's wait
        if self._thread is not None:
            self._thread.join(ASK_S)
        sock.close()

    def _serve(self, sock: socket.socket) -> None:
        while True:
            try:
                connection, _ = sock.accept()
            except OSError:
                return
            with connection, suppress(OSError, ClusterKitError):
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(ASK_S)
        if _uid_of(connection) not in (os.getuid(), 0) or _read_line(connection, MAX_QUESTION_BYTES) != _QUESTION:
            return
        connection.sendall(json.dumps(self._status(), default=str).encode() + b"\n")


def describe(local: Node, cluster: str, topologies: Mapping[str, TopologyStatus], *, leaving: bool) -> Answer:
    """Return what a supervisor in this process tells of itself."""
    return {
        "node": local.key,
        "pid": os.getpid(),
        "cluster": cluster,
        "metadata": dict(local.metadata),
        "leaving": leaving,
        "version": __version__,
        "topologies": {name: as_plain(status) for name, status in topologies.items()},
    }


def ask_all(mute: list[int]) -> Iterator[Answer]:
    """Yield what each supervisor of this user tells of itself, those that have ended left out.

    Args:
        mute: Takes the process ids of those that don't answer in time.

    Raises:
        ClusterKitError: A folder is not ours alone: what is in it may be somebody else's.
    """
    for path in _sockets():
        try:
            yield _ask(path)
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)  # of a process that was killed
        except TimeoutError:
            mute.append(int(path.name.partition("-")[0]))
        except (OSError, ValueError):
            continue  # it is just ending


def _sockets() -> Iterator[Path]:
    for folder in control_folders():
        try:
            _check_private(folder)
        except FileNotFoundError:
            continue
        except OSError as exc:
            raise ClusterKitError(f"control sockets: cannot use '{folder}': {(exc.strerror or str(exc)).lower()}") from exc
        yield from sorted(folder.glob(f"*{SUFFIX}"))


def _ask(path: Path) -> Answer:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(ASK_S)
        sock.connect(str(path))
        sock.sendall(_QUESTION)
        answer: Answer = json.loads(_read_line(sock, MAX_ANSWER_BYTES))
    return answer


def _read_line(sock: socket.socket, limit: int) -> bytes:
    """Return a line, or what there is of it when ``limit`` is passed; one that drips in is given ``ASK_S`` as a whole."""
    line = bytearray()
    deadline_s = time.monotonic() + ASK_S
    while not line.endswith(b"\n") and len(line) <= limit:
        sock.settimeout(max(0.001, deadline_s - time.monotonic()))
        data = sock.recv(65536)
        if not data:
            break
        line += data
    return bytes(line)


def _uid_of(connection: socket.socket) -> int:
    """Return who is at the other end, by the kernel's word; where it has none, the folder lets nobody else in."""
    option = getattr(socket, "SO_PEERCRED", None)  # Linux
    if option is None:
        return os.getuid()
    uid: int = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, option, _PEER.size))[1]
    return uid


def _sweep(folder: Path) -> None:
    """Remove what processes left that were killed."""
    for path in folder.glob(f"*{SUFFIX}"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            try:
                sock.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:
                continue


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    _check_private(folder)


def _check_private(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(1, "it is not a folder that only its user can enter")
