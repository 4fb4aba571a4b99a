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
from cluster_kit.supervisor.topics.audience import Answers, Audience
from cluster_kit.supervisor.topics.guarded import Guarded
from cluster_kit.supervisor.topics.lookout import Lookout
from cluster_kit.supervisor.topics.tickets import Ended, Tickets
from cluster_kit.worker.messages import Forwarded, LinkClosed, LinkOpened, Serving

if TYPE_CHECKING:
    from cluster_kit.supervisor.topics.subscription import TopicSubscription
    from cluster_kit.topics.messenger import Messenger
    from cluster_kit.topics.outcomes import Asked, Stream

_MOST_IN_HAND = 4  # parcels of one link, together less than 256 KiB: what goes on its way while the worker asks for more
_NO_LINK = -1  # on which nothing is ever heard: what comes of other calls is told all the same
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
        self._in_hand: dict[int, int] = {}
        self._leaving = self._has_heard = False
        self.boot_id: BootId | None = None
        self._messenger: Messenger | None = None
        self._takers: Mapping[type, Callable[[Any], None]] = {}
        self._max_message_bytes: int | None = None
        self._audience = Audience()
        self._tick_at_s = 0.0
        self._tickets = Tickets()
        self.lookout = Lookout()

    # -- life ------------------------------------------------------------------------------------------------------------------

    def fork(self, pid: int) -> None:
        """Belong to another process from now on, where this was made before a fork; nothing of it runs yet."""
        super().fork(pid)
        self._messenger = None

    def end(self, why: str) -> None:
        """End all subscriptions, those to come, and whatever is waited for; idempotent."""
        with self.lock:
            self.over = self.over or why
            self._watch()
            every = self._audience.dismiss()
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

    def _speaker(self) -> Messenger:
        """Return the messenger, who is made now if there is none and told all that is known."""
        if self._messenger is None:
            from cluster_kit.supervisor.topics import speaker

            self._takers = speaker.takers(self._audience, self._asked, self._tickets.ended)
            self._messenger = speaker.begin(self._audience, self._max_message_bytes)
            for opened in list(self._links.values()):
                self._open_link(opened, 0.0)
        return self._messenger

    # -- the worker, on the supervising thread ---------------------------------------------------------------------------------

    @property
    def greeting(self) -> bytes:
        """What peers are told in the handshake."""
        with self.lock:
            return self._speaker().greeting if self.has_topics else b""

    def next_greeting(self) -> bytes:
        """Return it, to be told to the worker in place of the one that it has."""
        with self.lock:
            self._greeting_is_due = False
            self._greetings += 1
            return self.greeting

    @property
    def has_topics(self) -> bool:
        """Whether this application listens to anything."""
        return bool(self._audience.topics)

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
            self._watch()

    def detach(self, now_s: float) -> None:
        """The worker is dead, and all links with it."""
        with self.lock:
            self._line = self._greet = self.boot_id = None
            self._close_links(now_s)
            self._watch()
        self._rouse()

    def leave(self, now_s: float) -> None:
        """Say goodbye to everybody, behind all that is said already; what comes from now on is not heard."""
        with self.lock:
            if self._messenger is not None:
                self._messenger.close()
                self._pump(most_in_hand=None)
            self._close_links(now_s)
            self._leaving = True
            self._messenger = self.boot_id = None  # the next one is another run
            self._watch()
        self._rouse()

    def hear(self, message: Parcel | Forwarded | LinkOpened | LinkClosed, now_s: float) -> None:
        """Take in what the worker says of its links, and do what follows."""
        self.note(message, now_s)
        self.settle()

    def note(self, message: Parcel | Forwarded | LinkOpened | LinkClosed, now_s: float) -> None:
        """Take in what the worker says of its links; ``settle`` is to be called once all is noted that is there."""
        self._has_heard = True
        with self.lock:
            match message:
                case Parcel(link=link, payload=payload, forwarded=parcels) if link in self._links:
                    if parcels:
                        self._in_hand[link] -= parcels
                    self._receive(link, payload, now_s)
                case Forwarded(link=link, parcels=parcels) if link in self._in_hand:
                    self._in_hand[link] -= parcels
                case LinkOpened(link=link) if not self._leaving:
                    self._links[link] = message
                    if self._messenger is not None:
                        self._open_link(message, now_s)
                case LinkClosed(link=link):
                    self._close_link(link, now_s)

    def settle(self) -> None:
        """Do what follows from what was noted, if anything was: say what is due, and wake readers."""
        if self._has_heard:
            self._has_heard = False
            with self.lock:
                self._watch()
                self._pump()
            self._rouse()

    def _receive(self, link: int, payload: bytes, now_s: float) -> None:
        speaker = self._speaker()
        try:
            self._take(speaker.receive(link, payload))
        except RemoteProtocolError as exc:
            self._break(link, exc, now_s)

    def tick(self, now_s: float) -> None:
        """Do what is due; costs nothing to call often."""
        if self._messenger is None or now_s < self._tick_at_s:
            return
        self._tick_at_s = now_s + _TICK_S
        with self.lock:
            if self._messenger is not None:
                self._take(self._messenger.tick(now_s))
                self._watch()
                self._pump()
        self._rouse()

    def _open_link(self, opened: LinkOpened, now_s: float) -> None:
        self._in_hand[opened.link] = 0
        speaker = self._speaker()
        # what is listened to may have changed while the worker did not know yet
        outdated = opened.outdated or self._greeting_is_due or opened.greetings != self._greetings
        try:
            self._take(speaker.up(opened.link, opened.node, opened.greeting, outdated=outdated))
        except RemoteProtocolError as exc:
            self._break(opened.link, exc, now_s)

    def _close_links(self, now_s: float) -> None:
        for link in list(self._links):
            self._close_link(link, now_s)

    def _close_link(self, link: int, now_s: float) -> None:
        if self._links.pop(link, None) is not None and self._in_hand.pop(link, None) is not None:
            self._take(self._speaker().down(link, now_s))

    def _break(self, link: int, exc: RemoteProtocolError, now_s: float) -> None:
        node = self._links[link].node
        self._warn(f"{self.topology}: no messages from {node} and to it until its next link: {exc}")
        self._close_link(link, now_s)

    def _pump(self, most_in_hand: int | None = _MOST_IN_HAND) -> None:
        """Hand to the worker what it has room for."""
        messenger, line, in_hand = self._messenger, self._line, self._in_hand
        if messenger is None or line is None:
            return
        for link in messenger.ready():
            while most_in_hand is None or in_hand[link] < most_in_hand:
                payload = messenger.next_payload(link)
                if payload is None:
                    break
                line.send_parcel(link, payload)
                in_hand[link] += 1  # only now, as an interrupt may end this before: what is never sent is never given back
        if self._tickets:  # what goes makes room for what waits, and whoever waits has to know
            self._take(messenger.receive(_NO_LINK, b""))

    def _watch(self) -> None:
        changes = None if self._messenger is None else self._messenger.changes
        self.lookout.look((self.over, self.boot_id, changes))

    # -- what comes of it ------------------------------------------------------------------------------------------------------

    def _take(self, outcomes: Iterable[Any]) -> None:
        takers = self._takers
        for outcome in outcomes:
            takers[type(outcome)](outcome)

    def _asked(self, asked: Asked) -> None:
        speaker, answerer = self._speaker(), self._audience.answerer(asked.topic)
        if answerer is None:
            speaker.decline(asked.question, "nobody answers there any more")
        else:
            answerer.take(self, speaker, asked)

    def _rouse(self) -> None:
        """Wake the readers of what was delivered; without the lock, which they may want."""
        for subscription in self._audience.roused():
            subscription.rouse()

    # -- the application, in any thread ----------------------------------------------------------------------------------------

    def publish(self, topic: str, data: bytes) -> int:
        """Hand ``data`` to all who listen; return to how many."""
        with self._guard():
            count = self._speaker().publish(topic, data)
            if count:
                self._pump()
            return count

    def send(self, to: Node | str, topic: str, data: bytes, tell: Ended) -> int:
        """Hand ``data`` to one; return the ticket of which ``tell`` is told what came of it, in any thread."""
        return self._submit(lambda speaker, ticket: speaker.send(to, topic, data, ticket), tell)

    def ask(self, to: Node | str, topic: str, data: bytes, patience_s: float, tell: Ended) -> int:
        """Hand a question to one; see ``send``."""
        return self._submit(lambda speaker, ticket: speaker.ask(to, topic, data, ticket, patience_s), tell)

    def _submit(self, hand_over: Callable[[Messenger, int], Iterable[Any]], tell: Ended) -> int:
        with self._guard():
            speaker, ticket = self._speaker(), self._tickets.new(tell)
            try:
                self._take(hand_over(speaker, ticket))
            except BaseException:
                self._tickets.take_back(ticket)
                raise
            self._pump()
            return ticket

    def give_up(self, ticket: int, unsent: ClusterKitError, sent: ClusterKitError) -> None:
        """Wait no longer for what comes of ``ticket``: one of the errors is told now, if nothing was before."""
        from cluster_kit.topics.outcomes import Failed

        with self.lock:
            tell = self._tickets.take_back(ticket)
            if tell is not None:
                is_withdrawn = self._messenger is None or self._messenger.withdraw(ticket)
                tell(Failed(ticket, unsent if is_withdrawn else sent))
                self._pump()

    def listeners(self, topic: str, *, answering: bool = False) -> tuple[Node, ...]:
        """Return the linked nodes that listen, or that answer, by name."""
        with self._guard():
            return self._speaker().listeners(topic, answering=answering)

    def subscribe(self, subscription: TopicSubscription) -> None:
        """Deliver to ``subscription`` from now on; raises ``ValueError`` where that is a topic too many."""
        with self._guard():
            self._audience.add(subscription)
            self._listen(subscription.topic, undo=lambda: self._audience.remove(subscription))

    def unsubscribe(self, subscription: TopicSubscription) -> None:
        """Deliver nothing more to ``subscription``, and end it; idempotent."""
        with self._own_lock():
            if self._audience.remove(subscription):
                self._listen(subscription.topic)
        subscription.end()

    def answer(self, topic: str, answerer: Answers) -> None:
        """Have ``answerer`` answer from now on."""
        with self._guard():
            self._audience.add_answerer(topic, answerer)
            self._listen(topic, undo=lambda: self._audience.remove_answerer(topic))

    def stop_answering(self, topic: str, answerer: Answers | None = None) -> None:
        """Have nobody answer, or only ``answerer`` not any more; idempotent."""
        with self._guard():
            if self._audience.remove_answerer(topic, answerer):
                self._listen(topic)

    def _listen(self, topic: str, undo: Callable[[], object] | None = None) -> None:
        """Tell peers what is listened to now."""
        try:
            self._speaker().listen(topic, self._audience.interest(topic))
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
            return self._audience.answerer(topic) is not None

    # -- for who watches, mostly with the lock held ----------------------------------------------------------------------------

    def watch(self, look: Callable[[], None]) -> None:
        """Have ``look`` called now, and whenever ``boot_id``, ``over`` or what ``linked`` returns may have changed."""
        with self._guard():
            self.lookout.add(look)
            self.lookout.again()
            self._watch()
            self._pump()

    def linked(self, topic: str) -> Mapping[int, tuple[Node, bool]]:
        """Return the nodes at the other ends of all links, and whether each answers in ``topic``."""
        return self._speaker().linked(topic)

    def ask_on(self, link: int, topic: str, patience_s: float, tell: Ended) -> None:
        """Ask on a link that is up; see ``ask``."""
        node = self._links[link].node
        self._take(self._speaker().ask(node, topic, b"", self._tickets.new(tell), patience_s))

    def sync(self, link: int, tell: Ended) -> None:
        """Have ``tell`` told when the peer has heard all that it was told so far; not if the link goes down before."""
        self._speaker().sync(link, self._tickets.new(tell))

    def taken(self, numbers: Mapping[Stream, int]) -> bool:
        """Tell the senders up to where they were read; return whether that could be done, else it is for later."""
        if self.entered:
            return False
        with self.lock:
            if self._messenger is not None:
                for stream, number in numbers.items():
                    self._messenger.taken(stream, number)
                self._pump()
        return True

    def respond(self, messenger: Messenger, respond: Callable[[], None]) -> None:
        """Answer a question that ``messenger`` passed on, by calling ``respond``; nothing if it has left meanwhile."""
        with self.lock:
            if messenger is self._messenger:
                respond()
                self._pump()
