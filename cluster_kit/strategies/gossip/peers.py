"""Which runs of which nodes were heard: tells a new run from a known one, and a belated packet from news. Pure.

Memory is bounded whatever the network sends: those heard longest ago make room for new ones.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum, auto

from cluster_kit.node import BootId

MAX_PEERS = 20_000
MAX_BURIED = 1024  # goodbyes to remember; a belated packet comes within seconds of its goodbye


class Word(Enum):
    """What it means to hear from a run of a node."""

    KNOWN = auto()
    """It was heard before."""
    NEW = auto()
    """It is the first that is heard of this run, or the first for a long time."""
    LATE = auto()
    """The run has said goodbye, or a newer one has taken its place: the packet was under way for long."""


@dataclass(slots=True)
class _Peer:
    boot_id: BootId
    heard_s: float


class Peers:
    """The peers heard of late.

    Args:
        silent_s: After this silence of a run an older one may take its place: the clock was set back between the two.
        forget_s: After this silence a peer is forgotten, and new when it returns.
    """

    def __init__(self, *, silent_s: float, forget_s: float) -> None:
        self._silent_s = silent_s
        self._forget_s = forget_s
        self._peers: OrderedDict[str, _Peer] = OrderedDict()  # by name, longest silent first
        self._buried: OrderedDict[BootId, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._peers)

    def current(self, name: str) -> BootId | None:
        """Return the run of ``name`` that counts."""
        peer = self._peers.get(name)
        return None if peer is None else peer.boot_id

    def hear(self, name: str, boot_id: BootId, now_s: float) -> Word:
        """Take in that a run of ``name`` was heard."""
        peer = self._peers.get(name)
        if boot_id in self._buried:
            return Word.LATE
        if peer is not None and boot_id < peer.boot_id and now_s - peer.heard_s < self._silent_s:
            return Word.LATE
        known = peer is not None and peer.boot_id == boot_id
        self._peers[name] = _Peer(boot_id, now_s)
        self._peers.move_to_end(name)
        if len(self._peers) > MAX_PEERS:
            self._peers.popitem(last=False)
        return Word.KNOWN if known else Word.NEW

    def bury(self, name: str, boot_id: BootId) -> bool:
        """Take in a goodbye, whatever was heard before; return whether it is the first of this run."""
        if boot_id in self._buried:
            return False
        self._buried[boot_id] = None
        if len(self._buried) > MAX_BURIED:
            self._buried.popitem(last=False)
        if self.current(name) == boot_id:
            del self._peers[name]
        return True

    def forget_silent(self, now_s: float) -> None:
        """Forget those who have been silent for long."""
        while self._peers and now_s - next(iter(self._peers.values())).heard_s >= self._forget_s:
            self._peers.popitem(last=False)
