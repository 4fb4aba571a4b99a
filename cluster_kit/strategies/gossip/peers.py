"""The runs of nodes that were heard: recognizes new, repeated and late packets. Pure.

Memory is bounded whatever the network sends: peers that were heard longest ago make room for new
ones. ``engine`` explains the rules.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from heapq import nsmallest
from math import inf

from cluster_kit.node import BootId, Fence, Node

MAX_PEERS = 20_000
MAX_GOODBYES = 1024  # goodbyes to remember
BELATED_S = 3.0  # within this time, a packet may have been overtaken by its sender's goodbye


class Novelty(Enum):
    """What a packet means for its sender's run."""

    NEW = auto()
    """The run is heard for the first time, or for the first time in a long while."""
    CHANGED = auto()
    """The run describes itself differently, or its last ``Seen`` is about to expire."""
    KNOWN = auto()
    """The run describes itself as before."""
    LATE = auto()
    """The run said goodbye or was replaced a moment ago: the packet was delayed."""
    RIVAL = auto()
    """The run keeps speaking after a newer one has replaced it: two nodes share one name."""


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """How a run describes itself; compared by identity, which makes looking it up fast."""

    node: Node
    fence: Fence
    leaving: bool

    def says_the_same_as(self, other: Statement) -> bool:
        """Whether both describe the same."""
        return (self.node, self.leaving) == (other.node, other.leaving)


class HeardPeers:
    """The peers that were heard recently.

    Args:
        silent_s: For how many seconds a run must be silent before an older one may replace it,
            since the clock was set back between the two.
        ttl_s: For how many seconds a silent peer is remembered; when it returns later, it is new.
    """

    def __init__(self, *, silent_s: float, ttl_s: float) -> None:
        self._silent_s = silent_s
        self._ttl_s = ttl_s
        self._statements: dict[str, Statement] = {}  # the last statement, by name
        self._heard_s: dict[Statement, float] = {}  # when it was last heard
        self._until_s: dict[Statement, float] = {}  # when its last ``Seen`` expires
        self._rivalled_since_s: dict[str, float] = {}  # since when an older run speaks, too
        self._contested_s: dict[str, float] = {}  # when another run of it was last heard
        self._lapsing: set[Statement] = set()  # reported as soon as they are heard again
        self._goodbyes: OrderedDict[BootId, float] = OrderedDict()  # until when, oldest first
        self._all_late_until_s = -inf  # the last of these times

    def __len__(self) -> int:
        return len(self._statements)

    def current(self, name: str) -> BootId | None:
        """Return the current run of ``name``."""
        statement = self._statements.get(name)
        return None if statement is None else statement.node.boot_id

    def repeats(self, statement: object, now_s: float) -> bool:
        """Record that a known statement was heard again; return False for anything else.

        This handles nearly all packets, at a fraction of the cost of ``hear``.
        """
        if now_s < self._all_late_until_s or statement in self._lapsing:
            return False
        if statement not in self._heard_s:
            return False
        self._heard_s[statement] = now_s
        return True

    def all_repeat(self, heard: Iterable[object], now_s: float) -> bool:
        """Record a batch, if all of it is statements that were heard before."""
        if self._lapsing or now_s < self._all_late_until_s:
            return False
        repeated = dict.fromkeys(heard, now_s)
        if not self._heard_s.keys() >= repeated.keys():
            return False
        self._heard_s.update(repeated)  # type: ignore[arg-type]  # all of them are statements
        return True

    def hear(self, statement: Statement, now_s: float) -> Novelty:
        """Record a statement of a node that has a name and a boot."""
        novelty = self._judge(statement, now_s)
        if novelty in (Novelty.LATE, Novelty.RIVAL):
            return novelty
        before = self._statements.get(statement.node.key)
        until_s = now_s + self._ttl_s
        if before is not None:
            until_s = self._until_s[before] if novelty is Novelty.KNOWN else until_s
            if before is not statement or statement in self._lapsing:
                self._forget(before)
        self._statements[statement.node.key] = statement
        self._heard_s[statement] = now_s
        self._until_s[statement] = until_s
        if len(self._statements) > MAX_PEERS:
            self._make_room()
        return novelty

    def _drop(self, statement: Statement) -> None:
        self._forget(statement)
        self._rivalled_since_s.pop(statement.node.key, None)
        self._contested_s.pop(statement.node.key, None)

    def _forget(self, statement: Statement) -> None:
        del self._statements[statement.node.key], self._heard_s[statement], self._until_s[statement]
        self._lapsing.discard(statement)

    def _make_room(self) -> None:
        """Forget the peers that were heard longest ago, several at once: it is a full scan."""
        count = max(1, MAX_PEERS // 16)
        for statement in nsmallest(count, self._heard_s, key=self._heard_s.__getitem__):
            self._drop(statement)

    def _judge(self, statement: Statement, now_s: float) -> Novelty:
        boot_id = statement.node.boot_id
        assert boot_id is not None
        if now_s < self._goodbyes.get(boot_id, -inf):
            return Novelty.LATE
        before = self._statements.get(statement.node.key)
        if before is None or before.node.boot_id is None:
            return Novelty.NEW
        if boot_id == before.node.boot_id:
            is_known = statement.says_the_same_as(before) and before not in self._lapsing
            return Novelty.KNOWN if is_known else Novelty.CHANGED
        if boot_id > before.node.boot_id or now_s - self._heard_s[before] >= self._silent_s:
            return Novelty.NEW
        self._contested_s[statement.node.key] = now_s
        since_s = self._rivalled_since_s.setdefault(statement.node.key, now_s)
        return Novelty.RIVAL if now_s - since_s > BELATED_S else Novelty.LATE

    def renew(self, now_s: float, horizon_s: float) -> list[tuple[Statement, float]]:
        """Return the peers that were heard again and whose last ``Seen`` expires by ``horizon_s``.

        This is called again by then, and long enough before that a live peer is heard in between.
        Each peer is returned with the time at which its next ``Seen`` expires. Peers that have been
        silent for too long are forgotten. If another run of a peer was heard since, the peer has to
        be heard again first: that run may have replaced it.
        """
        ending = [statement for statement, until_s in self._until_s.items() if until_s < horizon_s]
        renewed = []
        for statement in ending:
            heard_s = self._heard_s[statement]
            until_s = heard_s + self._ttl_s
            if until_s <= now_s:
                self._drop(statement)
                continue
            is_contested = heard_s < self._contested_s.get(statement.node.key, -inf)
            if self._until_s[statement] < until_s and not is_contested:
                self._until_s[statement] = until_s
                renewed.append((statement, until_s))
            if self._until_s[statement] < horizon_s:
                self._lapsing.add(statement)
            else:
                self._lapsing.discard(statement)
        return renewed

    def record_goodbye(self, name: str, boot_id: BootId, now_s: float) -> bool:
        """Record a goodbye, whatever was heard before; return whether it is new.

        It counts only for a while: anybody can send one in another node's name, and that node is
        heard again.
        """
        if now_s < self._goodbyes.get(boot_id, -inf):
            return False
        self._goodbyes[boot_id] = self._all_late_until_s = now_s + BELATED_S
        self._goodbyes.move_to_end(boot_id)
        if len(self._goodbyes) > MAX_GOODBYES:
            self._goodbyes.popitem(last=False)
        current = self._statements.get(name)
        if current is not None and current.node.boot_id == boot_id:
            self._drop(current)
        elif current is not None:
            self._contested_s[name] = now_s
        return True
