"""The application's functions that answer questions, and where they run.

A plain function runs in one of some threads, which are started as they are needed; a coroutine function in the application's
event loop, or in one in the background where the application has none. What it returns is the answer, and so is what it raises.
"""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from cluster_kit.errors import described
from cluster_kit.supervisor.topics.items import Message
from cluster_kit.topics.data import decode, encode
from cluster_kit.topics.outcomes import Asked
from cluster_kit.topics.questions import MAX_OPEN

if TYPE_CHECKING:
    import asyncio

    from cluster_kit.supervisor.topics.switchboard import Switchboard
    from cluster_kit.topics.messenger import Messenger

MOST_THREADS = 16

_MOST_OPEN = 2 * MAX_OPEN  # of one node, whose link may be a new one while those of the last are still answered

_JOIN_S = 2.0  # how long one answer may take once everything else has ended

log = logging.getLogger("cluster_kit.supervisor")


class AnswerThreads:
    """At most ``MOST_THREADS`` threads, from the first question until ``close``; they keep nobody from exiting."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._closed = False

    def submit(self, job: Callable[[], None]) -> None:
        """Have ``job`` done in its turn; raises ``RuntimeError`` if there is no thread for it."""
        with self._lock:
            if self._closed:
                raise RuntimeError("it is about to stop")
            if self._unfinished >= len(self._threads) and len(self._threads) < MOST_THREADS:
                self._start_one()
            self._unfinished += 1
        self._jobs.put(job)

    def _start_one(self) -> None:
        thread = threading.Thread(target=self._run, name="cluster-kit-answers", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                raise
        else:
            self._threads.append(thread)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            with self._lock:
                self._unfinished -= 1

    def close(self) -> None:
        """End each thread once it has nothing to do."""
        with self._lock:
            self._closed = True
        for _ in self._threads:
            self._jobs.put(None)

    def join(self) -> None:
        """Wait for their end, but not for long for a function that blocks, and not for the thread that calls this."""
        deadline_s = time.monotonic() + _JOIN_S
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline_s - time.monotonic()))


class Answerer:
    """One function that answers the questions of a topic.

    Args:
        function: Takes a ``Message`` and returns plain data, or a coroutine function that does.
        threads: Where it runs unless it is a coroutine function.
        loop: Returns the event loop where it runs if it is one.
    """

    def __init__(
        self, function: Callable[[Message], Any], threads: AnswerThreads, loop: Callable[[], asyncio.AbstractEventLoop]
    ) -> None:
        self.name = str(getattr(function, "__qualname__", type(function).__qualname__))
        self._function = function
        self._threads = threads
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_async = is_async(function)
        self._open: Counter[str] = Counter()  # by who asks
        self._lock = threading.Lock()

    def handle(self, board: Switchboard, messenger: Messenger, asked: Asked) -> None:
        """Answer a question in its turn; never waits."""
        question = _OpenQuestion(board, messenger, asked)
        with self._lock:
            is_one_too_many = self._open[question.sender] >= _MOST_OPEN
            self._open[question.sender] += not is_one_too_many
        if is_one_too_many:
            messenger.decline(asked.question, "it is busy: too many questions are open")
            return
        try:
            if self._is_async:
                self._loop().call_soon_threadsafe(self._begin, question)
            else:
                self._threads.submit(partial(self._answer, question))
        except RuntimeError as exc:  # there is no thread, or the loop is closed
            self._ended(question)
            messenger.decline(asked.question, str(exc))

    def _ended(self, question: _OpenQuestion) -> None:
        with self._lock:
            self._open[question.sender] -= 1
            if not self._open[question.sender]:
                del self._open[question.sender]

    def _answer(self, question: _OpenQuestion) -> None:
        try:
            if not question.is_over:
                question.reply(self._function(question.message()))
        except BaseException as exc:  # noqa: BLE001 - whatever it is, whoever asked is told
            question.fail(exc, self.name)
        finally:
            self._ended(question)

    def _begin(self, question: _OpenQuestion) -> None:
        import asyncio

        task = asyncio.get_running_loop().create_task(self._answer_async(question))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_async(self, question: _OpenQuestion) -> None:
        try:
            if not question.is_over:
                question.reply(await self._function(question.message()))
        except BaseException as exc:
            question.fail(exc, self.name)
            if not isinstance(exc, Exception):
                raise
        finally:
            self._ended(question)


class _OpenQuestion:
    def __init__(self, board: Switchboard, messenger: Messenger, asked: Asked) -> None:
        self._board = board
        self._messenger = messenger
        self._asked = asked
        self._until_s = time.monotonic() + asked.patience_s
        self.sender = asked.sender.key

    @property
    def is_over(self) -> bool:
        """Whether whoever asked has given up by now, which ends the question."""
        if time.monotonic() < self._until_s:
            return False
        self._respond(partial(self._messenger.decline, self._asked.question, "it waited for too long to be answered"))
        return True

    def message(self) -> Message:
        return Message(sender=self._asked.sender, data=decode(self._asked.data), topic=self._asked.topic)

    def reply(self, answer: Any) -> None:
        data = encode(answer, "answer")
        self._respond(partial(self._messenger.reply, self._asked.question, data))

    def fail(self, exc: BaseException, name: str) -> None:
        log.info("topic %r: %s raised %s for %s", self._asked.topic, name, described(exc), self._asked.sender, exc_info=exc)
        self._respond(partial(self._messenger.fail, self._asked.question, described(exc)))

    def _respond(self, respond: Callable[[], None]) -> None:
        self._board.respond(self._messenger, respond)


class BackgroundLoop:
    """An event loop in a thread of its own, from the moment when this is made until ``close``."""

    def __init__(self) -> None:
        import asyncio

        self._over = asyncio.Event()
        up: SimpleQueue[asyncio.AbstractEventLoop] = SimpleQueue()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._stay(up)), name="cluster-kit-answers-loop", daemon=True
        )
        self._thread.start()
        self.loop = up.get()

    async def _stay(self, up: SimpleQueue[asyncio.AbstractEventLoop]) -> None:
        import asyncio

        up.put(asyncio.get_running_loop())
        await self._over.wait()

    def close(self) -> None:
        """Cancel what runs in it, and end."""
        with suppress(RuntimeError):  # it is closed already
            self.loop.call_soon_threadsafe(self._over.set)

    def join(self) -> None:
        """Wait for its end, but not for long for what blocks it."""
        if self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives what has to be awaited."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
