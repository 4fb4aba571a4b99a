"""One topology's messages: joins its topics, which any thread uses, with the links of its worker.

The protocol is the messenger's, who knows no lock, clock or pipe; this is the shell around it. One lock guards all of it. The
supervising thread reports links and parcels and delivers what they hold; whoever says something hands it to the worker himself,
as long as the worker has not too much in its hands already. The rest waits in the messenger, where small messages become one
payload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cluster_kit.errors import ClusterKitError, NotSentError, RemoteProtocolError, UnansweredError
from cluster_kit.node import BootId, Node
from cluster_kit.pipe.channel import Parcel
from cluster_kit.supervisor.line import WorkerLine
from cluster_kit.supervisor.topics.guarded import Guarded
from cluster_kit.supervisor.topics.router import QuestionHandler, Router
from cluster_kit.supervisor.topics.waiters import OutcomeHandler, Tickets, Watchers
from cluster_kit.worker.messages import Forwarded, LinkClosed, LinkOpened, Serving

if TYPE_CHECKING:
    from cluster_kit.supervisor.topics.subscription import TopicSubscription
    from cluster_kit.topics.messenger import Messenger
    from cluster_kit.topics.outcomes import Asked, IncomingStream

_MAX_IN_FLIGHT = 4  # parcels of one link, together less than 256 KiB: what goes on its way while the worker asks for more
_TICK_S = 1.0


class Switchboard(Guarded):
    """Lives as long as its topology is configured, and through all of its workers.

    Without topics it costs next to nothing: the messenger is made for the first of them, or when a peer has something to say.
    ``warn`` takes warnings.
    """

    def __init__(self, topology: str, warn: Callable[[str], None]) -> None:
        self.topology = topology
        super().__init__()
        self._warn = warn
        self._line: WorkerLine | None = None
        self._greet: Callable[[], None] | None = None
        self._greeting_is_due = False
        self._greetings = 0  # that were told to this worker, besides the first
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
        """Belong to another process from now on, where this was made before a fork; nothing of it runs yet."""
        super().fork(pid)
        self._messenger = None

    def end(self, why: str) -> None:
        """End all subscriptions, those to come, and whatever is waited for; idempotent."""
        with self.lock:
            self.end_reason = self.end_reason or why
            self._notify_watchers()
            every = self._router.clear()
            for ticket in self._tickets:
                self.give_up(ticket, NotSentError(f"topic: {why}"), UnansweredError(f"topic: {why}"))
        for subscription in every:
            subscription.end()

    def limit(self, max_message_bytes: int) -> None:
        """Carry no longer message than that."""
        if max_message_bytes == self._max_message_bytes:  # as always once it runs: a forked child must not want the lock
            return
        with self.lock:
            self._max_message_bytes = max_message_bytes
            if self._messenger is not None and self._messenger.max_message_bytes != max_message_bytes:
                self._messenger.max_message_bytes = max_message_bytes
                self._say_greeting()

    def _open_messenger(self) -> Messenger:
        """Return the messenger, who is made now if there is none and told all that is known."""
        if self._messenger is None:
            self._handlers = self._router.outcome_handlers(self._asked, self._tickets.complete)
            self._messenger = self._router.new_messenger(self._max_message_bytes)
            for opened in list(self._links.values()):
                self._open_link(opened, 0.0)
        return self._messenger

    # -- the worker, on the supervising thread -----------------------------------------------------

    @property
    def greeting(self) -> bytes:
        """What peers are told in the handshake."""
        with self.lock:
            return self._open_messenger().greeting if self.has_topics else b""

    def next_greeting(self) -> bytes:
        """Return it, to be told to the worker in place of the one that it has."""
        with self.lock:
            self._greeting_is_due = False
            self._greetings += 1
            return self.greeting

    @property
    def has_topics(self) -> bool:
        """Whether this application listens to anything."""
        return bool(self._router.topics)

    def attach(self, line: WorkerLine, greet: Callable[[], None]) -> None:
        """Speak through a new worker; ``greet`` has the greeting of the moment told to it, from any thread."""
        with self.lock:
            self._line, self._greet = line, greet
            self._leaving = self._greeting_is_due = False
            self._greetings = 0

    def serves(self, serving: Serving) -> None:
        """The worker runs this node."""
        with self.lock:
            self.boot_id = serving.boot_id
            if serving.max_message_bytes is not None:
                self.limit(serving.max_message_bytes)
            self._notify_watchers()

    def detach(self, now_s: float) -> None:
        """The worker is dead, and all links with it."""
        with self.lock:
            self._line = self._greet = self.boot_id = None
            self._close_links(now_s)
            self._notify_watchers()
        self._wake_readers()

    def leave(self, now_s: float) -> None:
        """Say goodbye to everybody, behind all that is said already; what comes from now on is not heard."""
        with self.lock:
            if self._messenger is not None:
                self._messenger.close()
                self._pump(max_in_flight=None)
            self._close_links(now_s)
            self._leaving = True
            self._messenger = self.boot_id = None  # the next one is another run
            self._notify_watchers()
        self._wake_readers()

    def note(self, message: Parcel | Forwarded | LinkOpened | LinkClosed, now_s: float) -> None:
        """Take in what the worker says of its links; ``settle`` is to be called once all is noted that is there."""
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

    def settle(self) -> None:
        """Do what follows from what was noted, if anything was: say what is due, and wake readers."""
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
        """Do what is due; costs nothing to call often."""
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
        self._in_flight[opened.link] = 0
        messenger = self._open_messenger()
        # what is listened to may have changed while the worker did not know yet
        outdated = opened.outdated or self._greeting_is_due or opened.greetings != self._greetings
        try:
            self._dispatch(messenger.up(opened.link, opened.node, opened.greeting, outdated=outdated))
        except RemoteProtocolError as exc:
            self._abandon_link(opened.link, exc, now_s)

    def _close_links(self, now_s: float) -> None:
        for link in list(self._links):
            self._close_link(link, now_s)

    def _close_link(self, link: int, now_s: float) -> None:
        if self._links.pop(link, None) is not None and self._in_flight.pop(link, None) is not None:
            self._dispatch(self._open_messenger().down(link, now_s))

    def _abandon_link(self, link: int, exc: RemoteProtocolError, now_s: float) -> None:
        node = self._links[link].node
        self._warn(f"{self.topology}: no messages from {node} and to it until its next link: {exc}")
        self._close_link(link, now_s)

    def _pump(self, max_in_flight: int | None = _MAX_IN_FLIGHT) -> None:
        """Hand to the worker what it has room for."""
        messenger, line, in_flight = self._messenger, self._line, self._in_flight
        if messenger is None or line is None:
            return
        for link in messenger.ready():
            while max_in_flight is None or in_flight[link] < max_in_flight:
                payload = messenger.next_payload(link)
                if payload is None:
                    break
                line.send_parcel(link, payload)
                in_flight[link] += 1  # only now, as an interrupt may end this before: what is never sent is never given back
        if self._tickets:  # what goes makes room for what waits, and whoever waits has to know
            self._dispatch(messenger.take_outcomes())

    def _notify_watchers(self) -> None:
        changes = None if self._messenger is None else self._messenger.changes
        self.watchers.notify((self.end_reason, self.boot_id, changes))

    # -- what comes of it --------------------------------------------------------------------------

    def _dispatch(self, outcomes: Iterable[Any]) -> None:
        handlers = self._handlers
        for outcome in outcomes:
            handlers[type(outcome)](outcome)

    def _asked(self, asked: Asked) -> None:
        messenger, answerer = self._open_messenger(), self._router.answerer(asked.topic)
        if answerer is None:
            messenger.decline(asked.question, "nobody answers there any more")
        else:
            answerer.handle(self, messenger, asked)

    def _wake_readers(self) -> None:
        """Wake the readers of what was delivered; without the lock, which they may want."""
        for subscription in self._router.take_ready():
            subscription.wake_reader()

    # -- the application, in any thread ------------------------------------------------------------

    def publish(self, topic: str, data: bytes) -> int:
        """Hand ``data`` to all who listen; return to how many."""
        with self._guard():
            count = self._open_messenger().publish(topic, data)
            if count:
                self._pump()
            return count

    def send(self, to: Node | str, topic: str, data: bytes, tell: OutcomeHandler) -> int:
        """Hand ``data`` to one; return the ticket of which ``tell`` is told what came of it, in any thread."""
        return self._submit(lambda messenger, ticket: messenger.send(to, topic, data, ticket), tell)

    def ask(self, to: Node | str, topic: str, data: bytes, patience_s: float, tell: OutcomeHandler) -> int:
        """Hand a question to one; see ``send``."""
        return self._submit(lambda messenger, ticket: messenger.ask(to, topic, data, ticket, patience_s), tell)

    def _submit(self, hand_over: Callable[[Messenger, int], Iterable[Any]], tell: OutcomeHandler) -> int:
        with self._guard():
            messenger, ticket = self._open_messenger(), self._tickets.new(tell)
            try:
                self._dispatch(hand_over(messenger, ticket))
            except BaseException:
                self._tickets.cancel(ticket)
                raise
            self._pump()
            return ticket

    def give_up(self, ticket: int, unsent: ClusterKitError, sent: ClusterKitError) -> None:
        """Wait no longer for what comes of ``ticket``: one of the errors is told now, if nothing was before."""
        from cluster_kit.topics.outcomes import Failed

        with self.lock:
            tell = self._tickets.cancel(ticket)
            if tell is not None:
                is_withdrawn = self._messenger is None or self._messenger.withdraw(ticket)
                tell(Failed(ticket, unsent if is_withdrawn else sent))
                self._pump()

    def listeners(self, topic: str, *, answering: bool = False) -> tuple[Node, ...]:
        """Return the linked nodes that listen, or that answer, by name."""
        with self._guard():
            return self._open_messenger().listeners(topic, answering=answering)

    def subscribe(self, subscription: TopicSubscription) -> None:
        """Deliver to ``subscription`` from now on; raises ``ValueError`` where that is a topic too many."""
        with self._guard():
            self._router.add(subscription)
            self._listen(subscription.topic, undo=lambda: self._router.remove(subscription))

    def unsubscribe(self, subscription: TopicSubscription) -> None:
        """Deliver nothing more to ``subscription``, and end it; idempotent."""
        with self._own_lock():
            if self._router.remove(subscription):
                self._listen(subscription.topic)
        subscription.end()

    def answer(self, topic: str, answerer: QuestionHandler) -> None:
        """Have ``answerer`` answer from now on."""
        with self._guard():
            self._router.add_answerer(topic, answerer)
            self._listen(topic, undo=lambda: self._router.remove_answerer(topic))

    def stop_answering(self, topic: str, answerer: QuestionHandler | None = None) -> None:
        """Have nobody answer, or only ``answerer`` not any more; idempotent."""
        with self._guard():
            if self._router.remove_answerer(topic, answerer):
                self._listen(topic)

    def _listen(self, topic: str, undo: Callable[[], object] | None = None) -> None:
        """Tell peers what is listened to now."""
        try:
            self._open_messenger().listen(topic, self._router.interest(topic))
        except BaseException:
            if undo is not None:
                undo()
            raise
        self._say_greeting()
        self._pump()

    def _say_greeting(self) -> None:
        """Have the worker told of the greeting of the moment when that is its turn: of many changes in a row, the last one."""
        if self._greet is not None and not self._greeting_is_due:
            self._greetings, self._greeting_is_due = self._greetings + 1, True
            self._greet()

    def is_answered(self, topic: str) -> bool:
        """Whether somebody answers in this application."""
        with self._guard():
            return self._router.answerer(topic) is not None

    # -- for who watches, mostly with the lock held ------------------------------------------------

    def watch(self, look: Callable[[], None]) -> None:
        """Have ``look`` called now, and whenever ``boot_id``, ``over`` or what ``linked`` returns may have changed."""
        with self._guard():
            self.watchers.add(look)
            self.watchers.invalidate()
            self._notify_watchers()
            self._pump()

    def linked(self, topic: str) -> Mapping[int, tuple[Node, bool]]:
        """Return the nodes at the other ends of all links, and whether each answers in ``topic``."""
        return self._open_messenger().linked(topic)

    def ask_on(self, link: int, topic: str, patience_s: float, tell: OutcomeHandler) -> None:
        """Ask on a link that is up; see ``ask``."""
        node = self._links[link].node
        self._dispatch(self._open_messenger().ask(node, topic, b"", self._tickets.new(tell), patience_s))

    def sync(self, link: int, tell: OutcomeHandler) -> None:
        """Have ``tell`` told when the peer has heard all that it was told so far; not if the link goes down before."""
        self._open_messenger().sync(link, self._tickets.new(tell))

    def mark_read(self, numbers: Mapping[IncomingStream, int]) -> bool:
        """Tell the senders up to where they were read; return whether that could be done, else it is for later."""
        if self.entered:
            return False
        with self.lock:
            if self._messenger is not None:
                for stream, number in numbers.items():
                    self._messenger.mark_read(stream, number)
                self._pump()
        return True

    def respond(self, messenger: Messenger, respond: Callable[[], None]) -> None:
        """Answer a question that ``messenger`` passed on, by calling ``respond``; nothing if it has left meanwhile."""
        with self.lock:
            if messenger is self._messenger:
                respond()
                self._pump()
