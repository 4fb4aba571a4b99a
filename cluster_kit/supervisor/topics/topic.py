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
    """A named stream of messages of one topology; ``Supervisor.topic`` makes it. Thread-safe.

    A message reaches each linked node that listens at most once, and the messages of one sender in
    order::

        cache = cluster.topic("cache")
        cache.subscribe(lambda item: print(item))  # a Message, or a Gap if some were lost
        cache.publish({"drop": "user/7"})

        @cache.answer
        def size(question):
            return 42

        print(cache.ask("web-2@10.0.0.8", None))

    Any number of objects may represent one topic. ``subscribe`` and ``answer`` also work before the
    supervisor starts; peers then know of them as soon as they are linked.

    Attributes:
        name: Its name.
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
        """Initialize the topic.

        Args:
            name: At most 255 bytes as UTF-8.
            boards: The supervisor's switchboards.
            board: The topology's switchboard.
            running: Raises ``ClusterKitError`` unless the supervisor was started in this process.
            current: Returns nodes with their current metadata.

        Raises:
            ValueError: The name is invalid.
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
        """Send ``data`` to every linked node that listens; return for how many it was queued.

        It never waits. A node that has no room for it at the moment is not counted, and gets a
        ``Gap`` instead.

        Args:
            data: ``None``, bool, int, float, str, bytes, aware datetime, or lists, tuples and dicts
                of these; a tuple arrives as a list.

        Raises:
            TypeError: A part of ``data`` has another type; the message says which part.
            ValueError: ``data`` is too long, nested too deeply, or can't be encoded.
            ClusterKitError: The supervisor is not running.
        """
        encoded = encode(data, "publish")
        self._running()
        return self._board.publish(self.name, encoded)

    def send(self, to: Node | str, data: Any, *, timeout_s: float = 5.0) -> None:
        """Send ``data`` to one node; wait until it is queued, which is before it arrives.

        Args:
            to: The receiver: a ``Node`` is this very run of it, a name is whatever run is linked.
            data: As for ``publish``, with the same errors.
            timeout_s: How long to wait for room, in seconds.

        Raises:
            NotLinkedError: There is no link to the node.
            NotSentError: The node doesn't listen, or had no room in time; nothing was sent.
        """
        [result] = self._request([to], data, timeout_s, verb="send")
        if result is not None:
            raise result

    def ask(self, to: Node | str, data: Any, *, timeout_s: float = 5.0) -> Any:
        """Ask one node; wait for the answer of its function, see ``answer``, and return it.

        Args:
            to: As for ``send``.
            data: As for ``publish``, with the same errors.
            timeout_s: How long to wait for the answer, in seconds.

        Raises:
            NotLinkedError: There is no link to the node.
            NotSentError: No function answers there, or there was no room in time; the node has
                certainly not acted on the question.
            RemoteError: The function raised an exception.
            UnansweredError: The link broke, or no answer came in time; the node may have acted on
                the question, or still do so.
        """
        [result] = self._request([to], data, timeout_s, verb="ask")
        if isinstance(result, Exception):
            raise result
        return result

    def ask_all(self, data: Any, *, timeout_s: float = 5.0) -> dict[Node, Any]:
        """Ask every linked node that answers; wait, and return the answer or error of each.

        Args:
            data: As for ``publish``, with the same errors.
            timeout_s: How long to wait for the answers, in seconds.
        """
        nodes = self.nodes(answering=True)
        results = self._request(nodes, data, timeout_s, verb="ask_all")
        return dict(zip(nodes, results, strict=True))

    def nodes(self, *, answering: bool = False) -> tuple[Node, ...]:
        """Return the linked nodes that listen or, if ``answering``, answer; sorted by name."""
        self._running()
        return self._current(self.topology, self._board.listeners(self.name, answering=answering))

    def _request(
        self, nodes: Sequence[Node | str], data: Any, timeout_s: float, *, verb: str
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
        """Receive messages from now on: iterate over the result, or pass a callback.

        Args:
            callback: Called with each ``Message`` and ``Gap``, on a separate thread.
            max_messages: How many messages the queue holds; those that don't fit become a ``Gap``.
            max_bytes: How many bytes of encoded data it holds.

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
        """Answer questions with ``function``, and return it: works as a decorator.

        The function is called with a ``Message``. Its return value is the answer; an exception
        becomes a ``RemoteError`` for the node that asked. A plain function runs on a pool of
        threads, a coroutine function in an event loop.

        Raises:
            ClusterKitError: Another function answers in this topic already.
        """
        if not callable(function):
            raise TypeError(f"answer: {function!r:.80}: expected a function that takes a message")
        self._board.answer(self.name, self._boards.answerer(function))
        return function

    def stop_answering(self) -> None:
        """Stop answering; questions that have arrived are still answered. Idempotent."""
        self._board.stop_answering(self.name)


def checked_callback(callback: Receiver | None) -> Receiver | None:
    """Return ``callback``; raises ``TypeError`` if it isn't a plain function."""
    if callback is not None and (not callable(callback) or is_async(callback)):
        expected = "expected a plain function that takes a message or a gap"
        raise TypeError(f"subscribe: {callback!r:.80}: {expected}")
    return callback
