"""What this node knows about one peer, and the states that a peer goes through.

There is one ``Peer`` for each key: a name, or an address whose name is not known yet. All state of
the peer is in its record. What else this package keeps are sets and queues of peers, or keys, which
could be computed from the records, except for their order: who is due next (``Deadlines``,
``CommandQueue``), what a source claims, which names are at an address, what is on offer and where
that has changed, and which runs said goodbye first.

A peer has one state in each of six groups, and the groups are independent. The modules that are
named with a group are the only ones that write its fields. In the tables, the state before is left
of the arrow, the state after right of it. Then come the causes: reports from ``reports.py``;
``time``, when a deadline of the peer passes; ``topology``, when it selects; and ``queue``, when
there is room for a command. ``any`` means each state, or each cause. Last comes the condition.
``tests/unit/test_membership_states.py`` holds the tables to what happens.

Discovery (``roster.py``, ``claims.py``, ``addresses.py``): fields from ``claims`` to
``answered_by``

    unknown    no source claims it, or it is an address at which a named peer answers
    known      ``known`` is the node that the claims add up to
    set aside  ``set_aside`` is that node, but a dial to it led back to this node

    unknown -> known      Observed, Inherited: Seen or Found, unless max_nodes are known
    unknown -> known      Connected: it answers at an address that a source gives without a name
    unknown -> known      ConnectFailed, LinkDown, LinkUp, Observed, time: it is an address at which
                          no named peer answers any more
    known -> unknown      Observed, LinkDown, LinkUp: a Found without it; or Gone, also as a goodbye
                          over the link, or as one that was held until the link went down
    known -> unknown      time: its last claim ends, for which a failing source gets more time
    known -> unknown      Connected, ConnectFailed: a named peer answers at this address; or (NAME)
                          no longer at the one that a source gives
    known -> unknown      LocalChanged: it is this node
    known -> set aside    ConnectFailed: SELF, and no source gives another address for it
    set aside -> known    LinkUp, Connected, time: somebody else answers now, see the link
    set aside -> unknown  Connected, ConnectFailed, LinkDown, LinkUp, LocalChanged, Observed, time:
                          as if it was known

Link (``rules.py``, ``memory.py``): fields from ``met`` to ``remembered``

    strange  there is no link, and none that is missed
    up       ``up_since_s`` says since when; ``met`` is the peer as it introduced itself
    missed   not up, but ``remembered``: it is redialled even if no source vouches for it

    any -> up          LinkUp, time: at once, or after a doubt; if another run was up, that is down
    up -> missed       LinkDown, LinkUp: a source vouches for it, or has lost it only by its silence
    up -> strange      LinkDown, LinkUp: LEFT, GONE or UNWANTED; or it was leaving, or is not known
    missed -> strange  time: remember_s pass
    missed -> strange  Observed, LocalChanged, ConnectFailed: it is gone, or it is this node

Doubt (``doubts.py``): fields from ``doubted`` to ``goodbyes``

    undoubted  there is no link, or nothing contradicts it
    doubted    ``doubted`` is linked, but not up, as it has said goodbye: the link should end

    undoubted -> doubted  LinkUp: of a run that has said goodbye and that no source vouches for
    doubted -> undoubted  time: BELATED_S pass, and the link is up
    doubted -> undoubted  LinkDown, LinkUp: it has ended, or another run is linked

    A goodbye that a source reports while the peer is up waits in ``goodbyes``, because the peer
    would say it over the link as well. It counts if the link goes down within HELD_S.

Departure (``departures.py``): fields from ``leaving`` to ``ended_runs``

    staying  neither ``leaving`` nor ``left`` is set
    leaving  ``leaving`` says which run, and whether that is hearsay: only discovery says so
    left     ``left`` is the run that said goodbye, although a source still vouches for it

    staying -> leaving  Observed: Leaving, which is hearsay
    staying -> leaving  LinkLeaving, time: over the link; if that was doubted, once it has lasted
    staying -> left     LinkDown: LEFT, while a source vouches for that run
    leaving -> left     LinkDown: the same
    left -> leaving     LinkUp: the run that was leaving when it left is linked again
    leaving -> staying  any: another run is known or up, or none is; or the hearsay expires
    left -> staying     any: it is up, or another run is known, or none is

Command (``selection.py``, ``reconciler.py``, ``command_queue.py``): fields from ``offer`` to
``flight``

    idle       neither ``wanted`` nor ``requested``
    waiting    ``wanted``; the dial is queued for ``dials.until_s``, as a hopeful one, or as a
               doubtful one if the peer seems not to be there
    in flight  the connector is carrying out Connect or Disconnect (``flight``)
    settled    ``wanted``, up, and the connector knows that the link is wanted
    parting    not ``wanted``, but ``requested``; Disconnect is queued

    idle -> waiting       topology: selects it from what is on ``offer``: the peers that are known
                          or missed, and not leaving
    parting -> waiting    topology: selects it again, but the link is down
    parting -> settled    topology: selects it again, and the link is up
    waiting -> in flight  queue: its time has come
    parting -> in flight  queue: at once
    in flight -> settled  Connected: the link is up
    in flight -> waiting  ConnectFailed, Connected, Disconnected: after a back-off, if it has failed
                          or the link is already down; at once if it is wanted again
    in flight -> parting  Connected: it is no longer wanted
    in flight -> idle     ConnectFailed, Connected, Disconnected: nor is it requested
    settled -> waiting    LinkDown, LinkUp: the link is down, or to another run
    settled -> waiting    topology: the node has changed, and the connector knows only the nodes it
                          was given (``outdated``)
    settled -> parting    topology: no longer selects it
    waiting -> parting    topology: no longer selects it, but it is requested
    waiting -> idle       topology: no longer selects it
    idle -> parting       Connected: a dial to an address has reached it
    waiting -> settled    Connected: the same

Application (``notifier.py``): fields from ``reported_known`` to ``report_paid_s``

    reported  the application has had all events
    held      ``held`` is the state of the peer; the events that lead to it follow at a deadline

    reported -> held  any: something changes too soon after too many other changes
    held -> reported  any: the deadline passes, and the rate of all events permits it; or the peer
                      is again as the application knows it
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
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

    def is_of(self, node: Node) -> bool:
        """Whether this run of ``node``, and not just another one, is about to leave."""
        return self.boot_id in (None, node.boot_id)


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


class CommandKind(StrEnum):
    """What the reconciler has to do for a peer; each kind has a queue of its own."""

    HOPEFUL = "hopeful"  # dial a peer that seems to be there
    DOUBTFUL = "doubtful"  # dial a peer that seems not to be there
    DISCONNECT = "farewell"  # withdraw the request for a link


@dataclass(slots=True, eq=False)
class Flight:
    """A command that the connector is carrying out.

    Attributes:
        since_s: When it started.
        dismissed: Whether it is to make way next.
        evicted: Whether it has been asked to make way.
    """

    since_s: float
    dismissed: bool = False
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
        lost = held.lost if held.known is None else self.lost
        return PeerStatus(self.known, self.up, lost, broke, self.leaving)


@dataclass(slots=True, eq=False)
class Peer:
    """One peer, or an address whose name is not known yet.

    Attributes:
        key: Its name, or the address.
        deadlines: Its deadlines, by the ``Deadlines`` that each belongs to.
        claims: What sources say, by source.
        known: The node that these claims add up to, if any.
        set_aside: The same, if a dial to it led back to this node.
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
        ended_runs: The runs that have said goodbye, and until when each goodbye counts.
        offer: What the topology may select.
        late_offer: What is to replace that soon, for a peer that changes too often.
        offer_paid_s: The state of the ``RateLimit`` of its offers.
        wanted: Whether the topology has selected it.
        requested: The node of the latest link request that the connector still has, if any.
        settled: Whether it is linked, and the connector has had the request since then.
        outdated: Whether it is linked, and has changed since the request.
        dials: How the dials went, while it is wanted.
        detour: Where the next dial goes, if not to the offered address.
        command: The kind of its command, while that is queued or in flight.
        waiting_since_s: Since when its command has been due, while there is no room for it.
        flight: Its command, while that is in flight.
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
    set_aside: Node | None = None
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
    ended_runs: dict[BootId, float] = field(default_factory=dict)

    offer: Offer = NO_OFFER
    late_offer: Offer | None = None
    offer_paid_s: float = -inf
    wanted: bool = False
    requested: Node | None = None
    settled: bool = False
    outdated: bool = False
    dials: Dials | None = None
    detour: Node | None = None
    command: CommandKind | None = None
    waiting_since_s: float | None = None
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
    def departs(self) -> bool:
        """Whether it is about to leave, or has left."""
        return self.leaving is not None or self.left is not None

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
