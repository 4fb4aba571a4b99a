"""Which runs of which nodes were heard: tells news from what is known, and a belated packet from both. Pure.

Memory is bounded whatever the network sends: those heard longest ago make room for new ones.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum, auto
from heapq import nsmallest
from math import inf

from cluster_kit.node import BootId, Node

MAX_PEERS = 20_000
MAX_BURIED = 1024  # goodbyes to remember
BELATED_S = 3.0  # a packet overtaken by its sender's goodbye comes within this time; what comes later was sent after it


class Word(Enum):
    """What it means to hear from a node."""

    NEW = auto()
    """It is the first that is heard of this run, or the first for a long time."""
    CHANGED = auto()
    """The run tells something else than before, or others may rely on what it told only for a moment longer."""
    KNOWN = auto()
    """The run tells the same as before."""
    LATE = auto()
    """The run has just said goodbye, or a newer one has taken its place: the packet was under way for long."""


@dataclass(slots=True)
class Peer:
    """A node as it was last heard, and until when others may rely on that."""

    node: Node
    leaving: bool
    heard_s: float
    until_s: float


class Peers:
    """The peers heard of late.

    Args:
        silent_s: After this silence of a run an older one may take its place: the clock was set back between the two.
        ttl_s: After this silence a peer is forgotten, and new when it returns.
    """

    def __init__(self, *, silent_s: float, ttl_s: float) -> None:
        self._silent_s = silent_s
        self._ttl_s = ttl_s
        self._peers: dict[str, Peer] = {}
        self._buried: OrderedDict[BootId, float] = OrderedDict()  # until when, those who said goodbye first to the front
        self._all_late_until_s = -inf  # the last of these times

    def __len__(self) -> int:
        return len(self._peers)

    def current(self, name: str) -> BootId | None:
        """Return the run of ``name`` that counts."""
        peer = self._peers.get(name)
        return None if peer is None else peer.node.boot_id

    def repeats(self, name: str, node: Node, now_s: float) -> bool:
        """Take in that the very object was heard that ``name`` was heard as last; return False, and do nothing, if it wasn't.

        It is ``hear`` for nearly all that is heard, at a fraction of its cost.
        """
        peer = self._peers.get(name)
        if peer is None or peer.node is not node or now_s < self._all_late_until_s or peer.until_s - now_s < self._silent_s:
            return False
        peer.heard_s = now_s
        return True

    def hear(self, node: Node, leaving: bool, now_s: float) -> Word:
        """Take in that ``node``, which has a name and a boot, was heard."""
        word = self._judge(node, leaving, now_s)
        if word is Word.KNOWN:
            peer = self._peers[node.key]
            peer.node, peer.heard_s = node, now_s  # equal to the one before; this is the object that comes again
        elif word is not Word.LATE:
            self._peers[node.key] = Peer(node, leaving, now_s, now_s + self._ttl_s)
        if len(self._peers) > MAX_PEERS:
            self._make_room()
        return word

    def _make_room(self) -> None:
        """Forget those who have been silent for the longest time, several at once since it takes a look at all."""
        for name in nsmallest(max(1, MAX_PEERS // 16), self._peers, key=lambda name: self._peers[name].heard_s):
            del self._peers[name]

    def _judge(self, node: Node, leaving: bool, now_s: float) -> Word:
        assert node.boot_id is not None
        if now_s < self._buried.get(node.boot_id, -inf):
            return Word.LATE
        peer = self._peers.get(node.key)
        if peer is None or peer.node.boot_id is None:
            return Word.NEW
        if node.boot_id == peer.node.boot_id:
            is_known = (node, leaving) == (peer.node, peer.leaving) and not self._is_lapsing(peer, now_s)
            return Word.KNOWN if is_known else Word.CHANGED
        late = node.boot_id < peer.node.boot_id and now_s - peer.heard_s < self._silent_s
        return Word.LATE if late else Word.NEW

    def _is_lapsing(self, peer: Peer, now_s: float) -> bool:
        """Whether it may be too late for ``renew``: the peer's packets got lost, and then one didn't."""
        return peer.until_s - now_s < self._silent_s

    def renew(self, now_s: float, horizon_s: float) -> list[Peer]:
        """Return those who have been heard again and on whom others may rely no longer than ``horizon_s`` from now.

        Those who have been silent for long are forgotten.
        """
        horizon_s += now_s
        ending = [(name, peer) for name, peer in self._peers.items() if peer.until_s < horizon_s]
        renewed = []
        for name, peer in ending:
            until_s = peer.heard_s + self._ttl_s
            if peer.until_s < until_s:
                peer.until_s = until_s
                renewed.append(peer)
            elif until_s <= now_s:
                del self._peers[name]
        return renewed

    def bury(self, name: str, boot_id: BootId, now_s: float) -> bool:
        """Take in a goodbye, whatever was heard before; return whether it is news.

        It counts against packets that it may have overtaken, not for ever: anybody can send one in the name of another, who
        goes on and is heard.
        """
        if now_s < self._buried.get(boot_id, -inf):
            return False
        self._buried[boot_id] = self._all_late_until_s = now_s + BELATED_S
        self._buried.move_to_end(boot_id)
        if len(self._buried) > MAX_BURIED:
            self._buried.popitem(last=False)
        if self.current(name) == boot_id:
            del self._peers[name]
        return True
