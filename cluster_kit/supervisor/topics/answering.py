"""The application's functions that answer questions, and where they run.

A plain function runs in a pool of threads, which grows on demand. A coroutine function runs in the
application's event loop, or in a background loop if the application has none. The function's return
value is the answer; an exception is passed to the asking node.
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
from cluster_kit.supervisor.application_calls import name_of
from cluster_kit.supervisor.threads import CancellableThread
from cluster_kit.supervisor.topics.items import Message
from cluster_kit.topics.data import decode, encode
from cluster_kit.topics.outcomes import QuestionArrived
from cluster_kit.topics.questions import MAX_OPEN

if TYPE_CHECKING:
    import asyncio

    from cluster_kit.supervisor.topics.switchboard import Switchboard
    from cluster_kit.topics.messenger import Messenger

MOST_THREADS = 16

_MOST_OPEN = 2 * MAX_OPEN  # per node: those of a link that is down are still being answered

_JOIN_S = 2.0  # how long a function may keep running once everything else has ended

log = logging.getLogger("cluster_kit.supervisor")


class AnswerThreads:
    """A pool of up to ``MOST_THREADS`` daemon threads, started on demand."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._closed = False

    def submit(self, job: Callable[[], None]) -> None:
        """Queue ``job``; raises ``RuntimeError`` if there is no thread for it."""
        with self._lock:
            if self._closed:
                raise RuntimeError("this node is about to stop")
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
        """End each thread once it is idle."""
        with self._lock:
            self._closed = True
        for _ in self._threads:
            self._jobs.put(None)

    def join(self) -> None:
        """Wait until the threads have ended, up to a limit; never for the calling thread."""
        deadline_s = time.monotonic() + _JOIN_S
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline_s - time.monotonic()))


class Answerer:
    """A function that answers the questions of one topic.

    Args:
        function: Takes a ``Message`` and returns plain data; may be a coroutine function.
        threads: Where a plain function runs.
        loop: Returns the event loop where a coroutine function runs.
    """

    def __init__(
        self,
        function: Callable[[Message], Any],
        threads: AnswerThreads,
        loop: Callable[[], asyncio.AbstractEventLoop],
    ) -> None:
        self.name = name_of(function)
        self._function = function
        self._threads = threads
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_async = is_async(function)
        self._open: Counter[str] = Counter()  # by asking node
        self._lock = threading.Lock()

    def handle(self, board: Switchboard, messenger: Messenger, asked: QuestionArrived) -> None:
        """Run the function for a question, in its turn; never blocks."""
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
        except RuntimeError as exc:  # no thread is available, or the loop is closed
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
        except BaseException as exc:  # noqa: BLE001 - the asking node gets it
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
    def __init__(self, board: Switchboard, messenger: Messenger, asked: QuestionArrived) -> None:
        self._board = board
        self._messenger = messenger
        self._asked = asked
        self._until_s = time.monotonic() + asked.patience_s
        self.sender = asked.sender.key

    @property
    def is_over(self) -> bool:
        """Whether the asking node has given up by now; if so, the question is declined."""
        if time.monotonic() < self._until_s:
            return False
        reason = "it waited for too long to be answered"
        self._respond(partial(self._messenger.decline, self._asked.question, reason))
        return True

    def message(self) -> Message:
        asked = self._asked
        return Message(sender=asked.sender, data=decode(asked.data), topic=asked.topic)

    def reply(self, answer: Any) -> None:
        data = encode(answer, "answer")
        self._respond(partial(self._messenger.reply, self._asked.question, data))

    def fail(self, exc: BaseException, name: str) -> None:
        asked, text = self._asked, described(exc)
        what = f"topic {asked.topic!r}: {name}"
        log.info("%s raised %s for %s", what, text, asked.sender, exc_info=exc)
        self._respond(partial(self._messenger.fail, asked.question, text))

    def _respond(self, respond: Callable[[], None]) -> None:
        self._board.respond(self._messenger, respond)


class BackgroundLoop:
    """An event loop in a separate thread, from ``start`` until ``close``.

    Attributes:
        loop: Accepts calls from construction on, and runs them in its thread.
    """

    def __init__(self) -> None:
        import asyncio

        self.loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = CancellableThread(self._run, "cluster-kit-answers-loop")

    def start(self) -> None:
        """Start the thread; raises ``RuntimeError`` if the system refuses."""
        self._thread.start()

    def _run(self) -> None:
        import asyncio

        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._over.wait())

    def close(self) -> None:
        """Cancel the loop's tasks, and end it, even if it never ran. Idempotent."""
        self._thread.undo_start(self.loop.close)
        with suppress(RuntimeError):  # it is closed already
            self.loop.call_soon_threadsafe(self._over.set)

    def join(self) -> None:
        """Wait until the thread has ended, up to a limit."""
        self._thread.join(_JOIN_S)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling ``function`` returns an awaitable."""
    call = getattr(function, "__call__", None)  # noqa: B004 - of an instance
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
