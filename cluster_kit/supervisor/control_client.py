"""Queries the status of supervisors over their control sockets, for the command line."""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from cluster_kit.errors import ClusterKitError
from cluster_kit.supervisor.control_files import (
    ANY,
    QUESTION,
    Answer,
    Wanted,
    check_private,
    control_folders,
    pid_of,
    remove_if_dead,
    sockets_in,
    system_text,
)

ASK_S = 5.0  # for a question and its answer, which may wait a second for a worker
MAX_ANSWER_BYTES = 2**26  # ten thousand nodes with as much metadata as they may have


def ask_all(
    unresponsive: list[int], wanted: Wanted = ANY, within_s: float = ASK_S
) -> Iterator[Answer]:
    """Ask the supervisors of this user; yield their answers as they arrive.

    All are asked at the same time, so that one that does not answer holds up no other. Those that
    have ended are left out.

    Args:
        unresponsive: Receives the ids of processes that do not answer in time.
        wanted: Which supervisors to ask.
        within_s: How long to wait for the answers, in seconds.

    Raises:
        ClusterKitError: Others can write to the folder, so its sockets can't be trusted.
    """
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for path in filter(wanted.may_be, _sockets()):
            _ask(path, unresponsive, stack, selector)
        yield from filter(wanted.includes, _answers(selector, within_s))
        unresponsive += [pid_of(key.data.path) for key in selector.get_map().values()]


class _PendingAnswer:
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
            fault = f"cannot use '{folder}': {system_text(exc)}"
            faults.append(ClusterKitError(f"control sockets: {fault}"))
        else:
            usable = True
            yield from sockets_in(folder)
    if faults and not usable:
        raise faults[0]


def _ask(
    path: Path, unresponsive: list[int], stack: ExitStack, selector: selectors.BaseSelector
) -> None:
    """Send the question, and register the socket to wait for the answer."""
    sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    sock.setblocking(False)
    try:
        sock.connect(str(path))
        sock.sendall(QUESTION)
    except ConnectionRefusedError:
        remove_if_dead(path)
    except BlockingIOError:  # its backlog is full
        unresponsive.append(pid_of(path))
    except OSError:
        return  # it is ending
    else:
        selector.register(sock, selectors.EVENT_READ, _PendingAnswer(path))


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


def _is_complete(pending: _PendingAnswer, sock: Any) -> bool:
    """Read what there is; return whether the answer is complete."""
    try:
        data = sock.recv(65536)
    except OSError:
        return True
    pending.received += data
    return not data or data.endswith(b"\n") or len(pending.received) > MAX_ANSWER_BYTES
