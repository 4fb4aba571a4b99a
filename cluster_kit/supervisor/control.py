"""The control socket: tells those of the same user, on the same machine, how a supervisor is doing.

Each supervisor that is asked to has one, named by its process, in a folder that only its user can enter. A question is one
line, the answer one line of JSON, and the connection ends. Nothing can be changed through it.
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

ASK_S = 5.0  # for a question and its answer; a worker that doesn't answer is given a second
QUESTION_S = 0.5  # for the question alone, and for taking the answer: others wait meanwhile
LOOK_S = 5.0  # between two looks whether the file is still there
MAX_QUESTION_BYTES = 64
MAX_ANSWER_BYTES = 2**26  # ten thousand nodes with all the metadata they may have
_QUESTION = b"status\n"
_BACKLOG = 16
_PEER = struct.Struct("=3i")  # pid, uid, gid; unix(7), SO_PEERCRED
_CURE = "set XDG_RUNTIME_DIR to a folder of yours that can be written to"

Answer = Mapping[str, Any]

log = logging.getLogger("cluster_kit.supervisor")


class ControlSocket:
    """Answers with what ``status`` returns, in a thread of its own, from ``open`` until ``close``.

    A socket whose file is gone is replaced: cleaners of old files, and the end of a login session, remove it while we live.

    Args:
        status: Returns the answer.
        node: The node's name, and ``cluster`` its cluster, by which others select whom they ask.
    """

    def __init__(self, status: Callable[[], Answer], *, node: str = "", cluster: str = "") -> None:
        self._status = status
        self._node = node
        self._cluster = cluster
        self._throttle = Throttle()
        self._closing = False
        self._wakeup: WakeupPipe | None = None
        self._listener: _Listener | None = None
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Begin to answer; where there can't be a socket, that is all that is missing, and a warning tells why."""
        try:
            self._wakeup = WakeupPipe()
            self._listener = self._listen()
            thread = threading.Thread(
                target=self._serve, args=(self._listener, self._wakeup), name="cluster-kit-control", daemon=True
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
            OSError: There is none; the first one's cause.
        """
        error: OSError | None = None
        for folder in control_folders():
            try:
                return _Listener(folder, self._node, self._cluster)
            except OSError as exc:
                error = error or OSError(exc.errno, f"'{folder}': {_cause(exc)}")
        raise error or OSError("there is no folder for it, not even one for temporary files")

    def close(self) -> None:
        """Answer no more, and leave no file; idempotent."""
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
            if listener.sock.fileno() not in _readable((listener.sock, wakeup), LOOK_S):
                listener = self._seen_to(listener)
                continue
            try:
                connection, _ = listener.sock.accept()
            except OSError:  # there is no descriptor left
                _readable((wakeup,), LOOK_S)
                continue
            with connection, suppress(OSError, ClusterKitError):
                self._answer(connection)

    def _seen_to(self, listener: _Listener) -> _Listener:
        """Return another one if nobody finds ``listener`` any more."""
        if listener.is_found or self._closing:
            return listener
        try:
            self._listener = self._listen()
        except OSError as exc:
            if self._throttle.passes("lost", time.monotonic()):
                _warn(exc)
            return listener
        log.info("control: '%s' is gone, the new socket is '%s'", listener.path, self._listener.path)
        listener.close()
        return self._listener

    def _answer(self, connection: socket.socket) -> None:
        if _uid_of(connection) not in (os.getuid(), 0) or _read_line(connection, MAX_QUESTION_BYTES) != _QUESTION:
            return
        connection.settimeout(QUESTION_S)
        connection.sendall(json.dumps(self._status(), default=str).encode() + b"\n")


class _Listener:
    """A listening socket and its file.

    Raises:
        OSError: It can't be had there.
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
        """Whether whoever looks for the file finds this socket."""
        try:
            return _identity(self.path) == self._identity
        except OSError:
            return False

    def close(self) -> None:
        """Remove the file, if it is ours; idempotent."""
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
    log.warning("control: no control socket, 'cluster-kit status' won't see this process: %s; %s", _cause(exc), _CURE)


def _readable(files: Iterable[FileDescriptorLike], timeout_s: float) -> set[int]:
    """Wait until one of ``files`` can be read, or for so long; return the numbers of those that can."""
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
    """Return what a supervisor in this process tells of itself."""
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
    """Yield what the supervisors of this user tell of themselves, as they answer; those that have ended are left out.

    All are asked at once, so that one that does not answer holds up no other.

    Args:
        mute: Takes the process ids of those that don't answer in time.
        wanted: Whom to ask.
        within_s: Seconds that each has for its answer.

    Raises:
        ClusterKitError: A folder is not ours alone: what is in it may be somebody else's.
    """
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for path in filter(wanted.may_be, _sockets()):
            _ask(path, mute, stack, selector)
        yield from filter(wanted.includes, _answers(selector, within_s))
        mute += [pid_of(key.data.path) for key in selector.get_map().values()]


class _Asked:
    """One whose answer is awaited."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard = bytearray()


def _sockets() -> Iterator[Path]:
    """Yield the sockets in the folders that can be used; raises where there are folders, and none of them can."""
    usable, faults = False, []
    for folder in control_folders():
        try:
            check_private(folder)
        except FileNotFoundError:
            continue
        except OSError as exc:
            faults.append(ClusterKitError(f"control sockets: cannot use '{folder}': {_cause(exc)}"))
        else:
            usable = True
            yield from sockets_in(folder)
    if faults and not usable:
        raise faults[0]


def _ask(path: Path, mute: list[int], stack: ExitStack, selector: selectors.BaseSelector) -> None:
    """Put the question, and have ``selector`` wait for the answer."""
    sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    sock.setblocking(False)
    try:
        sock.connect(str(path))
        sock.sendall(_QUESTION)
    except ConnectionRefusedError:
        _remove_if_dead(path)
    except BlockingIOError:  # so many wait for it that it can't take one more
        mute.append(pid_of(path))
    except OSError:
        return  # it is just ending
    else:
        selector.register(sock, selectors.EVENT_READ, _Asked(path))


def _answers(selector: selectors.BaseSelector, within_s: float) -> Iterator[Answer]:
    """Yield the answers that come in time; who is still awaited then is left in ``selector``."""
    deadline_s = time.monotonic() + within_s
    while selector.get_map() and (left_s := deadline_s - time.monotonic()) > 0:
        for key, _ in selector.select(left_s):
            if _is_complete(key.data, key.fileobj):
                selector.unregister(key.fileobj)
                with suppress(ValueError):  # it ended amid its answer, or is of another version
                    yield read_answer(key.data.heard)


def read_answer(heard: bytes | bytearray) -> Answer:
    """Return what a supervisor told of itself: whatever else that is, it names its node, its process and its cluster.

    Raises:
        ValueError: It is no such answer.
    """
    try:
        answer = json.loads(heard)
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc
    if not isinstance(answer, dict):
        raise ValueError("no mapping")
    kinds = {"node": str, "pid": int, "cluster": str}
    if any(type(answer.get(key)) is not kind for key, kind in kinds.items()):
        raise ValueError(f"without {', '.join(kinds)}")
    return answer


def _is_complete(asked: _Asked, sock: Any) -> bool:
    """Read on; return whether that was all."""
    try:
        data = sock.recv(65536)
    except OSError:
        return True
    asked.heard += data
    return not data or data.endswith(b"\n") or len(asked.heard) > MAX_ANSWER_BYTES


def _read_line(sock: socket.socket, limit: int) -> bytes:
    """Return a line, or what there is of it when ``limit`` is passed; one that drips in is given ``QUESTION_S`` as a whole."""
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
    """Return who is at the other end, by the kernel's word; where it has none, the folder lets nobody else in."""
    option = getattr(socket, "SO_PEERCRED", None)  # Linux
    if option is None:
        return os.getuid()
    uid: int = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, option, _PEER.size))[1]
    return uid


def _sweep(folder: Path) -> None:
    """Remove what processes left that were killed."""
    for path in sockets_in(folder):
        _remove_if_dead(path)


def _remove_if_dead(path: Path) -> None:
    """Remove a socket that nobody listens to, and that nobody is about to listen to."""
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
