"""What this node knows of one peer, and the states that a peer goes through.

There is one ``Peer`` for each key, a name or an address without one. What other modules keep by
key could be worked out from these records: whose turn is next (``Deadlines``, the lanes), and who
belongs to a source, an address or the wish. Only the goodbyes of runs (``Departures``) outlast
the record of their peer, a bounded number of them for a minute at most.

A peer is in one state of each of five groups, which move independently. Left of an arrow is the
state before, ``any`` for all of them; right of it, the state after. Reports are those of
``reports.py``; a time is a deadline of the peer. ``rules.py`` says what each report does.

What discovery knows (``roster.py``, ``sources.py``): fields from ``words`` to ``answered_by``

    unknown    no word of a source, or only for an address at which a named peer answers
    known      ``known`` is the node that the words add up to
    set aside  ``mirror`` is that node, but a dial to it led back to this node

    unknown -> known      Observed: Seen or Found, unless it is this node, or max_nodes are known
    known -> unknown      Observed: Found without it, or Gone; or the time of its last word passes,
                          which stands still from SourceFails to SourceWorks
    known -> set aside    ConnectFailed: SELF, and nobody gives another address for it
    set aside -> known    LinkUp; or Connected
    set aside -> unknown  like known -> unknown

The link (``rules.py``, ``doubts.py``, ``memory.py``): fields from ``met`` to ``goodbyes``

    strange  no link that would be remembered
    up       ``up_since_s`` says since when; ``met`` is who is there
    missed   not up, but ``remembered``: it is redialled even if nobody vouches for it
    doubted  besides any of these: a link to a run that has said goodbye, so it should end soon

    any -> up            LinkUp: the link of another run that was up is down (REPLACED)
    any -> doubted       LinkUp of a run that has said goodbye and that nobody vouches for
    doubted -> up        BELATED_S pass
    doubted -> as before LinkDown; or LinkUp of another run
    up -> missed         LinkDown, where a source vouches for it or its silence was no answer
    up -> strange        LinkDown: LEFT, GONE or UNWANTED; or it was leaving; or nobody knows it
    missed -> strange    remember_s pass; or Observed: Gone; or ConnectFailed: SELF

    A goodbye that a source has heard while the peer is up waits in ``goodbyes``: the peer itself
    would say so. It counts if the link is down within HELD_S.

Going away (``departures.py``): fields ``leaving`` and ``left``

    staying  neither
    leaving  ``leaving`` says which run, and whether that is hearsay: discovery alone says so
    left     ``left`` is the run that said goodbye, though a source still vouches for it

    staying -> leaving   Observed: Leaving (hearsay); or LinkLeaving
    leaving -> staying   another run is known or up, or none is; or hearsay's time passes
    any -> left          LinkDown: LEFT, while a source vouches for that run
    left -> staying      it is up, or another run is known, or none

The command (``wish.py``, ``reconciler.py``, ``lanes.py``): fields from ``offer`` to ``flight``

    idle       not ``wanted``, and not ``told``
    waiting    ``wanted``; the dial is queued for ``wait.until_s``, in the hopeful lane or, if
               nobody seems to be there, in the doubtful one
    in flight  the connector is carrying out Connect or Disconnect (``flight``)
    settled    ``wanted``, up, and the connector told so
    parting    not ``wanted``, but ``told``; Disconnect is queued

    idle -> waiting       the topology picks it from what is on ``offer``: those that are known or
                          missed, and not leaving
    waiting -> in flight  its time has come, and the lane has room
    in flight -> settled  Connected, and the link is up
    in flight -> waiting  ConnectFailed (back-off); or Connected to nothing (the same)
    settled -> waiting    LinkDown, or LinkUp of another run; or the node has changed, where
                          the connector knows of peers only what it is told (``outdated``)
    settled -> parting    the topology picks it no longer
    parting -> in flight  the lane has room
    in flight -> idle     Disconnected, or it is not wanted any more and was never told

The application (``news.py``): fields from ``reported_known`` to ``report_paid_s``

    reported  it has had all events
    held      ``held`` is how things stand; what it has not heard of follows at a deadline

    reported -> held  something changes too soon after too many other changes
    held -> reported  the time passes, and there is room among the events of all peers
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from cluster_kit.abc import Gone
from cluster_kit.errors import ConnectReason
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Node

_SLACK = 64  # idle records that are not worth a sweep


@dataclass(slots=True, eq=False)
class Claim:
    """What one source says of one peer; until when is among the peer's deadlines.

    Attributes:
        node: The peer as the source describes it.
        said_s: When the source last said so, in its own time.
        length_s: For how long that holds.
        lapsed: Whether that time has passed, where nobody is ever removed.
        prolonged: Whether it has been given a whole term again after the source failed.
        rival: Another run of which the source goes on to tell, and until when that counts.
    """

    node: Node
    said_s: float = -inf
    length_s: float = inf
    lapsed: bool = False
    prolonged: bool = False
    rival: tuple[Node, float] | None = None


@dataclass(frozen=True, slots=True)
class LeavingMark:
    """That a peer is about to leave.

    Attributes:
        boot_id: Which run, ``None`` where that is not known.
        hearsay: Whether discovery alone says so, not the peer itself over its link.
    """

    boot_id: BootId | None
    hearsay: bool


class Offer(NamedTuple):
    """A peer as the topology may pick it: as one that is known, or as one that is only missed."""

    known: Node | None
    missed: Node | None


NO_OFFER = Offer(None, None)


@dataclass(slots=True, eq=False)
class Wait:
    """What came of the dials to one peer.

    Attributes:
        failures: How many in a row have failed.
        since_s: When the latest one failed.
        until_s: When the next one is due.
        unanswered: Whether the latest one took so long that nobody seems to be there.
        lively_until_s: Until when the latest sign of life outweighs that.
        tries: How many have failed since the peer was last linked.
        reason: Why the latest one of those failed.
    """

    failures: int = 0
    since_s: float = 0.0
    until_s: float = 0.0
    unanswered: bool = False
    lively_until_s: float = 0.0
    tries: int = 0
    reason: ConnectReason | None = None


@dataclass(slots=True, eq=False)
class Flight:
    """A command that the connector is carrying out.

    Attributes:
        since_s: When it started.
        asked: Whether it has been asked to make way.
    """

    since_s: float
    asked: bool = False


@dataclass(slots=True)
class PeerStatus:
    """How things stand with a peer, where the application has yet to hear of it.

    Attributes:
        known: The node as discovery knows it, if it does.
        up: The node as it is linked, if it is.
        lost: Why it is not known, if it isn't.
        broke: Why the link that the application knows of went down, if it did.
        leaving: Whether it is about to leave.
    """

    known: Node | None
    up: Node | None
    lost: Reason
    broke: Reason | None
    leaving: bool

    @property
    def shown(self) -> Node | None:
        """The node as the application is to see it."""
        return self.up or self.known

    def after(self, held: PeerStatus) -> PeerStatus:
        """Return the same where ``held`` was held back: what happened then still counts."""
        broke = held.broke if self.up or held.up is None else self.broke
        lost = held.lost if self.known is None and held.known is None else self.lost
        return PeerStatus(self.known, self.up, lost, broke, self.leaving)


@dataclass(slots=True, eq=False)
class Peer:
    """One peer, or an address of which nobody has said yet who answers there.

    Attributes:
        key: Its name, or the address.
        deadlines: Its deadlines, by the queue that each is in.
        words: What sources say, by source.
        known: The node that these words add up to, if any.
        mirror: The same, where a dial to it led back to this node.
        addresses: Those that sources give for this name.
        proven_addresses: Those at which a dial reached this name.
        answered_by: The name that a dial to this address reached.
        met: The node as it last introduced itself over a link.
        up_since_s: When the link came up, while it is up.
        remembered: Whether it is missed even if no source vouches for it.
        doubted: The peer of a link that came up after that run had said goodbye.
        doubted_leaving: Whether that peer has said since that it is leaving.
        goodbyes: Goodbyes by source that wait for the link to end, and until when each counts.
        leaving: That it is about to leave.
        left: The run that said goodbye over its link though a source still vouches for it.
        offer: What the topology may pick.
        late_offer: What that is to become, for a peer that changes too often.
        offer_paid_s: By when its changes are paid for; see ``RateLimit``.
        wanted: Whether the topology has picked it.
        told: The node, if the connector may believe that its link is wanted.
        settled: Whether it is linked, and the connector told so since then.
        outdated: Whether it is linked, and has changed since the connector was told.
        wait: What came of the dials, while it is wanted.
        detour: Where the next dial goes, if not to the offered address.
        flight: The command that is in flight for it.
        reported_known: The node as the application knows it to be known.
        reported_up: The node as the application knows it to be linked.
        reported_leaving: Whether the application knows that it is about to leave.
        held: How things stand, if the application is to hear of that later.
        report_paid_s: By when its events are paid for; see ``RateLimit``.
    """

    key: str
    deadlines: dict[object, float] = field(default_factory=dict)

    words: dict[str, Claim] = field(default_factory=dict)
    known: Node | None = None
    mirror: Node | None = None
    addresses: tuple[str, ...] = ()
    proven_addresses: tuple[str, ...] = ()
    answered_by: str | None = None

    met: Node | None = None
    up_since_s: float | None = None
    remembered: bool = False
    doubted: Node | None = None
    doubted_leaving: bool = False
    goodbyes: dict[str, tuple[Gone, float]] = field(default_factory=dict)
    leaving: LeavingMark | None = None
    left: BootId | None = None

    offer: Offer = NO_OFFER
    late_offer: Offer | None = None
    offer_paid_s: float = -inf
    wanted: bool = False
    told: Node | None = None
    settled: bool = False
    outdated: bool = False
    wait: Wait | None = None
    detour: Node | None = None
    flight: Flight | None = None

    reported_known: Node | None = None
    reported_up: Node | None = None
    reported_leaving: bool = False
    held: PeerStatus | None = None
    report_paid_s: float = -inf

    @property
    def up(self) -> bool:
        """Whether the link is up."""
        return self.up_since_s is not None

    @property
    def last_boot_id(self) -> BootId | None:
        """The run that was linked last, if that is known."""
        return self.met.boot_id if self.met else None

    def is_idle(self, now_s: float) -> bool:
        """Whether a new record would say the same."""
        if max(self.offer_paid_s, self.report_paid_s) > now_s:
            return False
        return all(getattr(self, name) == getattr(_NEW, name) for name in _STATE)


_NEW = Peer("")
_STATE = sorted(set(Peer.__slots__) - {"key", "offer_paid_s", "report_paid_s"})


class Peers(dict[str, Peer]):
    """The peers by key. Indexing makes a record where there is none; ``get`` doesn't."""

    def __init__(self) -> None:
        super().__init__()
        self._sweep_at = _SLACK

    def __missing__(self, key: str) -> Peer:
        peer = self[key] = Peer(key)
        return peer

    def sweep(self, now_s: float) -> None:
        """Drop idle records, if there may be many; nobody may hold on to one meanwhile."""
        if len(self) > self._sweep_at:
            for key in [key for key, peer in self.items() if peer.is_idle(now_s)]:
                del self[key]
            self._sweep_at = 2 * len(self) + _SLACK
