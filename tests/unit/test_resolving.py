"""Look-ups block threads of their own: they delay nothing else, and don't pile up."""

import asyncio
import socket
import threading

import pytest

from cluster_kit import resolving
from cluster_kit.resolving import LookUps, resolve

ANSWER = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 0))]


class Hanging:
    """Stands for ``getaddrinfo``: names hang until they are let go, addresses are answered at
    once.
    """

    def __init__(self):
        self.asked = 0
        self.may_answer = threading.Event()
        self._real = socket.getaddrinfo

    def __call__(self, host, port, *, family=0, type=0, flags=0):  # noqa: A002 - that is what it is called
        if flags & socket.AI_NUMERICHOST:
            return self._real(host, port, family=family, type=type, flags=flags)
        self.asked += 1
        assert self.may_answer.wait(20)
        return ANSWER


@pytest.fixture
def hanging(monkeypatch):
    hanging = Hanging()
    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    yield hanging
    hanging.may_answer.set()
    join_look_ups()


def join_look_ups():
    for thread in threading.enumerate():
        if thread.name.startswith("look up"):
            thread.join(20)


def give_up(*names, by=resolve):
    """Ask for each name, wait for a moment, and give up."""

    async def ask_all():
        questions = [asyncio.create_task(by(name)) for name in names]
        await asyncio.wait(questions, timeout=0.05)
        return [each.cancel() for each in questions]

    return asyncio.run(ask_all())


def test_a_look_up_that_hangs_is_not_waited_for(hanging):
    # asyncio.run would wait for the threads of its own executor
    assert give_up("web.test") == [True]
    assert not hanging.may_answer.is_set()


def test_a_question_that_hangs_is_not_asked_in_a_second_thread(hanging):
    give_up("web.test", "web.test")
    give_up("web.test")
    assert hanging.asked == 1
    give_up("db.test")
    assert hanging.asked == 2


@pytest.mark.parametrize("address", ["10.0.0.7", "fd00::7"])
def test_addresses_are_answered_while_any_number_of_names_hangs(hanging, address):
    give_up(*(f"web-{number}.test" for number in range(100)))
    [(*_, sockaddr)] = asyncio.run(resolve(address, 4000))
    assert sockaddr[:2] == (address, 4000)


def test_a_name_is_answered_while_others_hang(hanging, monkeypatch):
    give_up(*(f"web-{number}.test" for number in range(100)))
    monkeypatch.undo()
    assert asyncio.run(resolve("localhost", 4000))


def test_the_number_of_threads_is_bounded(hanging):
    few = LookUps(max_threads=3)
    give_up("a.test", "b.test", "c.test", by=few.resolve)
    with pytest.raises(socket.gaierror, match="3 other names are being looked up"):
        asyncio.run(few.resolve("d.test"))


def test_names_that_took_long_leave_room_for_others(hanging):
    few = LookUps(max_threads=4, reserved=2, slow_s=0.0)
    give_up("a.test", "b.test", "c.test", by=few.resolve)
    hanging.may_answer.set()
    join_look_ups()
    hanging.may_answer.clear()
    give_up("a.test", "b.test", by=few.resolve)
    with pytest.raises(socket.gaierror, match="2 other names are being looked up"):
        asyncio.run(few.resolve("c.test"))
    asked = hanging.asked
    give_up("new.test", by=few.resolve)
    assert hanging.asked == asked + 1


def test_name_that_is_fast_again_may_use_reserved_threads(hanging):
    now_s = [0.0]
    few = LookUps(max_threads=2, reserved=1, clock=lambda: now_s[0])
    give_up("a.test", by=few.resolve)
    now_s[0] += 10.0
    hanging.may_answer.set()
    join_look_ups()
    assert asyncio.run(few.resolve("a.test")) == ANSWER
    hanging.may_answer.clear()
    give_up("b.test", "a.test", by=few.resolve)
    assert len(few) == 2


def test_a_thread_that_can_t_be_started_is_a_failure_of_this_question_only(monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as refusing:
        refusing.setattr(threading.Thread, "start", refuse)
        with pytest.raises(socket.gaierror, match="can't start new thread"):
            asyncio.run(resolve("localhost"))
    assert asyncio.run(resolve("localhost"))


def test_cancelled_caller_leaves_the_look_up_to_the_others(hanging):
    async def scenario():
        first, second = (asyncio.create_task(resolve("web.test")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        hanging.may_answer.set()
        return await second

    assert asyncio.run(scenario()) == ANSWER


def test_the_name_that_the_host_was_found_by_comes_along_where_it_is_asked_for():
    [(*_, name, _), *_] = asyncio.run(resolve("localhost", canonical=True))
    assert name
    [(*_, name, _), *_] = asyncio.run(resolve("localhost"))
    assert not name


def test_nothing_is_left_when_the_answer_has_come(hanging):
    before = threading.active_count()
    own = LookUps()
    give_up("web.test", by=own.resolve)
    hanging.may_answer.set()
    join_look_ups()
    assert threading.active_count() == before
    assert not len(own)


def test_invalid_host_name_is_a_failure():
    own = LookUps()
    with pytest.raises(socket.gaierror, match="not a host name"):
        asyncio.run(own.resolve("a" * 70 + ".test"))
    assert not len(own)


def test_whatever_the_system_raises_ends_the_question(monkeypatch):
    def fail(host, port, family, kind, flags=0):
        raise socket.gaierror(socket.EAI_NONAME, "no address") if flags else MemoryError

    monkeypatch.setattr(resolving, "_ask", fail)
    own = LookUps()
    with pytest.raises(MemoryError):
        asyncio.run(own.resolve("web.test"))
    assert not len(own)
