"""The control socket: reports a supervisor's status to the same user on the same machine.

A supervisor has one if it is made with ``control=True``. It is a Unix socket named by the process,
in a folder that only its user can enter (``control_files``). A client (``control_client``) sends
one line, the answer is one line of JSON, and the connection ends. Nothing can be changed through
it.
"""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cluster_kit._version import __version__
from cluster_kit.errors import ClusterKitError
from cluster_kit.node import Node
from cluster_kit.supervisor.control_files import (
    QUESTION,
    Answer,
    control_folders,
    locked,
    make_private,
    new_path,
    sweep,
    system_text,
)
from cluster_kit.supervisor.status import TopologyStatus, as_plain
from cluster_kit.supervisor.wakeup import WakeupPipe
from cluster_kit.throttle import Throttle

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

    from cluster_kit.config.certificate_files import CertificateFiles

QUESTION_S = 0.5  # for reading the question, and for sending the answer: other clients wait
MAX_QUESTION_BYTES = 64
_BACKLOG = 16
_JOIN_S = 5.0  # an answer may wait a second for a worker
_PEER = struct.Struct("=3i")  # pid, uid, gid; unix(7), SO_PEERCRED
_CURE = "set XDG_RUNTIME_DIR to a folder of yours that can be written to"

log = logging.getLogger("cluster_kit.supervisor")


class ControlSocket:
    """Sends ``answer()`` to each client, on a separate thread, from ``open`` until ``close``.

    A socket whose file is gone is replaced: cleaners of old files, and the end of a login session,
    may remove it while the supervisor runs.

    Args:
        answer: Returns the answer.
        node: The node's name; by it and by ``cluster``, clients choose which sockets to ask.
    """

    look_s = 5.0  # between two checks that the file is still there

    def __init__(self, answer: Callable[[], Answer], *, node: str = "", cluster: str = "") -> None:
        self._make_answer = answer
        self._node = node
        self._cluster = cluster
        self._throttle = Throttle()
        self._closing = False
        self._wakeup: WakeupPipe | None = None
        self._listener: _Listener | None = None
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Start answering; if there can't be a socket, warn, and go on without one."""
        try:
            self._wakeup = WakeupPipe()
            self._listener = self._listen()
            thread = threading.Thread(
                target=self._serve,
                args=(self._listener, self._wakeup),
                name="cluster-kit-control",
                daemon=True,
            )
            thread.start()
        except (OSError, RuntimeError) as exc:
            self.close()
            _warn(exc)
        except BaseException:  # such as Ctrl-C
            self.close()
            raise
        else:
            self._thread = thread

    def _listen(self) -> _Listener:
        """Listen in the first usable folder.

        Raises:
            OSError: It is possible in none; this is the error of the first.
        """
        error: OSError | None = None
        for folder in control_folders():
            try:
                return _Listener(folder, self._node, self._cluster)
            except OSError as exc:
                error = error or OSError(exc.errno, f"'{folder}': {system_text(exc)}")
        raise error or OSError("there is no folder for it, not even one for temporary files")

    def close(self) -> None:
        """Stop answering, and remove the file; idempotent."""
        self._closing = True
        if self._wakeup is not None:
            self._wakeup.wake()
        if self._thread is not None:
            self._thread.join(_JOIN_S)
        for each in (self._listener, self._wakeup):
            if each is not None:
                each.close()

    def _serve(self, listener: _Listener, wakeup: WakeupPipe) -> None:
        while not self._closing:
            if listener.sock.fileno() not in _readable((listener.sock, wakeup), self.look_s):
                listener = self._found_again(listener)
                continue
            try:
                connection, _ = listener.sock.accept()
            except OSError:  # we are out of file descriptors
                _readable((wakeup,), self.look_s)
                continue
            with connection, suppress(OSError, ClusterKitError):
                self._answer(connection)

    def _found_again(self, listener: _Listener) -> _Listener:
        """Return ``listener``, or another one if its file is gone."""
        if listener.is_found or self._closing:
            return listener
        try:
            self._listener = new = self._listen()
        except OSError as exc:
            if self._throttle.passes("lost", time.monotonic()):
                _warn(exc)
            return listener
        log.info("control: '%s' is gone, the new socket is '%s'", listener.path, new.path)
        listener.close()
        return new

    def _answer(self, connection: socket.socket) -> None:
        if _uid_of(connection) not in (os.getuid(), 0):
            return
        if _read_line(connection, MAX_QUESTION_BYTES) != QUESTION:
            return
        connection.settimeout(QUESTION_S)
        connection.sendall(json.dumps(self._make_answer(), default=str).encode() + b"\n")


class _Listener:
    """A listening socket and its file.

    Raises:
        OSError: The folder can't be used.
    """

    def __init__(self, folder: Path, node: str, cluster: str) -> None:
        make_private(folder)
        sweep(folder)
        self.path = new_path(folder, node, cluster)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with locked(folder):
                self.sock.bind(str(self.path))
                self.path.chmod(0o600)
                self._identity = _identity(self.path)
                self.sock.listen(_BACKLOG)
            self.sock.setblocking(False)
        except BaseException:
            self.sock.close()
            with suppress(OSError):
                self.path.unlink()
            raise

    @property
    def is_found(self) -> bool:
        """Whether the file is still there, and still this socket's."""
        try:
            return _identity(self.path) == self._identity
        except OSError:
            return False

    def close(self) -> None:
        """Close the socket, and remove its file; idempotent."""
        if self.is_found:
            with suppress(OSError):
                self.path.unlink()
        self.sock.close()


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


def _warn(exc: Exception) -> None:
    what = "no control socket, 'cluster-kit status' won't see this process"
    log.warning("control: %s: %s; %s", what, system_text(exc), _CURE)


def _readable(files: Iterable[FileDescriptorLike], timeout_s: float) -> set[int]:
    """Wait until any of ``files`` can be read; return the descriptors of the readable ones."""
    poller = select.poll()
    for file in files:
        poller.register(file, select.POLLIN)
    return {fd for fd, _ in poller.poll(timeout_s * 1000)}


def describe(
    local: Node,
    cluster: str,
    topologies: Mapping[str, TopologyStatus],
    *,
    leaving: bool,
    secrets: Iterable[bytes] = (),
    certificates: CertificateFiles | None = None,
) -> Answer:
    """Return the answer of a supervisor in this process."""
    return {
        "node": local.key,
        "pid": os.getpid(),
        "cluster": cluster,
        "metadata": dict(local.metadata),
        "leaving": leaving,
        "secrets": [each.hex() for each in secrets],
        "certificates": None if certificates is None else certificates.as_plain(),
        "version": __version__,
        "topologies": {name: as_plain(status) for name, status in topologies.items()},
    }


def _read_line(sock: socket.socket, limit: int) -> bytes:
    """Return a line, cut off soon after ``limit`` bytes; it must arrive within ``QUESTION_S``."""
    line = bytearray()
    deadline_s = time.monotonic() + QUESTION_S
    while not line.endswith(b"\n") and len(line) <= limit:
        sock.settimeout(max(0.001, deadline_s - time.monotonic()))
        data = sock.recv(65536)
        if not data:
            break
        line += data
    return bytes(line)


def _uid_of(connection: socket.socket) -> int:
    """Return the user at the other end; on other systems than Linux, the folder admits only us."""
    option = getattr(socket, "SO_PEERCRED", None)  # Linux
    if option is None:
        return os.getuid()
    uid: int = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, option, _PEER.size))[1]
    return uid
