"""Targets: what other processes of the same user send to the control socket and a worker's pipe."""

import json
import socket
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from fuzz_target import JSON, Target, framed

from cluster_kit.node import Node
from cluster_kit.pipe import reader
from cluster_kit.pipe.reader import parcel_head
from cluster_kit.pipe.socket_channel import SocketChannel
from cluster_kit.supervisor.control import MAX_QUESTION_BYTES, _read_line, describe
from cluster_kit.supervisor.control_client import read_answer
from cluster_kit.supervisor.control_files import Wanted
from cluster_kit.worker.__main__ import GREETING

ANSWER = describe(
    Node(name="ann@10.0.0.1", metadata={"zone": "a"}),
    "shop",
    {},
    leaving=False,
    secrets=[b"12345678"],
)


def check_answer(heard: bytes) -> bool:
    """An answer names its sender, by which it can be chosen, or is none."""
    try:
        answer = read_answer(heard)
    except ValueError:
        return False
    assert Wanted(cluster=answer["cluster"], names=(answer["node"],)).includes(answer)
    assert Wanted(names=(str(answer["pid"]),)).includes(answer)
    return True


def check_question(data: bytes) -> bool:
    """A line is read to its end; without an end, at most one chunk beyond the limit."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        line = _read_line(ours, MAX_QUESTION_BYTES)
    assert data.startswith(line)
    assert line == data or line.endswith(b"\n") or len(line) > MAX_QUESTION_BYTES
    return line.endswith(b"\n")


def said(*messages: Any) -> bytes:
    bodies = [json.dumps(message).encode() for message in messages]
    return b"".join(len(body).to_bytes(4, "big") + body for body in bodies)


def received(data: bytes, size: int) -> tuple[list[Any], str | None, bool]:
    """Return a channel's messages, why it ended, and whether the other end sent the greeting."""
    ours, theirs = socket.socketpair()
    messages: list[Any] = []
    with theirs:
        channel = SocketChannel(ours, GREETING)
        try:
            for start in range(0, len(data), size):
                # it takes nothing more once it has heard what it can't read
                with suppress(BrokenPipeError):
                    theirs.sendall(data[start : start + size])
                messages += channel.receive()
            theirs.shutdown(socket.SHUT_WR)
            channel.receive()
        except EOFError as exc:
            return messages, str(exc), channel.greeted
        finally:
            channel.close()
    raise AssertionError("the end was not noticed")


def check_pipe(data: bytes) -> bool:
    """Nothing is unpickled before the greeting, and the same is received however it is cut.

    Made-up pickles run what code they like, and come from our own processes only: JSON stands in
    for them.
    """
    with patch.object(
        reader, "pickle", SimpleNamespace(loads=lambda body: json.loads(bytes(body)))
    ):
        messages, _, greeted = received(data, max(1, len(data)))
        for size in (3, 50):
            assert received(data, size)[::2] == (messages, greeted)
    assert greeted == data.startswith(GREETING)
    assert greeted or not messages
    return bool(messages)


TARGETS = (
    Target(
        name="control-answer",
        of=("cluster_kit.supervisor.control_client:read_answer",),
        check=check_answer,
        seeds=(
            json.dumps(ANSWER).encode() + b"\n",
            JSON.write({"node": "x", "pid": 7, "cluster": "c"}),
        ),
        form=JSON,
    ),
    Target(
        name="control-question",
        of=("cluster_kit.supervisor.control:ControlSocket",),
        check=check_question,
        seeds=(b"status\n", b"status\nstatus\n"),
        max_bytes=200,
    ),
    Target(
        name="pipe",
        of=("cluster_kit.pipe.reader:PipeReader.take",),
        check=check_pipe,
        seeds=(
            GREETING + said([], {"a": 1}, "x" * 60),
            GREETING + said(1) + b"\0\0\0\1{",
            GREETING + said(1) + parcel_head(7, b"payload") + b"payload" + said(2),
            GREETING + said(1) + b"\0\0\0\3\1\0\0" + said(2),
        ),
        form=framed(JSON)._replace(head_bytes=len(GREETING)),
    ),
)
