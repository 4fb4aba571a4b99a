"""What this node knows about one peer, and the states that a peer goes through.

There is one ``Peer`` for each key: a name, or an address whose name is not known yet. Whatever else
the modules of this package keep by key is an index that could be computed from these records: who
is due next (``Deadlines``, ``CommandQueue``), which claims a source has made, which names are at an
address, what is on offer. Only the goodbyes of runs (``Departures``) outlive the record of their
peer: a bounded number of them, for a minute at most.

A peer has one state in each of five groups, and the groups are independent. In the tables, the
state before is left of the arrow (``any`` for all of them), the state after right of it. The cause
is a report from ``reports.py``, or a deadline of the peer that passes. ``rules.py`` applies each
report.

What discovery knows (``roster.py``, ``claims.py``): fields from ``claims`` to ``answered_by``

    unknown    no source claims it, or only an address at which a named peer answers
    known      ``known`` is the node that the claims add up to
    set aside  ``mirror`` is that node, but a dial to it led back to this node

    unknown -> known      Observed: Seen or Found, unless it is this node, or max_nodes are known
    known -> unknown      Observed: Found without it, or Gone; or the term of its last claim ends,
                          which is interrupted from SourceFails to SourceWorks
    known -> set aside    ConnectFailed: SELF, and no source gives another address for it
    set aside -> known    LinkUp; or Connected
    set aside -> unknown  like known -> unknown

The link (``rules.py``, ``doubts.py``, ``memory.py``): fields from ``met`` to ``goodbyes``

    strange  there is no link, and none that is missed
    up       ``up_since_s`` says since when; ``met`` is the peer as it introduced itself
    missed   not up, but ``remembered``: it is redialled even if no source vouches for it
    doubted  in addition to any of these: a link to a run that has said goodbye, so it should end

    any -> up            LinkUp; if another run was up, its link is down (REPLACED)
    any -> doubted       LinkUp of a run that has said goodbye and that no source vouches for
    doubted -> up        BELATED_S pass
    doubted -> as before LinkDown; or LinkUp of another run
    up -> missed         LinkDown, if a source vouches for it, or has lost it only by its silence
    up -> strange        LinkDown: LEFT, GONE or UNWANTED; or it was leaving; or it is not known
    missed -> strange    remember_s pass; or Observed: Gone; or ConnectFailed: SELF

    A goodbye that a source reports while the peer is up waits in ``goodbyes``, because the peer
    would say it over the link as well. It counts if the link goes down within HELD_S.

Departure (``departures.py``): fields ``leaving`` and ``left``

    staying  neither is set
    leaving  ``leaving`` says which run, and whether that is hearsay: only discovery says so
    left     ``left`` is the run that said goodbye, although a source still vouches for it

    staying -> leaving   Observed: Leaving (hearsay); or LinkLeaving
    leaving -> staying   another run is known or up, or none is; or the hearsay expires
    any -> left          LinkDown: LEFT, while a source vouches for that run
    left -> staying      it is up, or another run is known, or none

The command (``selection.py``, ``reconciler.py``, ``command_queue.py``): fields from ``offer`` to
``flight``

    idle       neither ``wanted`` nor ``requested``
    waiting    ``wanted``; the dial is queued for ``dials.until_s``, as a hopeful one, or as a
               doubtful one if the peer seems not to be there
    in flight  the connector is carrying out Connect or Disconnect (``flight``)
    settled    ``wanted``, up, and the connector knows that the link is wanted
    parting    not ``wanted``, but ``requested``; Disconnect is queued

    idle -> waiting       the topology selects it from what is on ``offer``: the peers that are
                          known or missed, and not leaving
    waiting -> in flight  its time has come, and the queue has room
    in flight -> settled  Connected, and the link is up
    in flight -> waiting  ConnectFailed, or Connected without a link: after a back-off
    settled -> waiting    LinkDown, or LinkUp of another run; or the node has changed, and the
                          connector knows only the nodes it was given (``outdated``)
    settled -> parting    the topology no longer selects it
    parting -> in flight  the queue has room
    in flight -> idle     Disconnected, or it is no longer wanted and never was requested

The application (``notifier.py``): fields from ``reported_known`` to ``report_paid_s``

    reported  the application has had all events
    held      ``held`` is the state of the peer; the events that lead to it follow at a deadline

    reported -> held  something changes too soon after too many other changes
    held -> reported  the deadline passes, and the rate of all events permits it
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
    """What one source says about one peer; ``SourceClaims`` has the rules.

    Attributes:
        node: The peer as the source describes it.
        made_s: When the source last said so, on the source's own clock.
        term_s: How long that holds; when it ends is one of the peer's deadlines.
        lapsed: Whether the term has ended; such a claim is kept where nothing is ever pruned.
        extended: Whether the term was extended because the source failed meanwhile.
        rival: Another run that the source goes on to report, and until when that counts.
    """

    node: Node
    made_s: float = -inf
    term_s: float = inf
    lapsed: bool = False
    extended: bool = False
    rival: tuple[Node, float] | None = None


@dataclass(frozen=True, slots=True)
class LeavingMark:
    """Says that a peer is about to leave.

    Attributes:
        boot_id: Which run, ``None`` if that is not known.
        hearsay: Whether only discovery says so, not the peer itself over its link.
    """

    boot_id: BootId | None
    hearsay: bool


class Offer(NamedTuple):
    """A peer as the topology may select it: either because it is known or because it is missed."""

    known: Node | None
    missed: Node | None


NO_OFFER = Offer(None, None)


@dataclass(slots=True, eq=False)
class Dials:
    """How the dials to one peer went, and when the next one is due.

    Attributes:
        failures: How many in a row have failed; this sets the back-off.
        since_s: When the wait for the next one began.
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
        evicted: Whether it has been asked to make way.
    """

    since_s: float
    evicted: bool = False


@dataclass(slots=True)
class PeerStatus:
    """The state of a peer that the application is to know.

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
        """Return this status with the reasons of ``held``, if what they explain still holds.

        The application never saw ``held``. A link that broke then is a break that it has to learn
        of, even if the link is up again, and the first reason of a loss is the true one.
        """
        broke = held.broke if self.up or held.up is None else self.broke
        lost = held.lost if self.known is None and held.known is None else self.lost
        return PeerStatus(self.known, self.up, lost, broke, self.leaving)


@dataclass(slots=True, eq=False)
class Peer:
    """One peer, or an address whose name is not known yet.

    Attributes:
        key: Its name, or the address.
        deadlines: Its deadlines, by the ``Deadlines`` that each belongs to.
        claims: What sources say, by source.
        known: The node that these claims add up to, if any.
        mirror: The same, if a dial to it led back to this node.
        claimed_addresses: Those that sources give for this name.
        proven_addresses: Those at which a dial reached this name.
        answered_by: The name that a dial to this address reached.
        met: The node as it last introduced itself over a link.
        up_since_s: When the link came up, while it is up.
        remembered: Whether it is missed even if no source vouches for it.
        doubted: The peer of a link that came up after that run had said goodbye.
        doubted_leaving: Whether that peer has said since that it is leaving.
        goodbyes: Goodbyes by source that wait for the link to end, and until when each counts.
        leaving: Set while it is about to leave.
        left: The run that said goodbye over its link although a source still vouches for it.
        offer: What the topology may select.
        late_offer: What is to replace that soon, for a peer that changes too often.
        offer_paid_s: The state of the ``RateLimit`` of its offers.
        wanted: Whether the topology has selected it.
        requested: The node of the latest link request that the connector still has, if any.
        settled: Whether it is linked, and the connector has had the request since then.
        outdated: Whether it is linked, and has changed since the request.
        dials: How the dials went, while it is wanted.
        detour: Where the next dial goes, if not to the offered address.
        flight: The command that is in flight for it.
        reported_known: The known node, as of the events so far.
        reported_up: The linked node, as of the events so far.
        reported_leaving: Whether an event has said that it is about to leave.
        held: Its status, if the events that lead to it are held back.
        report_paid_s: The state of the ``RateLimit`` of its events.
    """

    key: str
    deadlines: dict[object, float] = field(default_factory=dict)

    claims: dict[str, Claim] = field(default_factory=dict)
    known: Node | None = None
    mirror: Node | None = None
    claimed_addresses: tuple[str, ...] = ()
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
    requested: Node | None = None
    settled: bool = False
    outdated: bool = False
    dials: Dials | None = None
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
    def is_busy(self) -> bool:
        """Whether a command is in flight for it."""
        return self.flight is not None

    @property
    def last_boot_id(self) -> BootId | None:
        """The run that was linked last, if that is known."""
        return self.met.boot_id if self.met else None

    def is_idle(self, now_s: float) -> bool:
        """Whether this record is the same as a new one, so that it can be dropped."""
        if max(self.offer_paid_s, self.report_paid_s) > now_s:
            return False
        return all(getattr(self, name) == getattr(_NEW, name) for name in _STATE)


_NEW = Peer("")
_STATE = sorted(set(Peer.__slots__) - {"key", "offer_paid_s", "report_paid_s"})


class Peers(dict[str, Peer]):
    """The peers by key. Indexing makes a record if there is none; ``get`` doesn't."""

    def __init__(self) -> None:
        super().__init__()
        self._sweep_at = _SLACK

    def __missing__(self, key: str) -> Peer:
        peer = self[key] = Peer(key)
        return peer

    def sweep(self, now_s: float) -> None:
        """Drop idle records, if there may be many; no caller may hold on to one meanwhile."""
        if len(self) > self._sweep_at:
            for key in [key for key, peer in self.items() if peer.is_idle(now_s)]:
                del self[key]
            self._sweep_at = 2 * len(self) + _SLACK
