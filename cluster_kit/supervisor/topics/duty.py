"""``Duty`` and ``AsyncDuty``: work that one of the nodes that see each other does at a time.

``cluster_kit.duty`` decides who has the duty; this module connects it with the links. A candidate
answers questions on a reserved topic, so handshakes already announce it. It asks other candidates
whether they are free, and they answer once they are. Nodes that are not candidates only have to
know that this node is one: ``Switchboard.sync`` makes sure of that.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from cluster_kit.duty import Candidacy, Neighbour
from cluster_kit.errors import ClusterKitError, WaitTimeoutError
from cluster_kit.supervisor.timeouts import checked_s_or_none
from cluster_kit.topics.outcomes import QuestionArrived, Replied, SyncDone
from cluster_kit.wire.topics import MAX_TOPIC_BYTES

if TYPE_CHECKING:
    from cluster_kit.supervisor.topics.switchboard import Switchboard
    from cluster_kit.topics.messenger import Messenger

PREFIX = "$once/"
MAX_NAME_BYTES = MAX_TOPIC_BYTES - len(PREFIX)
_PATIENCE_S = 3600.0  # the holder may take long to stop; after this, it is asked again


class Candidate:
    """This node's candidacy for one duty, from ``begin`` until ``end``.

    Args:
        board: Of the topology whose links count.
        name: Of the duty.
        min_nodes: See ``Candidacy``.
        changed: Called in any thread when the results of ``take_up``, ``has_duty`` or
            ``end_reason`` may have changed; it must not block.
    """

    def __init__(
        self, board: Switchboard, name: str, min_nodes: int, changed: Callable[[], None]
    ) -> None:
        self.name = f"once {name!r}"
        self._title = f"{name!r} of topology {board.topology!r}"
        self.end_reason: str | None = None
        self._board = board
        self._topic = PREFIX + name
        self._candidacy = Candidacy(min_nodes)
        self._changed = changed
        self._has_begun = self._is_taken_up = False
        self._asked: set[int] = set()
        self._waiting: list[tuple[int, Callable[[], None]]] = []  # links of askers, and replies

    def take_up(self) -> bool:
        """Start the work of the duty if this node has it; return whether it does."""
        with self._board.lock:
            self._is_taken_up = self.end_reason is None and self._candidacy.is_held
            return self._is_taken_up

    def take_up_or_end(self) -> bool:
        """Take up the duty if this node has it; return whether it does, or can't any more."""
        return self.take_up() or self.end_reason is not None

    @property
    def has_duty(self) -> bool:
        """Whether this node still has the duty that it has taken up."""
        return self._is_taken_up and self.end_reason is None and self._candidacy.is_held

    def begin(self) -> None:
        """Become a candidate.

        Raises:
            ClusterKitError: This process is one already, or the supervisor has stopped.
        """
        if self._board.is_answered(self._topic):
            text = "this process has that duty already, or waits for it"
            raise ClusterKitError(f"{self.name}: {text}")
        self._has_begun = True
        self._board.answer(self._topic, self)
        self._board.watch(self._update)

    def end(self) -> None:
        """Withdraw, after the work of the duty has stopped. Idempotent."""
        if not self._has_begun:  # in a forked child, the lock may never be released
            return
        with self._board.lock:
            self._board.watchers.remove(self._update)
            has_ended = self.end_reason is not None
            self.end_reason = self.end_reason or "it has ended"
            self._say_free()
        if not has_ended:
            self._board.stop_answering(self._topic, self)

    # -- with the switchboard's lock held ----------------------------------------------------------

    def handle(self, board: Switchboard, messenger: Messenger, asked: QuestionArrived) -> None:
        """Answer another candidate's question as soon as this node is free."""
        answer = partial(board.respond, messenger, partial(messenger.reply, asked.question, b""))
        self._waiting.append((asked.question.link, answer))
        self._say_free()

    def _say_free(self) -> None:
        if self.end_reason is not None or self._candidacy.says_free:
            waiting, self._waiting = self._waiting, []
            for _, answer in waiting:
                answer()

    def _update(self) -> None:
        """Look at the links, and ask the nodes that have to be asked."""
        self.end_reason = self.end_reason or self._board.end_reason
        linked = self._board.linked(self._topic) if self.end_reason is None else {}
        seen = {}
        for link, (node, answers) in linked.items():
            if node.boot_id is not None:
                seen[link] = Neighbour(node.boot_id, answers)
        self._asked &= seen.keys()
        self._waiting = [each for each in self._waiting if each[0] in seen]
        self._candidacy.see(self._board.boot_id, seen)
        if not (self._is_taken_up or self._candidacy.is_held):
            self._candidacy.release()  # lost before it was taken up: there is nothing to stop
        self._say_free()
        for link in sorted(self._candidacy.to_ask - self._asked):
            self._asked.add(link)
            if seen[link].is_candidate:
                self._board.ask_on(link, self._topic, _PATIENCE_S, partial(self._on_outcome, link))
            else:
                self._board.sync(link, partial(self._on_outcome, link))
        self._changed()

    def _on_outcome(self, link: int, outcome: Any) -> None:
        """Record the answer of a node; the watchers' next call acts on it."""
        self._asked.discard(link)
        _, is_candidate = self._board.linked(self._topic).get(link, (None, False))
        if isinstance(outcome, Replied) or (isinstance(outcome, SyncDone) and not is_candidate):
            self._candidacy.is_free(link)
        self._board.watchers.invalidate()


class Duty:
    """A context manager for work that one node does at a time; see ``Supervisor.once``.

    It serves one thread, once.
    """

    def __init__(
        self, candidate: Callable[[Callable[[], None]], Candidate], timeout_s: float | None
    ) -> None:
        """Initialize the duty.

        Args:
            candidate: Returns the candidate, given a function to call on changes.
            timeout_s: How long to wait for the duty; ``None`` for no limit.
        """
        self._timeout_s = checked_s_or_none(timeout_s, "once: timeout_s")
        self._change = threading.Event()
        self._candidate = candidate(self._change.set)

    def __repr__(self) -> str:
        state = "held" if self.held else "not held"
        return f"<{type(self).__name__} {self._candidate._title}: {state}>"

    @property
    def held(self) -> bool:
        """Whether this node has the duty now."""
        return self._candidate.has_duty

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait while this node has the duty; return whether it still has it.

        Once the duty is lost, it returns False at once, and always will. Leave the block then, as
        the next holder waits for that.

        Args:
            timeout_s: How long to wait, in seconds; by default until the duty is lost.
        """
        patience_s = checked_s_or_none(timeout_s, "wait: timeout_s")
        return not self._wait_for(lambda: not self._candidate.has_duty, patience_s)

    def _wait_for(self, met: Callable[[], bool], timeout_s: float | None) -> bool:
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            self._change.clear()
            if met():
                return True
            left_s = None if deadline_s is None else deadline_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                return False
            self._change.wait(left_s)

    def __enter__(self) -> Self:
        candidate = self._candidate
        try:
            candidate.begin()
            has_come = self._wait_for(candidate.take_up_or_end, self._timeout_s)
        except BaseException:
            candidate.end()
            raise
        if not has_come or candidate.end_reason is not None:
            why = not_acquired_error(candidate, self._timeout_s)
            candidate.end()
            raise why
        return self

    def __exit__(self, *_: object) -> None:
        self._candidate.end()


def not_acquired_error(candidate: Candidate, timeout_s: float | None) -> ClusterKitError:
    """Return the error that says why a candidate has not got the duty."""
    if candidate.end_reason is not None or timeout_s is None:
        return ClusterKitError(f"{candidate.name}: {candidate.end_reason}")
    cause = "another node has it, or too few are linked"
    return WaitTimeoutError(f"{candidate.name}: not acquired within {timeout_s:g} s: {cause}")


class AsyncDuty:
    """A ``Duty`` for asyncio programs: ``async with``, and ``await duty.wait(...)``.

    It serves one task, once.
    """

    def __init__(
        self, candidate: Callable[[Callable[[], None]], Candidate], timeout_s: float | None
    ) -> None:
        self._timeout_s = checked_s_or_none(timeout_s, "once: timeout_s")
        self._loop = asyncio.get_running_loop()
        self._change = asyncio.Event()
        self._candidate = candidate(self._changed)

    def _changed(self) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._change.set)

    def __repr__(self) -> str:
        state = "held" if self.held else "not held"
        return f"<{type(self).__name__} {self._candidate._title}: {state}>"

    @property
    def held(self) -> bool:
        """Whether this node has the duty now."""
        return self._candidate.has_duty

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait, and return whether this node still has the duty; see ``Duty.wait``."""
        patience_s = checked_s_or_none(timeout_s, "wait: timeout_s")
        return not await self._wait_for(lambda: not self._candidate.has_duty, patience_s)

    async def _wait_for(self, met: Callable[[], bool], timeout_s: float | None) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    self._change.clear()
                    if met():
                        return True
                    await self._change.wait()
        except TimeoutError:
            return False

    async def __aenter__(self) -> Self:
        candidate = self._candidate
        try:
            candidate.begin()
            has_come = await self._wait_for(candidate.take_up_or_end, self._timeout_s)
        except BaseException:
            candidate.end()
            raise
        if not has_come or candidate.end_reason is not None:
            why = not_acquired_error(candidate, self._timeout_s)
            candidate.end()
            raise why
        return self

    async def __aexit__(self, *_: object) -> None:
        self._candidate.end()
