"""``Switchboard``: connects the topics of one topology with the links of its worker.

It is the shell around a ``Messenger``, which is sans-I/O: it adds the lock, the clock, and the pipe
to the worker. One lock guards everything. The supervising thread reports links and parcels, and
delivers what they hold. A thread that sends writes to the pipe itself, while few parcels of that
link are in flight. The rest waits in the messenger, where small messages become one payload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cluster_kit.errors import ClusterKitError, NotSentError, RemoteProtocolError, UnansweredError
from cluster_kit.node import BootId, Node
from cluster_kit.pipe.channel import Parcel
from cluster_kit.pipe.messages import Forwarded, LinkClosed, LinkOpened, Serving
from cluster_kit.supervisor.line import WorkerLine
from cluster_kit.supervisor.topics.guarded import Guarded
from cluster_kit.supervisor.topics.router import QuestionHandler, Router
from cluster_kit.supervisor.topics.waiters import OutcomeHandler, Tickets, Watchers

if TYPE_CHECKING:
    from cluster_kit.supervisor.topics.subscription import TopicSubscription
    from cluster_kit.topics.messenger import Messenger
    from cluster_kit.topics.outcomes import IncomingStream, QuestionArrived

_MAX_IN_FLIGHT = 4  # parcels of one link that the worker has not forwarded; below 256 KiB
_TICK_S = 1.0


class Switchboard(Guarded):
    """Lives as long as its topology is configured, through all of its workers.

    It costs next to nothing without topics: the messenger is made for the first one, or when a
    peer sends something. ``warn`` is called with warnings.
    """

    def __init__(self, topology: str, warn: Callable[[str], None]) -> None:
        self.topology = topology
        super().__init__()
        self._warn = warn
        self._line: WorkerLine | None = None
        self._greet: Callable[[], None] | None = None
        self._greeting_is_due = False
        self._greetings = 0  # that this worker has got, besides the first
        self._links: dict[int, LinkOpened] = {}
        self._in_flight: dict[int, int] = {}
        self._leaving = self._has_received = False
        self.boot_id: BootId | None = None
        self._messenger: Messenger | None = None
        self._handlers: Mapping[type, Callable[[Any], None]] = {}
        self._max_message_bytes: int | None = None
        self._router = Router()
        self._tick_at_s = 0.0
        self._tickets = Tickets()
        self.watchers = Watchers()

    # -- life --------------------------------------------------------------------------------------

    def fork(self, pid: int) -> None:
        """Move to process ``pid``, if this was made before a fork; nothing of it runs yet."""
        super().fork(pid)
        self._messenger = None

    def end(self, why: str) -> None:
        """End all subscriptions and fail all pending operations, now and in future; idempotent."""
        with self.lock:
            self.end_reason = self.end_reason or why
            self._notify_watchers()
            every = self._router.clear()
            for ticket in self._tickets:
                text = f"topic: {why}"
                self.give_up(ticket, NotSentError(text), UnansweredError(text))
        for subscription in every:
            subscription.end()

    def limit(self, max_message_bytes: int) -> None:
        """Set the size limit of messages, in bytes."""
        if max_message_bytes == self._max_message_bytes:
            return  # without the lock, which a forked child may never get
        with self.lock:
            self._max_message_bytes = max_message_bytes
            messenger = self._messenger
            if messenger is not None and messenger.max_message_bytes != max_message_bytes:
                messenger.max_message_bytes = max_message_bytes
                self._say_greeting()

    def _open_messenger(self) -> Messenger:
        """Return the messenger; if there is none, make one that knows all links."""
        if self._messenger is None:
            self._handlers = self._router.outcome_handlers(self._asked, self._tickets.complete)
            self._messenger = self._router.new_messenger(self._max_message_bytes)
            for opened in list(self._links.values()):
                self._open_link(opened, 0.0)
        return self._messenger

    # -- the worker, on the supervising thread -----------------------------------------------------

    @property
    def greeting(self) -> bytes:
        """The greeting for the handshakes of new links."""
        with self.lock:
            return self._open_messenger().greeting if self.has_topics else b""

    def next_greeting(self) -> bytes:
        """Return the current greeting, which replaces the worker's."""
        with self.lock:
            self._greeting_is_due = False
            self._greetings += 1
            return self.greeting

    @property
    def has_topics(self) -> bool:
        """Whether this application listens to any topic."""
        return bool(self._router.topics)

    def attach(self, line: WorkerLine, greet: Callable[[], None]) -> None:
        """Use a new worker. ``greet``, called in any thread, makes it fetch ``next_greeting``."""
        with self.lock:
            self._line, self._greet = line, greet
            self._leaving = self._greeting_is_due = False
            self._greetings = 0

    def serves(self, serving: Serving) -> None:
        """Record that the worker has started to serve."""
        with self.lock:
            self.boot_id = serving.boot_id
            if serving.max_message_bytes is not None:
                self.limit(serving.max_message_bytes)
            self._notify_watchers()

    def detach(self, now_s: float) -> None:
        """Record that the worker is dead, and its links are down."""
        with self.lock:
            self._line = self._greet = self.boot_id = None
            self._close_links(now_s)
            self._notify_watchers()
        self._wake_readers()

    def leave(self, now_s: float) -> None:
        """Send the queued messages, then close all links; ignore what arrives from now on."""
        with self.lock:
            if self._messenger is not None:
                self._messenger.close()
                self._pump(max_in_flight=None)
            self._close_links(now_s)
            self._leaving = True
            self._messenger = self.boot_id = None  # the next messenger is another run
            self._notify_watchers()
        self._wake_readers()

    def note(self, message: Parcel | Forwarded | LinkOpened | LinkClosed, now_s: float) -> None:
        """Process a message of the worker about its links; call ``flush`` after the last one."""
        self._has_received = True
        with self.lock:
            match message:
                case Parcel(link=link, payload=payload, forwarded=parcels) if link in self._links:
                    if parcels:
                        self._in_flight[link] -= parcels
                    self._receive(link, payload, now_s)
                case Forwarded(link=link, parcels=parcels) if link in self._in_flight:
                    self._in_flight[link] -= parcels
                case LinkOpened(link=link) if not self._leaving:
                    self._links[link] = message
                    if self._messenger is not None:
                        self._open_link(message, now_s)
                case LinkClosed(link=link):
                    self._close_link(link, now_s)

    def flush(self) -> None:
        """Send what has become due, and wake readers, if anything was noted."""
        if self._has_received:
            self._has_received = False
            with self.lock:
                self._notify_watchers()
                self._pump()
            self._wake_readers()

    def _receive(self, link: int, payload: bytes, now_s: float) -> None:
        messenger = self._open_messenger()
        try:
            self._dispatch(messenger.receive(link, payload))
        except RemoteProtocolError as exc:
            self._abandon_link(link, exc, now_s)

    def tick(self, now_s: float) -> None:
        """Do what is due by time; cheap to call often."""
        if self._messenger is None or now_s < self._tick_at_s:
            return
        self._tick_at_s = now_s + _TICK_S
        with self.lock:
            if self._messenger is not None:
                self._dispatch(self._messenger.tick(now_s))
                self._notify_watchers()
                self._pump()
        self._wake_readers()

    def _open_link(self, opened: LinkOpened, now_s: float) -> None:
        link, messenger = opened.link, self._open_messenger()
        self._in_flight[link] = 0
        # Interests may have changed before the worker got the new greeting.
        outdated = opened.outdated or self._greeting_is_due or opened.greetings != self._greetings
        try:
            self._dispatch(messenger.up(link, opened.node, opened.greeting, outdated=outdated))
        except RemoteProtocolError as exc:
            self._abandon_link(link, exc, now_s)

    def _close_links(self, now_s: float) -> None:
        for link in list(self._links):
            self._close_link(link, now_s)

    def _close_link(self, link: int, now_s: float) -> None:
        if self._links.pop(link, None) is not None and self._in_flight.pop(link, None) is not None:
            self._dispatch(self._open_messenger().down(link, now_s))

    def _abandon_link(self, link: int, exc: RemoteProtocolError, now_s: float) -> None:
        """Ignore a link whose peer breaks the protocol."""
        node = self._links[link].node
        self._warn(f"{self.topology}: no messages from {node} or to it until its next link: {exc}")
        self._close_link(link, now_s)

    def _pump(self, max_in_flight: int | None = _MAX_IN_FLIGHT) -> None:
        """Write to the worker as much as its links may have in flight."""
        messenger, line, in_flight = self._messenger, self._line, self._in_flight
        if messenger is None or line is None:
            return
        for link in messenger.ready():
            while max_in_flight is None or in_flight[link] < max_in_flight:
                payload = messenger.next_payload(link)
                if payload is None:
                    break
                line.send_parcel(link, payload)
                in_flight[link] += 1  # last: what a signal keeps from being sent never returns
        self._dispatch(messenger.take_outcomes())  # sending may make room for parked messages

    def _notify_watchers(self) -> None:
        changes = None if self._messenger is None else self._messenger.changes
        self.watchers.notify((self.end_reason, self.boot_id, changes))

    # -- outcomes ----------------------------------------------------------------------------------

    def _dispatch(self, outcomes: Iterable[Any]) -> None:
        handlers = self._handlers
        for outcome in outcomes:
            handlers[type(outcome)](outcome)

    def _asked(self, asked: QuestionArrived) -> None:
        messenger, answerer = self._open_messenger(), self._router.answerer(asked.topic)
        if answerer is None:
            messenger.decline(asked.question, "no function answers in this topic any more")
        else:
            answerer.handle(self, messenger, asked)

    def _wake_readers(self) -> None:
        """Wake the readers that have items; called without the lock, which they may need."""
        for subscription in self._router.take_ready():
            subscription.wake_reader()

    # -- the application, in any thread ------------------------------------------------------------

    def publish(self, topic: str, data: bytes) -> int:
        """Send ``data`` to all listeners; return for how many nodes it was queued."""
        with self._guard():
            count = self._open_messenger().publish(topic, data)
            if count:
                self._pump()
            return count

    def submit(
        self,
        to: Node | str,
        topic: str,
        data: bytes,
        patience_s: float | None,
        on_outcome: OutcomeHandler,
    ) -> int:
        """Send ``data`` to one node or, with ``patience_s``, ask it; return a ticket.

        ``on_outcome`` is called once, in any thread.
        """
        with self._guard():
            messenger, ticket = self._open_messenger(), self._tickets.new(on_outcome)
            try:
                if patience_s is None:
                    self._dispatch(messenger.send(to, topic, data, ticket))
                else:
                    self._dispatch(messenger.ask(to, topic, data, ticket, patience_s))
            except BaseException:
                self._tickets.cancel(ticket)
                raise
            self._pump()
            return ticket

    def give_up(self, ticket: int, unsent: ClusterKitError, sent: ClusterKitError) -> None:
        """Stop waiting for a ticket: fail it with ``unsent`` or ``sent``, if it is still open."""
        from cluster_kit.topics.outcomes import OperationFailed

        with self.lock:
            on_outcome = self._tickets.cancel(ticket)
            if on_outcome is not None:
                is_unsent = self._messenger is None or self._messenger.withdraw(ticket)
                on_outcome(OperationFailed(ticket, unsent if is_unsent else sent))
                self._pump()

    def listeners(self, topic: str, *, answering: bool = False) -> tuple[Node, ...]:
        """Return the linked nodes that listen or, if ``answering``, answer; by name."""
        with self._guard():
            return self._open_messenger().listeners(topic, answering=answering)

    def subscribe(self, subscription: TopicSubscription) -> None:
        """Deliver to ``subscription``; raises ``ValueError`` if there are too many topics."""
        with self._guard():
            self._router.add(subscription)
            self._listen(subscription.topic, undo=lambda: self._router.remove(subscription))

    def unsubscribe(self, subscription: TopicSubscription) -> None:
        """End ``subscription``; idempotent."""
        with self._own_lock():
            if self._router.remove(subscription):
                self._listen(subscription.topic)
        subscription.end()

    def answer(self, topic: str, answerer: QuestionHandler) -> None:
        """Answer the questions of a topic by ``answerer``."""
        with self._guard():
            self._router.add_answerer(topic, answerer)
            self._listen(topic, undo=lambda: self._router.remove_answerer(topic))

    def stop_answering(self, topic: str, answerer: QuestionHandler | None = None) -> None:
        """Remove the topic's handler, or only if it is ``answerer``; idempotent."""
        with self._guard():
            if self._router.remove_answerer(topic, answerer):
                self._listen(topic)

    def _listen(self, topic: str, undo: Callable[[], object] | None = None) -> None:
        """Advertise the current interest in ``topic``."""
        try:
            self._open_messenger().listen(topic, self._router.interest(topic))
        except BaseException:
            if undo is not None:
                undo()
            raise
        self._say_greeting()
        self._pump()

    def _say_greeting(self) -> None:
        """Make the worker fetch the greeting; of many changes in a row, it gets the last one."""
        if self._greet is not None and not self._greeting_is_due:
            self._greetings += 1
            self._greeting_is_due = True
            self._greet()

    def is_answered(self, topic: str) -> bool:
        """Whether this application answers questions in ``topic``."""
        with self._guard():
            return self._router.answerer(topic) is not None

    # -- for watchers and question handlers, mostly with the lock held -----------------------------

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` now and on changes of ``boot_id``, ``end_reason`` and ``linked``."""
        with self._guard():
            self.watchers.add(watcher)
            self.watchers.invalidate()
            self._notify_watchers()
            self._pump()

    def linked(self, topic: str) -> Mapping[int, tuple[Node, bool]]:
        """Return the node at the end of each link, and whether it answers in ``topic``."""
        return self._open_messenger().linked(topic)

    def ask_on(self, link: int, topic: str, patience_s: float, on_outcome: OutcomeHandler) -> None:
        """Ask the node at the end of a link; see ``submit``."""
        node = self._links[link].node
        ticket = self._tickets.new(on_outcome)
        self._dispatch(self._open_messenger().ask(node, topic, b"", ticket, patience_s))

    def sync(self, link: int, on_outcome: OutcomeHandler) -> None:
        """Call ``on_outcome`` once the peer has processed all earlier records, if it does."""
        self._open_messenger().sync(link, self._tickets.new(on_outcome))

    def mark_read(self, numbers: Mapping[IncomingStream, int]) -> bool:
        """Report progress; return False if that has to wait, as this thread holds the lock."""
        if self.entered:
            return False
        with self.lock:
            if self._messenger is not None:
                for stream, number in numbers.items():
                    self._messenger.mark_read(stream, number)
                self._pump()
        return True

    def respond(self, messenger: Messenger, respond: Callable[[], None]) -> None:
        """Call ``respond`` to answer a question of ``messenger``, unless that has been replaced."""
        with self.lock:
            if messenger is self._messenger:
                respond()
                self._pump()
