"""The control socket: says how a supervisor is doing, to the same user on the same machine.

A supervisor has one if it is made with ``control=True``. It is a Unix socket named by the process,
in a folder that only its user can enter. A client sends one line, the answer is one line of JSON,
and the connection ends. Nothing can be changed through it.

The first half of this module is the server, the second half the client, which the command line
uses.
"""

from __future__ import annotations

import json
import logging
import os
import select
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster_kit._version import __version__
from cluster_kit.errors import ClusterKitError
from cluster_kit.node import Node
from cluster_kit.supervisor.control_files import (
    ANY,
    Wanted,
    check_private,
    control_folders,
    locked,
    make_private,
    new_path,
    pid_of,
    sockets_in,
)
from cluster_kit.supervisor.status import TopologyStatus, as_plain
from cluster_kit.supervisor.wakeup import WakeupPipe
from cluster_kit.throttle import Throttle

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

    from cluster_kit.config.certificate_files import CertificateFiles

ASK_S = 5.0  # for a question and its answer, which may wait a second for a worker
QUESTION_S = 0.5  # for reading the question, and for sending the answer: other clients wait
MAX_QUESTION_BYTES = 64
MAX_ANSWER_BYTES = 2**26  # ten thousand nodes with as much metadata as they may have
_QUESTION = b"status\n"
_BACKLOG = 16
_PEER = struct.Struct("=3i")  # pid, uid, gid; unix(7), SO_PEERCRED
_CURE = "set XDG_RUNTIME_DIR to a folder of yours that can be written to"

Answer = Mapping[str, Any]

log = logging.getLogger("cluster_kit.supervisor")


class ControlSocket:
    """Sends ``answer()`` to each client, on a thread of its own, from ``open`` until ``close``.

    A socket whose file is gone is replaced: cleaners of old files, and the end of a login session,
    may remove it while we live.

    Args:
        answer: Returns the answer.
        node: The node's name; clients select by it and by ``cluster`` whom to ask.
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
        """Listen in the first folder where that is possible.

        Raises:
            OSError: It is possible in none; this is the error of the first.
        """
        error: OSError | None = None
        for folder in control_folders():
            try:
                return _Listener(folder, self._node, self._cluster)
            except OSError as exc:
                error = error or OSError(exc.errno, f"'{folder}': {_cause(exc)}")
        raise error or OSError("there is no folder for it, not even one for temporary files")

    def close(self) -> None:
        """Stop answering, and remove the file; idempotent."""
        self._closing = True
        if self._wakeup is not None:
            self._wakeup.wake()
        if self._thread is not None:
            self._thread.join(ASK_S)
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
        if _read_line(connection, MAX_QUESTION_BYTES) != _QUESTION:
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
        _sweep(folder)
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


def _cause(exc: Exception) -> str:
    return str(getattr(exc, "strerror", None) or exc)


def _warn(exc: Exception) -> None:
    what = "no control socket, 'cluster-kit status' won't see this process"
    log.warning("control: %s: %s; %s", what, _cause(exc), _CURE)


def _readable(files: Iterable[FileDescriptorLike], timeout_s: float) -> set[int]:
    """Wait until any of ``files`` can be read; return the descriptors of those that can."""
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


def ask_all(mute: list[int], wanted: Wanted = ANY, within_s: float = ASK_S) -> Iterator[Answer]:
    """Ask the supervisors of this user; yield their answers as they arrive.

    All are asked at the same time, so that one that does not answer holds up no other. Those that
    have ended are left out.

    Args:
        mute: Receives the process ids of those that do not answer in time.
        wanted: Which supervisors to ask.
        within_s: How long to wait for the answers, in seconds.

    Raises:
        ClusterKitError: Others can write to the folder, so its sockets can't be trusted.
    """
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for path in filter(wanted.may_be, _sockets()):
            _ask(path, mute, stack, selector)
        yield from filter(wanted.includes, _answers(selector, within_s))
        mute += [pid_of(key.data.path) for key in selector.get_map().values()]


class _Asked:
    """A supervisor whose answer is awaited."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.received = bytearray()


def _sockets() -> Iterator[Path]:
    """Yield the sockets in the folders that can be used; raise if there are only others."""
    usable, faults = False, []
    for folder in control_folders():
        try:
            check_private(folder)
        except FileNotFoundError:
            continue
        except OSError as exc:
            fault = f"cannot use '{folder}': {_cause(exc)}"
            faults.append(ClusterKitError(f"control sockets: {fault}"))
        else:
            usable = True
            yield from sockets_in(folder)
    if faults and not usable:
        raise faults[0]


def _ask(path: Path, mute: list[int], stack: ExitStack, selector: selectors.BaseSelector) -> None:
    """Send the question, and have ``selector`` wait for the answer."""
    sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    sock.setblocking(False)
    try:
        sock.connect(str(path))
        sock.sendall(_QUESTION)
    except ConnectionRefusedError:
        _remove_if_dead(path)
    except BlockingIOError:  # its backlog is full
        mute.append(pid_of(path))
    except OSError:
        return  # it is ending
    else:
        selector.register(sock, selectors.EVENT_READ, _Asked(path))


def _answers(selector: selectors.BaseSelector, within_s: float) -> Iterator[Answer]:
    """Yield the answers that arrive in time; ``selector`` keeps those that are still awaited."""
    deadline_s = time.monotonic() + within_s
    while selector.get_map() and (left_s := deadline_s - time.monotonic()) > 0:
        for key, _ in selector.select(left_s):
            if _is_complete(key.data, key.fileobj):
                selector.unregister(key.fileobj)
                with suppress(ValueError):  # it ended while it answered, or is another version
                    yield read_answer(key.data.received)


def read_answer(received: bytes | bytearray) -> Answer:
    """Return a supervisor's answer, which names at least its node, its process and its cluster.

    Raises:
        ValueError: It is not such an answer.
    """
    try:
        answer = json.loads(received)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    if not isinstance(answer, dict):
        raise ValueError("not a mapping")
    kinds = {"node": str, "pid": int, "cluster": str}
    if any(type(answer.get(key)) is not kind for key, kind in kinds.items()):
        raise ValueError(f"without {', '.join(kinds)}")
    return answer


def _is_complete(asked: _Asked, sock: Any) -> bool:
    """Read what there is; return whether the answer is complete."""
    try:
        data = sock.recv(65536)
    except OSError:
        return True
    asked.received += data
    return not data or data.endswith(b"\n") or len(asked.received) > MAX_ANSWER_BYTES


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


def _sweep(folder: Path) -> None:
    """Remove the sockets of processes that were killed."""
    for path in sockets_in(folder):
        _remove_if_dead(path)


def _remove_if_dead(path: Path) -> None:
    """Remove a socket unless some process listens to it, or is about to."""
    with suppress(OSError), locked(path.parent, patience_s=0.0) as alone:
        if alone and _refuses(path):
            path.unlink()


def _refuses(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            sock.connect(str(path))
        except OSError as exc:
            return isinstance(exc, ConnectionRefusedError)
        return False
