"""Routes what arrives to the application's subscriptions and question handlers.

Guarded by the switchboard's lock. Imports nothing of ``cluster_kit.topics`` before the first topic.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from cluster_kit.errors import ClusterKitError

if TYPE_CHECKING:
    from cluster_kit.supervisor.topics.subscription import TopicSubscription
    from cluster_kit.supervisor.topics.switchboard import Switchboard
    from cluster_kit.topics.messenger import Messenger
    from cluster_kit.topics.outcomes import Arrived, LocalInterest, Missing, QuestionArrived


class QuestionHandler(Protocol):
    """Answers the questions of a topic; ``name`` is for error messages."""

    name: str

    def handle(self, board: Switchboard, messenger: Messenger, asked: QuestionArrived) -> None:
        """Answer a question, now or later; called with the lock held, and must not block."""


class Router:
    """The subscriptions and question handlers of one topology, by topic."""

    def __init__(self) -> None:
        self._subscriptions: dict[str, tuple[TopicSubscription, ...]] = {}
        self._answerers: dict[str, QuestionHandler] = {}
        self._ready: dict[TopicSubscription, None] = {}

    @property
    def topics(self) -> Iterable[str]:
        """The topics that have a subscription or a handler."""
        return {**self._subscriptions, **self._answerers}

    def interest(self, topic: str) -> LocalInterest | None:
        """Return the interest to advertise, with the window of the largest queue, or ``None``."""
        from cluster_kit.topics.outcomes import LocalInterest

        subscriptions, answers = self._subscriptions.get(topic, ()), topic in self._answerers
        if not (subscriptions or answers):
            return None
        return LocalInterest(
            messages=max((each.max_messages for each in subscriptions), default=0),
            bytes=max((each.max_bytes for each in subscriptions), default=0),
            answers=answers,
        )

    # -- changes -----------------------------------------------------------------------------------

    def add(self, subscription: TopicSubscription) -> None:
        """Add a subscription."""
        topic = subscription.topic
        self._subscriptions[topic] = (*self._subscriptions.get(topic, ()), subscription)

    def remove(self, subscription: TopicSubscription) -> bool:
        """Remove a subscription; return whether it was there."""
        topic = subscription.topic
        before = self._subscriptions.get(topic, ())
        rest = tuple(each for each in before if each is not subscription)
        if rest:
            self._subscriptions[topic] = rest
        else:
            self._subscriptions.pop(topic, None)
        return len(rest) != len(before)

    def add_answerer(self, topic: str, answerer: QuestionHandler) -> None:
        """Add a question handler; raises ``ClusterKitError`` if the topic has one already."""
        if topic in self._answerers:
            name = self._answerers[topic].name
            text = f"answer: {name} answers topic {topic!r} already"
            raise ClusterKitError(f"{text}: call stop_answering() first")
        self._answerers[topic] = answerer

    def remove_answerer(self, topic: str, answerer: QuestionHandler | None = None) -> bool:
        """Remove a topic's handler, or only if it is ``answerer``; return whether that was done."""
        if answerer is not None and self._answerers.get(topic) is not answerer:
            return False
        return self._answerers.pop(topic, None) is not None

    def clear(self) -> list[TopicSubscription]:
        """Remove everything; return the subscriptions, which the caller has to end."""
        every = [each for row in self._subscriptions.values() for each in row]
        self._subscriptions.clear()
        self._answerers.clear()
        return every

    # -- delivery ----------------------------------------------------------------------------------

    def deliver(self, arrived: Arrived) -> None:
        """Queue a message in all subscriptions of its topic."""
        for subscription in self._subscriptions.get(arrived.topic, ()):
            subscription.offer(arrived)
            self._ready[subscription] = None

    def deliver_gap(self, missing: Missing) -> None:
        """Queue a gap in all subscriptions of its topic."""
        for subscription in self._subscriptions.get(missing.topic, ()):
            subscription.miss(missing)
            self._ready[subscription] = None

    def answerer(self, topic: str) -> QuestionHandler | None:
        """Return the question handler of a topic, if it has one."""
        return self._answerers.get(topic)

    def take_ready(self) -> Iterable[TopicSubscription]:
        """Return the subscriptions that have got items since the last call."""
        if not self._ready:
            return ()
        ready, self._ready = self._ready, {}
        return ready

    # -- the messenger, imported with the first topic ----------------------------------------------

    def new_messenger(self, max_message_bytes: int | None) -> Messenger:
        """Return a messenger that listens to all topics; its run id is new."""
        from cluster_kit.topics.messenger import Messenger
        from cluster_kit.wire.topics import RUN_BYTES

        messenger = Messenger(os.urandom(RUN_BYTES))
        if max_message_bytes is not None:
            messenger.max_message_bytes = max_message_bytes
        for topic in self.topics:
            messenger.listen(topic, self.interest(topic))
        return messenger

    def outcome_handlers(
        self, on_question: Callable[[Any], None], on_end: Callable[[Any], None]
    ) -> Mapping[type, Callable[[Any], None]]:
        """Return what to call with each type of outcome."""
        from cluster_kit.topics import outcomes

        return {
            outcomes.Arrived: self.deliver,
            outcomes.Missing: self.deliver_gap,
            outcomes.QuestionArrived: on_question,
            outcomes.Sent: on_end,
            outcomes.Replied: on_end,
            outcomes.OperationFailed: on_end,
            outcomes.SyncDone: on_end,
        }
