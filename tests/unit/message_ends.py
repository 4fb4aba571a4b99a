"""Two applications and the link between them, for tests of messages."""

from cluster_kit.node import BootId, Node
from cluster_kit.topics.messenger import Messenger
from cluster_kit.topics.outcomes import Arrived, LocalInterest, Missing, Outcome
from cluster_kit.wire import topics as wire

WIDE = LocalInterest(messages=1000, bytes=2**20, answers=True)
ANN = Node("ann@h", "h:1", boot_id=BootId(1, 1))
BOB = Node("bob@h", "h:2", boot_id=BootId(2, 2))


class End:
    """One application; ``outcomes`` are those that it was told since they were looked at."""

    def __init__(self, node: Node, run: int, **options) -> None:
        self.node = node
        self.messenger = Messenger(bytes([run]) * wire.RUN_BYTES, **options)
        self.link: int | None = None
        self.outcomes: list[Outcome] = []

    def said(self) -> list[bytes]:
        """Return what it has to send."""
        payloads = []
        for link in self.messenger.ready():
            assert link == self.link
            payloads += iter(lambda: self.messenger.next_payload(self.link), None)
        return payloads

    def records(self) -> list[wire.Record]:
        """Return what it has to say."""
        return [record for payload in self.said() for record in wire.decode(payload)]

    def hear(self, *records: wire.Record) -> list[Outcome]:
        """Return what it makes of what the other end says."""
        return self.messenger.receive(self.link, wire.encode(records))

    def told(self, kind: type | None = None) -> list[Outcome]:
        """Return what it was told since the last call, of one type."""
        self.outcomes += self.messenger.take_outcomes()
        outcomes, self.outcomes = self.outcomes, []
        return [each for each in outcomes if kind is None or type(each) is kind]

    def data(self) -> list[bytes]:
        """Return the messages that have come."""
        return [each.data for each in self.told(Arrived)]


class Pair:
    """Two of them, linked, of which bob listens to ``t``."""

    def __init__(
        self, *, interest: LocalInterest | None = WIDE, linked: bool = True, **options
    ) -> None:
        self.ann, self.bob = End(ANN, 1, **options), End(BOB, 2, **options)
        self.bob.messenger.listen("t", interest)
        self.links = 0
        if linked:
            self.connect()

    def connect(self, bob_greets: bytes | None = None) -> None:
        """Link them anew; bob's greeting may be out of date."""
        self.links += 1
        ann, bob = self.ann, self.bob
        ann.link = bob.link = self.links
        is_outdated = bob_greets is not None
        greeting = bob_greets if is_outdated else bob.messenger.greeting
        ann.outcomes += ann.messenger.up(ann.link, bob.node, greeting, outdated=False)
        greeting = ann.messenger.greeting
        bob.outcomes += bob.messenger.up(bob.link, ann.node, greeting, outdated=is_outdated)

    def cut(self, now_s: float = 0.0) -> None:
        """Lose the link, and what is on its way."""
        for end in (self.ann, self.bob):
            end.said()
            end.outcomes += end.messenger.down(end.link, now_s)

    def restart(self, name: str) -> None:
        """Begin another run of one of them."""
        before = getattr(self, name)
        setattr(self, name, End(before.node, before.messenger._local.run[0] + 10))

    def pump(self) -> None:
        """Carry everything, until nobody has anything to say."""
        while True:
            for end, other in ((self.ann, self.bob), (self.bob, self.ann)):
                payloads = end.said()
                for payload in payloads:
                    other.outcomes += other.messenger.receive(other.link, payload)
                if payloads:
                    break
            else:
                return

    def read(self, outcomes: list[Outcome]) -> None:
        """Have bob read what has come."""
        for each in outcomes:
            self.bob.messenger.mark_read(each.stream, each.number)


def narrow(messages=2, size=1000):
    """Return a pair whose receiver has room for this many messages, and bytes."""
    return Pair(interest=LocalInterest(messages=messages, bytes=size))


def lost(outcomes):
    """Return how many messages each gap lacks."""
    return [each.lost for each in outcomes if type(each) is Missing]
