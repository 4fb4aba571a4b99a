"""``Topic``: a named stream of messages between the applications of linked nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from cluster_kit.node import Node
from cluster_kit.supervisor.topics.answering import is_async
from cluster_kit.supervisor.topics.callbacks import Receiver
from cluster_kit.supervisor.topics.items import Message
from cluster_kit.supervisor.topics.request import TopicRequest, checked_patience_s, checked_receiver
from cluster_kit.supervisor.topics.subscription import (
    DEFAULT_BYTES,
    DEFAULT_MESSAGES,
    TopicSubscription,
)
from cluster_kit.supervisor.topics.switchboard import Switchboard
from cluster_kit.supervisor.topics.switchboards import Switchboards
from cluster_kit.topics.data import encode
from cluster_kit.wire.topics import check_topic

_Function = TypeVar("_Function", bound=Callable[[Message], Any])


class Topic:
    """A named stream of messages of one topology. Thread-safe.

    Messages reach linked nodes that listen, at most once and in order. Any number of ``Topic``
    objects may stand for one topic. ``subscribe`` and ``answer`` work before the supervisor's
    start, too: then every peer knows of them as soon as it is linked.
    """

    def __init__(
        self,
        name: str,
        *,
        boards: Switchboards,
        board: Switchboard,
        running: Callable[[], object],
        current: Callable[[str, Sequence[Node]], tuple[Node, ...]],
    ) -> None:
        """Made by ``Supervisor.topic``.

        Args:
            name: At most 255 bytes as UTF-8.
            boards: The supervisor's.
            board: The topology's.
            running: Raises ``ClusterKitError`` unless the supervisor was started, in this process.
            current: Returns nodes as they are now.

        Raises:
            ValueError: ``name`` is not the name of a topic.
        """
        if not isinstance(name, str):
            raise TypeError(f"topic: {name!r:.80}: expected a str")
        check_topic(name)
        self.name = name
        self._boards = boards
        self._board = board
        self._running = running
        self._current = current

    @property
    def topology(self) -> str:
        """Name of the topology whose links carry it."""
        return self._board.topology

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} of topology {self.topology!r}>"

    # -- sending -----------------------------------------------------------------------------------

    def publish(self, data: Any) -> int:
        """Send ``data`` to every linked node that listens, without waiting.

        Return for how many nodes it was queued. A node that has no room at the moment is not
        counted, and gets a gap.

        Raises:
            TypeError: ``data`` has an unsupported type; the message says where.
            ValueError: It is too long.
        """
        encoded = encode(data, "publish")
        self._running()
        return self._board.publish(self.name, encoded)

    def send(self, to: Node | str, data: Any, *, timeout_s: float = 5.0) -> None:
        """Send ``data`` to one node; return once it is queued, which is before it arrives.

        Args:
            to: A node means this very run of it, a name whichever runs.
            data: As in ``publish``, with the same errors.
            timeout_s: How long to wait for room.

        Raises:
            NotLinkedError: There is no link to it, or it doesn't listen.
            NotSentError: There was no room in time; it won't arrive.
        """
        [result] = self._request([to], data, timeout_s, verb="send")
        if result is not None:
            raise result

    def ask(self, to: Node | str, data: Any, *, timeout_s: float = 5.0) -> Any:
        """Ask one node, and return the answer of its function for this topic; see ``answer``.

        Args:
            to: A node means this very run of it, a name whichever runs.
            data: As in ``publish``, with the same errors.
            timeout_s: How long to wait in all.

        Raises:
            NotLinkedError: There is no link to it.
            NotSentError: Nobody answers there, or there was no room in time: certainly nobody
                acted on it.
            RemoteError: Its function raised an exception.
            UnansweredError: There was no answer in time, or the link broke: it may still act on it.
        """
        [result] = self._request([to], data, timeout_s, verb="ask")
        if isinstance(result, Exception):
            raise result
        return result

    def ask_all(self, data: Any, *, timeout_s: float = 5.0) -> dict[Node, Any]:
        """Ask every linked node that answers; return the answer or error of each."""
        nodes = self.nodes(answering=True)
        results = self._request(nodes, data, timeout_s, verb="ask_all")
        return dict(zip(nodes, results, strict=True))

    def nodes(self, *, answering: bool = False) -> tuple[Node, ...]:
        """Return the linked nodes that listen or, if ``answering``, answer; by name."""
        self._running()
        return self._current(self.topology, self._board.listeners(self.name, answering=answering))

    def _request(
        self,
        nodes: Sequence[Node | str],
        data: Any,
        timeout_s: float,
        *,
        verb: str,
    ) -> list[Any]:
        request = self._begin(nodes, data, timeout_s, verb=verb)
        request.wait()
        return request.results()

    def _begin(
        self,
        nodes: Sequence[Node | str],
        data: Any,
        timeout_s: float,
        *,
        verb: str,
        wake: Callable[[], None] | None = None,
    ) -> TopicRequest:
        patience_s = checked_patience_s(timeout_s, verb)
        receivers = [checked_receiver(each, verb) for each in nodes]
        encoded = encode(data, verb)
        self._running()
        return TopicRequest(
            self._board,
            self.name,
            receivers,
            encoded,
            timeout_s=patience_s,
            asking=verb != "send",
            wake=wake,
        )

    # -- receiving ---------------------------------------------------------------------------------

    def subscribe(
        self,
        callback: Receiver | None = None,
        *,
        max_messages: int = DEFAULT_MESSAGES,
        max_bytes: int = DEFAULT_BYTES,
    ) -> TopicSubscription:
        """Receive messages from now on; iterate over the result, or pass a callback.

        Args:
            callback: Called with each ``Message`` and ``Gap``, in a thread of its own.
            max_messages: The size of the queue; what doesn't fit becomes a gap.
            max_bytes: The same in bytes of encoded data.

        Raises:
            ValueError: A limit is invalid, or this node listens to too many topics.
        """
        checked_callback(callback)
        limits = {"max_messages": max_messages, "max_bytes": max_bytes}
        subscription = TopicSubscription(self._board, self.name, **limits)
        self._board.subscribe(subscription)
        if callback is not None:
            self._boards.read(subscription, callback)
        return subscription

    def answer(self, function: _Function) -> _Function:
        """Answer questions with ``function``, and return it; also works as a decorator.

        It is called with a ``Message``. Its return value is the answer; an exception becomes
        ``RemoteError`` where it was asked. A plain function runs in a pool of threads, a
        coroutine function in an event loop.

        Raises:
            ClusterKitError: Another function answers in this topic already.
        """
        if not callable(function):
            raise TypeError(f"answer: {function!r:.80}: expected a function that takes a message")
        self._board.answer(self.name, self._boards.answerer(function))
        return function

    def stop_answering(self) -> None:
        """Stop answering new questions; those that have arrived are still answered. Idempotent."""
        self._board.stop_answering(self.name)


def checked_callback(callback: Receiver | None) -> Receiver | None:
    """Return ``callback``; raises ``TypeError`` if it isn't a plain function."""
    if callback is not None and (not callable(callback) or is_async(callback)):
        expected = "expected a plain function that takes a message or a gap"
        raise TypeError(f"subscribe: {callback!r:.80}: {expected}")
    return callback
