"""The system's resolver blocks a thread: it holds up nobody, and it doesn't pile up."""

import asyncio
import socket
import threading

import pytest

from cluster_kit.strategies.dns import system
from cluster_kit.strategies.dns.replies import Kind, Status

ANSWER = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 0))]


class Hanging:
    """Stands for ``getaddrinfo``: hangs until it is let go."""

    def __init__(self):
        self.asked = 0
        self.may_answer = threading.Event()

    def __call__(self, *_, **__):
        self.asked += 1
        assert self.may_answer.wait(20)
        return ANSWER


@pytest.fixture
def hanging(monkeypatch):
    hanging = Hanging()
    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    monkeypatch.setattr(system, "PATIENCE_S", 0.05)
    yield hanging
    hanging.may_answer.set()
    join_look_ups()


def join_look_ups():
    for thread in threading.enumerate():
        if thread.name.startswith("look up"):
            thread.join(20)


def ask(name="web.test", kind=Kind.A):
    return asyncio.run(system.SystemResolver().ask(name, kind))


def test_a_look_up_that_hangs_is_a_failure_and_is_not_waited_for(hanging):
    reply = ask()  # asyncio.run would wait for the threads of its own executor
    assert reply.status is Status.FAILED
    assert not hanging.may_answer.is_set()


def test_a_question_that_hangs_is_not_asked_in_a_second_thread(hanging):
    assert ask().status is ask().status is ask().status is Status.FAILED
    assert hanging.asked == 1
    ask("db.test")
    ask("web.test", Kind.AAAA)
    assert hanging.asked == 3


def test_an_answer_that_comes_late_is_heard_by_the_next_who_asks(hanging, monkeypatch):
    ask()
    monkeypatch.setattr(system, "PATIENCE_S", 20)
    threading.Timer(0.05, hanging.may_answer.set).start()
    assert ask().addresses == ("10.0.0.1",)
    assert hanging.asked == 1


def test_who_gives_up_leaves_the_look_up_to_the_others(hanging, monkeypatch):
    monkeypatch.setattr(system, "PATIENCE_S", 20)

    async def scenario():
        resolver = system.SystemResolver()
        first, second = (asyncio.create_task(resolver.ask("web.test", Kind.A)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        hanging.may_answer.set()
        return (await second).addresses

    assert asyncio.run(scenario()) == ("10.0.0.1",)


def test_nothing_is_left_when_the_answer_has_come(hanging):
    before = threading.active_count()
    ask()
    hanging.may_answer.set()
    join_look_ups()
    assert threading.active_count() == before
    assert not system._asking


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (socket.EAI_NONAME, Status.NO_NAME),
        (socket.EAI_NODATA, Status.NO_DATA),
        (socket.EAI_ADDRFAMILY, Status.NO_DATA),
        (socket.EAI_AGAIN, Status.FAILED),
        (socket.EAI_FAIL, Status.FAILED),
        (socket.EAI_SYSTEM, Status.FAILED),
        (socket.EAI_MEMORY, Status.FAILED),
    ],
)
def test_codes_are_told_apart(code, status, monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror(code, "Some Reason")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert ask().status is status


def test_an_error_of_the_system_is_a_failure(monkeypatch):
    def fail(*_, **__):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert ask().said == "the system's resolver says: too many open files"
