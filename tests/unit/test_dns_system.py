"""What the system's resolver says, in the words of the DNS strategies."""

import asyncio
import socket
import threading

import pytest

from cluster_kit.strategies.dns import system
from cluster_kit.strategies.dns.replies import RecordType, ReplyStatus


def ask(name="web.test", kind=RecordType.A, **patience):
    return asyncio.run(system.SystemResolver(**patience).ask(name, kind))


def test_a_look_up_that_hangs_is_a_failure(monkeypatch):
    may_answer = threading.Event()
    monkeypatch.setattr("cluster_kit.resolving._ask", answer_or_hang(may_answer))
    try:
        assert ask(patience_s=0.05).reason == "the system's resolver does not answer"
    finally:
        may_answer.set()
        for thread in threading.enumerate():
            if thread.name.startswith("look up"):
                thread.join(20)


def answer_or_hang(may_answer):
    def ask(host, port, family, kind, flags=0):
        if not flags & socket.AI_NUMERICHOST and may_answer.wait(20):
            return []
        raise socket.gaierror(socket.EAI_NONAME, "not an address")

    return ask


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (socket.EAI_NONAME, ReplyStatus.NO_NAME),
        (socket.EAI_NODATA, ReplyStatus.NO_DATA),
        (socket.EAI_ADDRFAMILY, ReplyStatus.NO_DATA),
        (socket.EAI_AGAIN, ReplyStatus.FAILED),
        (socket.EAI_FAIL, ReplyStatus.FAILED),
        (socket.EAI_SYSTEM, ReplyStatus.FAILED),
        (socket.EAI_MEMORY, ReplyStatus.FAILED),
    ],
)
def test_codes_are_distinguished(code, status, monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror(code, "Some Reason")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert ask().status is status


def test_an_error_of_the_system_is_a_failure(monkeypatch):
    def fail(*_, **__):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert ask().reason == "the system's resolver says: too many open files"
