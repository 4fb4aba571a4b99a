"""``Topic``: a named stream of messages between the applications of linked nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from cluster_kit.node import Node
from cluster_kit.supervisor.topics.answering import is_async
from cluster_kit.supervisor.topics.callbacks import Receiver
from cluster_kit.supervisor.topics.items import Message
from cluster_kit.supervisor.topics.request import Request, checked_patience_s, checked_receiver
from cluster_kit.supervisor.topics.subscription import DEFAULT_BYTES, DEFAULT_MESSAGES, TopicSubscription
from cluster_kit.supervisor.topics.switchboard import Switchboard
from cluster_kit.supervisor.topics.switchboards import Switchboards
from cluster_kit.topics.data import encode
from cluster_kit.wire.topics import check_topic

_Function = TypeVar("_Function", bound=Callable[[Message], Any])


class Topic:
    """A topic of one topology; any number of these may stand for the same one. Thread-safe.

    What is said reaches linked nodes that listen, at most once and in order. ``subscribe`` and ``answer`` work before the
    supervisor's start, too: then whoever is linked from the first moment knows of them.

    Args:
        name: Of the topic, at most 255 bytes as UTF-8.
        boards: Of the supervisor.
        board: Of the topology.
        running: Raises ``ClusterKitError`` unless the supervisor was started, in this process.
        current: Returns nodes as they are now.

    Raises:
        ValueError: ``name`` is none.
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
        if not isinstance(name, str):
            raise TypeError(f"topic: {name!r:.80}: expected a name")
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

    # -- saying ------------------------------------------------------------------------------------

    def publish(self, data: Any) -> int:
        """Say ``data`` to every linked node that listens, without waiting; return how many it was handed to.

        One that has no room for it at the moment is not counted, and is told of a gap.

        Raises:
            TypeError: ``data`` is not what messages carry; the message says where.
            ValueError: It is longer than messages may be.
        """
        encoded = encode(data, "publish")
        self._running()
        return self._board.publish(self.name, encoded)

    def send(self, to: Node | str, data: Any, *, timeout_s: float = 5.0) -> None:
        """Say ``data`` to one node, and return once it is handed over, which is before it arrives.

        Args:
            to: A node means this very run of it, a name whichever runs.
            data: As in ``publish``, which says what it raises.
            timeout_s: How long to wait where the node has no room for it.

        Raises:
            NotLinkedError: There is no link to it, or it doesn't listen.
            NotSentError: There was no room in time; it won't arrive.
        """
        [result] = self._request([to], data, timeout_s, verb="send")
        if result is not None:
            raise result

    def ask(self, to: Node | str, data: Any, *, timeout_s: float = 5.0) -> Any:
        """Ask one node, and return what its function for this topic answers; see ``answer``.

        Args:
            to: A node means this very run of it, a name whichever runs.
            data: As in ``publish``, which says what it raises.
            timeout_s: How long to wait in all.

        Raises:
            NotLinkedError: There is no link to it.
            NotSentError: Nobody answers there, or there was no room in time: certainly nobody acted on it.
            RemoteError: What its function raised.
            UnansweredError: There was no answer in time, or the link broke: it may act on it all the same.
        """
        [result] = self._request([to], data, timeout_s, verb="ask")
        if isinstance(result, Exception):
            raise result
        return result

    def ask_all(self, data: Any, *, timeout_s: float = 5.0) -> dict[Node, Any]:
        """Ask every linked node that answers; return what each answered, or the error that ``ask`` would raise."""
        nodes = self.nodes(answering=True)
        return dict(zip(nodes, self._request(nodes, data, timeout_s, verb="ask_all"), strict=True))

    def nodes(self, *, answering: bool = False) -> tuple[Node, ...]:
        """Return the linked nodes that listen, or those that answer questions, by name."""
        self._running()
        return self._current(self.topology, self._board.listeners(self.name, answering=answering))

    def _request(self, nodes: Sequence[Node | str], data: Any, timeout_s: float, *, verb: str) -> list[Any]:
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
    ) -> Request:
        patience_s = checked_patience_s(timeout_s, verb)
        receivers = [checked_receiver(each, verb) for each in nodes]
        encoded = encode(data, verb)
        self._running()
        return Request(self._board, self.name, receivers, encoded, timeout_s=patience_s, asking=verb != "send", wake=wake)

    # -- hearing -----------------------------------------------------------------------------------

    def subscribe(
        self,
        callback: Receiver | None = None,
        *,
        max_messages: int = DEFAULT_MESSAGES,
        max_bytes: int = DEFAULT_BYTES,
    ) -> TopicSubscription:
        """Hear what others say from now on; iterate over what is returned, or give a callback.

        Args:
            callback: Called with each ``Message`` and ``Gap``, in a thread of its own.
            max_messages: How many to queue; what there is no room for becomes a gap.
            max_bytes: How many bytes of them, as they are encoded, to queue.

        Raises:
            ValueError: It is a topic too many for this node.
        """
        checked_callback(callback)
        subscription = TopicSubscription(self._board, self.name, max_messages=max_messages, max_bytes=max_bytes)
        self._board.subscribe(subscription)
        if callback is not None:
            self._boards.read(subscription, callback)
        return subscription

    def answer(self, function: _Function) -> _Function:
        """Answer others' questions by ``function``, which is returned: also as a decorator.

        It is called with a ``Message``; what it returns is the answer, what it raises is ``RemoteError`` where it was asked. A
        plain function runs in one of some threads, a coroutine function in an event loop.

        Raises:
            ClusterKitError: Another function answers in this topic already.
        """
        if not callable(function):
            raise TypeError(f"answer: {function!r:.80}: expected a function that takes a message")
        self._board.answer(self.name, self._boards.answerer(function))
        return function

    def stop_answering(self) -> None:
        """Answer no more questions from now on; those that have come are still answered. Idempotent."""
        self._board.stop_answering(self.name)


def checked_callback(callback: Receiver | None) -> Receiver | None:
    """Return ``callback``; raises ``TypeError`` unless it can be called and has done its work when it returns."""
    if callback is not None and (not callable(callback) or is_async(callback)):
        raise TypeError(f"subscribe: {callback!r:.80}: expected a plain function that takes a message or a gap")
    return callback
