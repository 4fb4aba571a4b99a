"""Gossip engines on a network in memory, with a clock that is turned by hand."""

import heapq
import itertools
from collections import Counter
from math import inf
from random import Random

from cluster_kit.abc import Gone, Observation, Seen
from cluster_kit.network import Datagram, Endpoint
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.security.keys import Keyring, SecretKeys
from cluster_kit.strategies.gossip.distrust import Distrusted
from cluster_kit.strategies.gossip.engine import GossipEngine, IgnoredDatagram, Send, Sooner
from cluster_kit.strategies.gossip.sealed import SealedEngine
from cluster_kit.wire import envelope
from cluster_kit.wire.gossip import Kind, Packet, decode, encode
from cluster_kit.wire.sealing import NotOpened, Sealing, is_sealed

FENCE = Fence("shop", "lan")
INTERVAL_S = 1.5
TTL_S = 10.0
DELAY_S = 0.001


def keys(letter="k"):
    """Return what a secret might have come to."""
    byte = letter.encode()
    return SecretKeys(id=byte * 8, authority=byte * 32, datagrams=byte * 32)


KEYRING = Keyring(keys())
SPY = Sealing("spy@nowhere", BootId(0, 0), Keyring(keys("k"), (keys("n"), keys("x"))))


class Peer:
    """One node on the network: its engine, and what that observed."""

    def __init__(self, lan, node, source, keyring=None, **options):
        options = {
            "interval_s": INTERVAL_S,
            "ttl_s": TTL_S,
            "random": lambda: lan.random.random(),
            "fence": FENCE,
        } | options
        self.node = node
        self.source = source
        self.engine = GossipEngine(node, **options)
        if keyring is not None:
            self.sealing = Sealing(node.name, node.boot_id, keyring)
            given = {key: options[key] for key in ("ttl_s", "random", "fence")}
            key = lan.random.randbytes(32)
            self.engine = SealedEngine(self.engine, self.sealing, key=key, **given)
            self.engine.hears_at(Endpoint(*source))
        self.distrusted: list[Distrusted] = []
        self.observations: list[Observation] = []
        self.vouched = {}
        self.ignored: list[str] = []
        self.island = 0

    @property
    def name(self):
        return self.node.name

    def sees(self):
        """Return the nodes it ever saw, but those that said goodbye."""
        return {name: node for name, (node, _) in self.vouched.items()}

    def vouches_for(self, now_s):
        """Return the nodes it saw of late, as a roster would."""
        return {name: node for name, (node, until_s) in self.vouched.items() if until_s > now_s}

    def observe(self, observation, now_s):
        self.observations.append(observation)
        match observation:
            case Seen(node=node, ttl_s=ttl_s):
                self.vouched[node.name] = (node, now_s + ttl_s)
            case Gone(name=name, boot_id=boot_id) if (
                name in self.vouched and self.vouched[name][0].boot_id == boot_id
            ):
                del self.vouched[name]

    def forget(self):
        """Start anew with what it has observed."""
        self.observations.clear()
        self.vouched.clear()


class Lan:
    """The network; ``fate(random)`` returns the delays in seconds of each copy of a datagram."""

    def __init__(self, seed=0, fate=lambda random: [DELAY_S], keyring=None):
        self.random = Random(seed)
        self.now_s = 1000.0
        self.peers: list[Peer] = []
        self.sent: list[tuple[float, Peer, Kind, Send]] = []
        self.fate = fate
        self.keyring = keyring
        self.carried = []
        self._numbers = itertools.count(1)
        self._arrivals = []

    def start(self, name, *, boot=None, metadata=None, **options):
        """Add a node, and let it announce itself as soon as time passes."""
        number = next(self._numbers)
        node = Node(
            name=f"{name}@10.0.{number // 250}.{number % 250 + 1}" if "@" not in name else name,
            address=f"10.0.{number // 250}.{number % 250 + 1}:4000",
            metadata=metadata or {},
            boot_id=boot or BootId(number, number),
        )
        source = (f"10.0.{number // 250}.{number % 250 + 1}", 50_000)
        peer = Peer(self, node, source, **({"keyring": self.keyring} | options))
        self.peers.append(peer)
        peer.engine.start(self.now_s)
        return peer

    def kill(self, peer):
        """Take a node off the network, without a goodbye."""
        self.peers.remove(peer)

    def leave(self, peer):
        """Take a node off the network, with a goodbye."""
        self._take(peer, peer.engine.goodbye())
        self.kill(peer)

    def cut(self, *peers):
        """Put these nodes on an island of their own."""
        for peer in peers:
            peer.island = id(peers)

    def heal(self):
        for peer in self.peers:
            peer.island = 0

    def run(self, seconds):
        """Let time pass."""
        end_s = self.now_s + seconds
        while (due_s := self._next_s()) <= end_s:
            self.now_s = max(self.now_s, due_s)
            while self._arrivals and self._arrivals[0][0] <= self.now_s:
                _, _, peer, datagram, source = heapq.heappop(self._arrivals)
                self.deliver(peer, datagram, source)
            for peer in self.peers:
                if peer.engine.next_s <= self.now_s:
                    self._take(peer, peer.engine.tick(self.now_s))
        self.now_s = end_s

    def deliver(self, peer, datagram, source=("10.9.9.9", 50_000)):
        """Have a datagram arrive now; return what the peer made of it."""
        if peer not in self.peers:
            return []
        actions = peer.engine.receive([Datagram(datagram, Endpoint(*source))], self.now_s)
        self._take(peer, actions)
        return actions

    def count(self, since_s=0.0):
        """Return how many datagrams of each kind were sent."""
        return Counter(kind for sent_s, _, kind, _ in self.sent if sent_s >= since_s)

    def _next_s(self):
        due_s = [each.engine.next_s for each in self.peers] + [
            each[0] for each in self._arrivals[:1]
        ]
        return min(due_s, default=inf)

    def _take(self, peer, actions):
        for action in actions:
            match action:
                case Send():
                    self.sent.append((self.now_s, peer, kind_of(action.datagram), action))
                    self._carry(peer, action)
                case IgnoredDatagram(why=why):
                    peer.ignored.append(why)
                case Distrusted():
                    peer.distrusted.append(action)
                case Sooner():
                    pass
                case _:
                    peer.observe(action, self.now_s)

    def _carry(self, sender, send):
        self.carried.append(send)
        for peer in self.peers:
            if send.to in (None, peer.source) and peer.island == sender.island:
                for delay_s in self.fate(self.random):
                    arrival = (
                        self.now_s + delay_s,
                        next(self._numbers),
                        peer,
                        send.datagram,
                        sender.source,
                    )
                    heapq.heappush(self._arrivals, arrival)


def encoded(node, kind=Kind.HEARTBEAT, *, fence=FENCE, leaving=False):
    """Return what a node sends."""
    return encode(Packet.of(node, fence, kind, leaving=leaving))


def opened(datagram, fence=FENCE):
    """Return what is in a sealed datagram, as who has the secret sees it."""
    return envelope.decode(SPY.open(datagram, fence).plain)


def kind_of(datagram):
    """Return what a datagram is for; ``None`` for one without a packet, or of another group."""
    if is_sealed(datagram):
        try:
            datagram = opened(datagram).packet
        except NotOpened:
            return None
    return Kind(decode(datagram).kind) if datagram else None


def complete(lan):
    """Whether every node sees every other in its present run, and nobody else."""
    everybody = {peer.name: peer.node for peer in lan.peers}
    return all(
        peer.sees() == {name: node for name, node in everybody.items() if name != peer.name}
        for peer in lan.peers
    )


def stranger(number=1, *, boot=None, name=None):
    """Return a node that is on no network."""
    return Node(
        name=name or f"stranger{number}@10.1.0.1",
        address="10.1.0.1:4000",
        boot_id=boot or BootId(1_000_000 + number, number),
    )
