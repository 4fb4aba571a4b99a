"""Applications whose topics are joined in memory.

Switchboards and messengers are real; ``Application`` stands in for workers and links.
"""

import threading
from functools import partial
from queue import SimpleQueue

from waiting import until

from cluster_kit.node import BootId, Node
from cluster_kit.pipe.channel import Parcel
from cluster_kit.pipe.messages import Forwarded, LinkClosed, LinkOpened
from cluster_kit.supervisor.topics.switchboards import Switchboards
from cluster_kit.supervisor.topics.topic import Topic


class Application:
    """One node, in one topology; a thread of its own stands for the supervising thread.

    Attributes:
        forwards: Whether its worker forwards parcels; if not, they are ``held`` until ``forward``.
        greets: Whether its worker gets a new greeting at once; if not, it does by ``greet``.
        greeted: How many greetings it has got.
        asked_to_greet: How often it was asked to fetch one.
    """

    def __init__(self, name, boot=1):
        self.node = Node(name=f"{name}@h", boot_id=BootId(boot, 1))
        self.warnings = []
        self.boards = Switchboards(self.warnings.append)
        self.board = self.boards.of("lan")
        self.forwards = True
        self.held = []
        self.parcels = 0
        self.now_s = 0.0
        self._links = {}
        self._last_link = 0
        self._orders = SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.greets = True
        self.greeted = self.asked_to_greet = 0
        self._greeting = b""
        self._greetings_under_way = []
        self.board.attach(self, greet=self._greet)

    def start(self):
        self._thread.start()
        self.boards.start()
        return self

    def stop(self):
        self.boards.close()
        self._orders.put(None)
        self._thread.join(10)
        self.boards.join()

    def topic(self, name):
        return Topic(
            name,
            boards=self.boards,
            board=self.board,
            running=lambda: None,
            current=lambda _, nodes: tuple(nodes),
        )

    # -- the supervising thread, and the worker's end of the line ----------------------------------

    def _run(self):
        while (order := self._orders.get()) is not None:
            order()

    def order(self, order, *arguments):
        self._orders.put(partial(order, *arguments))

    def hear(self, message):
        self.order(self._receive, message)

    def _receive(self, message):
        self.board.note(message, self.now_s)
        self.board.flush()

    def settle(self):
        """Wait until everything that was ordered so far is done."""
        done = threading.Event()
        self.order(done.set)
        assert done.wait(10)

    def _greet(self):
        self.asked_to_greet += 1
        self.order(self._send_greeting)

    def _send_greeting(self):
        self._greetings_under_way.append(self.board.next_greeting())
        if self.greets:
            self.greet()

    def greet(self):
        """Have the worker hear the greetings that are on their way."""
        self.greeted += len(self._greetings_under_way)
        [*_, self._greeting] = [self._greeting, *self._greetings_under_way]
        self._greetings_under_way.clear()

    def send_parcel(self, link, payload):
        self.parcels += 1
        self.held.append((link, payload))
        if self.forwards:
            self.forward()

    def forward(self):
        """Pass on what is held."""
        held, self.held = self.held, []
        for link, payload in held:
            if link in self._links:
                peer, there = self._links[link]
                peer.hear(Parcel(there, payload))
            self.hear(Forwarded(link, 1))

    # -- links -------------------------------------------------------------------------------------

    def link(self, peer):
        """Open a link, as after a handshake; return its numbers at both ends."""
        self.settle()
        peer.settle()
        self._last_link += 1
        peer._last_link += 1
        here, there = self._last_link, peer._last_link
        self._links[here], peer._links[there] = (peer, there), (self, here)
        self.hear(self._opened(here, peer))
        peer.hear(peer._opened(there, self))
        self.settle()
        peer.settle()
        return here, there

    def _opened(self, link, peer):
        return LinkOpened(
            link=link,
            node=peer.node,
            greeting=peer._greeting,
            outdated=False,
            greetings=self.greeted,
        )

    def cut(self, here):
        """Lose a link, and what is on its way."""
        peer, there = self._links.pop(here)
        del peer._links[there]
        self.hear(LinkClosed(here))
        peer.hear(LinkClosed(there))
        self.settle()
        peer.settle()


def listening(topic, *applications):
    """Wait until a topic's owner knows that these applications listen."""
    names = {each.node.name for each in applications}
    until(lambda: {node.name for node in topic.nodes()} == names, f"{names} listen")
