"""What each report changes in the records of the peers.

Every other module of this package has the rules for one group of fields and does not know the other
modules. This one knows them all, and passes the results of one to the others that need them. After
each change of a peer, ``_review`` updates the topology's offer and the application's view.
``peer.py`` lists the states that this leads to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cluster_kit.abc import Gone, Leaving, Observation, Seen, Topology
from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.events import Reason
from cluster_kit.membership.departures import Departures
from cluster_kit.membership.doubts import Doubts
from cluster_kit.membership.memory import Memory
from cluster_kit.membership.merge import same_run, views
from cluster_kit.membership.notifier import Notifier
from cluster_kit.membership.peer import Peers
from cluster_kit.membership.reconciler import Reconciler
from cluster_kit.membership.reports import (
    Connected,
    ConnectFailed,
    Disconnected,
    Draining,
    Inherited,
    LinkDown,
    LinkLeaving,
    LinkUp,
    LinkUpdated,
    LocalChanged,
    Observed,
    Report,
    SourceFails,
    SourceWorks,
)
from cluster_kit.membership.roster import Change, Roster
from cluster_kit.membership.selection import Selection
from cluster_kit.membership.sources import EXCHANGE, PREDECESSOR
from cluster_kit.node import Node, is_other_run

# How long a node that said goodbye is left alone if no boot id tells its next run from this one:
# long enough for its listener to close, short enough for a quick restart.
RETURN_S = 1.0
_BURST = 1000  # reports about nodes without a wait, in addition to all nodes being found and linked

_FINAL = frozenset({Reason.LEFT, Reason.GONE, Reason.UNWANTED})  # a link that ends so is not missed


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the configuration and the connector say about one topology.

    Attributes:
        name: The configured name, for events.
        prune: Whether nodes are ever removed from the roster.
        max_nodes: How many nodes the roster holds at most.
        remember_s: How long a lost peer is redialled although discovery has lost it too.
        keeps_links: False if being known is all there is to a link.
        introduces: False if links say nothing about the peers.
    """

    name: str
    prune: bool
    max_nodes: int
    remember_s: float
    keeps_links: bool
    introduces: bool = True


class Rules:
    """Applies reports to the peers; the arguments are those of ``Membership``."""

    def __init__(self, topology: Topology, settings: Settings) -> None:
        max_nodes = settings.max_nodes
        self.peers = peers = Peers()
        self.roster = Roster(peers, prune=settings.prune, max_nodes=max_nodes)
        self.memory = Memory(peers, settings.remember_s, max_nodes)
        self.departures = Departures(peers)
        self.doubts = Doubts(peers)
        self.selection = Selection(peers, topology)
        self.reconciler = Reconciler(peers)
        self.notifier = Notifier(peers, settings.name, burst=_BURST + 2 * max_nodes)
        self._keeps_links = settings.keeps_links
        self._introduces = settings.introduces
        self._links_tell = settings.keeps_links and settings.introduces  # when a linked peer goes

    def apply(self, report: Report, now_s: float) -> None:
        """Apply one report."""
        match report:
            case Observed(source=source, observation=observation):
                self._observe(source, observation, now_s)
            case SourceFails(source=source):
                self.roster.sources.fail(source, now_s)
            case SourceWorks(source=source):
                self.roster.sources.recover(source, now_s)
            case Disconnected(node=node):
                self.reconciler.disconnected(node.key, now_s)
            case LocalChanged(node=node):
                self._change_local(node)
            case Inherited(known=known, ttl_s=ttl_s):
                self._inherit(known, ttl_s, now_s)
            case Draining():
                self.reconciler.drain()
            case _:
                self._apply_link(report, now_s)

    def _apply_link(self, report: Report, now_s: float) -> None:
        match report:
            case LinkUp(node=node):
                self._link_up(node, now_s)
            case LinkDown(node=node, reason=reason):
                self._link_down(node, reason, now_s)
            case LinkUpdated(node=node):
                self._link_updated(node)
            case LinkLeaving(node=node):
                self._link_leaving(node)
            case Connected(node=node, peer=peer):
                self._connected(node, peer, now_s)
            case ConnectFailed(node=node, error=error, jitter=jitter):
                self._connect_failed(node, error, jitter, now_s)

    def tick(self, now_s: float) -> None:
        """Apply the deadlines that have passed."""
        self.peers.sweep(now_s)
        self.departures.expire(now_s)
        for key in self.departures.lapse(now_s):
            self._review(key, Reason.GONE)
        self.doubts.forget_goodbyes(now_s)
        for node, is_leaving in self.doubts.pop_lasting(now_s):
            self._admit(node, now_s)
            if is_leaving:
                self._link_leaving(node)
        self._follow(self.roster.expire(now_s))
        for key in self.memory.expire(now_s):
            self._review(key, Reason.SILENT)
        self.notifier.tick(now_s)
        self.selection.tick(now_s)

    def next_s(self) -> float | None:
        """Return when ``tick`` next changes something, or a command is due."""
        times = (
            self.roster.sources.next_s(),
            self.memory.next_s(),
            self.departures.next_s(),
            self.doubts.next_s(),
            self.selection.next_s(),
            self.reconciler.next_s(),
            self.notifier.next_s(),
        )
        return min((at_s for at_s in times if at_s is not None), default=None)

    # -- this node ---------------------------------------------------------------------------------

    def _change_local(self, local: Node) -> None:
        self.selection.reconsider()
        self._follow(self.roster.disown(local.name, local.address))

    def _inherit(self, known: Iterable[Node], ttl_s: float, now_s: float) -> None:
        for node in known:
            self.notifier.assume(node)
            self._observe(PREDECESSOR, Seen(node, ttl_s), now_s)
            self._review(node.key, Reason.GONE)

    # -- discovery ---------------------------------------------------------------------------------

    def _observe(self, source: str, observation: Observation, now_s: float) -> None:
        match observation:
            case Seen(node=node, ttl_s=ttl_s):
                self._see(source, node, ttl_s, now_s)
            case Leaving(name=name):
                self._observe_leaving(source, name, now_s)
            case Gone():
                self._observe_gone(source, observation, now_s)
            case _:
                self._follow(self.roster.observe(source, observation, now_s), seen_at_s=now_s)

    def _see(self, source: str, node: Node, ttl_s: float, now_s: float) -> None:
        if self._is_over(node):
            return  # it was seen before it said goodbye, and the report took longer
        self._follow(self.roster.see(source, node, now_s, ttl_s), seen_at_s=now_s)
        if source not in (EXCHANGE, PREDECESSOR):  # hearsay is no sign of life
            self.reconciler.alive(node.name or self.roster.key_of(node.key), now_s)

    def _observe_leaving(self, source: str, name: str, now_s: float) -> None:
        key, claimed = self.roster.key_of(name), self.roster.sources.claimed_by(source, name)
        peer = self.peers[key]
        known = peer.known or (peer.met if peer.up else None)
        if known is None:
            return
        boot_id = (claimed and claimed.boot_id) or known.boot_id
        until_s = self.roster.sources.end_s(source, name, now_s)
        if self.departures.mark_hearsay(key, boot_id, until_s):
            self._review(key, Reason.GONE)

    def _observe_gone(self, source: str, gone: Gone, now_s: float) -> None:
        key, name, boot_id = self.roster.key_of(gone.name), gone.name, gone.boot_id
        is_goodbye = gone.reason is Reason.LEFT
        is_of_linked = self._would_tell(key) and boot_id in (None, self.peers[key].last_boot_id)
        if is_goodbye and is_of_linked:
            self.doubts.hold_goodbye(key, source, gone, now_s)
            return
        changes = self.roster.observe(source, gone, now_s)
        if is_goodbye and boot_id is not None:
            is_proven = source == EXCHANGE
            self.departures.note_goodbye(name, boot_id, now_s, is_proven=is_proven)
            if not is_proven:  # the claims of linked peers about this run are no better
                changes += self.roster.observe(EXCHANGE, gone, now_s)
        self._follow(changes, seen_at_s=now_s)
        if name in self.memory and boot_id in (None, self.peers[name].last_boot_id):
            self.memory.forget(name)
            self._review(name, Reason.GONE)

    # -- links -------------------------------------------------------------------------------------

    def _link_up(self, node: Node, now_s: float) -> None:
        """Handle a link that came up: as a change of the present one, doubted, or admitted."""
        if self._is_current(node):
            self._link_updated(node)
        elif self._is_over(node):
            peer = self.peers[node.key]
            if peer.up and peer.met:
                self._link_down(peer.met, Reason.REPLACED, now_s)
            self.doubts.doubt_link(node, now_s)
        else:
            self._admit(node, now_s)

    def _admit(self, node: Node, now_s: float) -> None:
        key = node.key
        peer = self.peers[key]
        self.doubts.settle_link(key)
        if peer.up:
            self.notifier.down(key, Reason.REPLACED)
            self.departures.returned(key)
            peer.up_since_s = None
            self._apply_held_goodbyes(key, now_s)
        peer.met = node
        self.reconciler.linked(key, now_s)
        if key in self.memory:
            self.memory.keep(key)
        self._follow([*self.roster.meet(node), *self.roster.release(key)])
        self._review(key, Reason.REPLACED)

    def _link_down(self, node: Node, reason: Reason, now_s: float) -> None:
        """Handle the end of a link; nothing follows if another link has replaced it."""
        key = node.key
        self.doubts.drop_link(node)
        if not self._is_current(node):
            return
        peer = self.peers[key]
        self.reconciler.unlinked(key, now_s)
        if reason in _FINAL or key in self.departures:
            self.memory.forget(key)
        elif self._keeps_links and (peer.known or peer.remembered):
            self.memory.lose(key, now_s)
        if peer.last_boot_id is None:
            self.departures.returned(key)  # without boot ids, nothing else can clear the mark
        if reason is Reason.LEFT:
            self._observe(EXCHANGE, Gone(key, reason, node.boot_id), now_s)
            self._part(key, now_s)
        self._review(key, reason)
        self._apply_held_goodbyes(key, now_s)

    def _apply_held_goodbyes(self, key: str, now_s: float) -> None:
        for source, gone in self.doubts.pop_goodbyes(key, now_s):
            self._observe(source, gone, now_s)

    def _part(self, key: str, now_s: float) -> None:
        """Handle a goodbye over the link of a peer that sources still vouch for.

        It is not dialled until another run shows up. If boot ids don't tell runs apart, it is
        dialled again after a while.
        """
        peer = self.peers[key]
        known = peer.known
        if known is None:
            return
        if known.boot_id is None:
            self.reconciler.postpone(key, now_s + RETURN_S, now_s)
        elif peer.met and same_run(known, peer.met):
            self.departures.complete(key, known.boot_id)

    def _link_updated(self, node: Node) -> None:
        self.doubts.update_link(node)
        if self._is_current(node):
            self.peers[node.key].met = node
            self._review(node.key, Reason.GONE)

    def _link_leaving(self, node: Node) -> None:
        self.doubts.mark_leaving(node)
        boot_id = self.peers[node.key].last_boot_id
        if self._is_current(node) and self.departures.mark(node.key, boot_id):
            self._review(node.key, Reason.GONE)

    def _is_over(self, node: Node) -> bool:
        """Whether this run of ``node`` has said goodbye, and no source vouches for it."""
        if not self.departures.is_over(node):
            return False
        known = self.peers[node.key].known
        return known is None or is_other_run(known, node)

    def _is_current(self, node: Node) -> bool:
        """Whether the link that is up is to this run of the peer."""
        peer = self.peers[node.key]
        return peer.up and peer.met is not None and same_run(node, peer.met)

    def _would_tell(self, key: str) -> bool:
        """Whether the peer is linked and would announce its departure over the link."""
        return self._links_tell and self.peers[key].up

    # -- ends of commands --------------------------------------------------------------------------

    def _connected(self, node: Node, peer: Node, now_s: float) -> None:
        self.reconciler.connected(node.key, peer, now_s)
        # Connect to a name proves no address: the peer may have been linked without any dial.
        dialled = node.address if node.name is None else None
        self._follow([*self.roster.meet(peer, dialled), *self.roster.release(node.key)])

    def _connect_failed(self, node: Node, error: ConnectError, jitter: float, now_s: float) -> None:
        peer = self.peers[node.key]
        missed = peer.met if peer.remembered else None
        elsewhere = self.roster.elsewhere(node.key, missed, now_s)
        self.reconciler.failed(node.key, error, now_s, jitter, elsewhere)
        if error.reason is ConnectReason.SELF and not self.roster.is_elsewhere(node):
            self.memory.forget(node.key)
            self._follow(self.roster.set_aside(node))
        elif error.reason is ConnectReason.NAME and node.address is not None:
            self._follow(self.roster.discard_proof(node.address))

    # -- what follows ------------------------------------------------------------------------------

    def _follow(self, changes: Iterable[Change], *, seen_at_s: float | None = None) -> None:
        """Apply the consequences of changes of the roster."""
        for change in changes:
            # Whatever made the sources forget a run that has said goodbye, it has left.
            has_left = change.before is not None and self.departures.is_over(change.before)
            reason = Reason.LEFT if has_left else change.reason
            if change.node is None:
                self._lose(change.key, reason)
            elif change.before is None:
                self.departures.returned(change.key)
            self._review(change.key, reason, lost=change.before)
            if change.fresh and seen_at_s is not None:
                self.reconciler.encourage(change.key, seen_at_s)

    def _lose(self, key: str, reason: Reason) -> None:
        """Handle that discovery has lost a node.

        A link that is up stays wanted unless a source explicitly reports that the node is gone. If
        the peer would announce its departure over the link, even a goodbye from a source is not
        enough.
        """
        stays_linked = {Reason.SILENT: self._keeps_links, Reason.LEFT: self._links_tell}
        if stays_linked.get(reason) and self.peers[key].up:
            self.memory.keep(key)
        elif reason is not Reason.SILENT:
            self.memory.forget(key)

    def _review(self, key: str, reason: Reason, *, lost: Node | None = None) -> None:
        """Show a peer as it is now to the application, and offer it to the topology.

        Args:
            key: The key of the peer.
            reason: Why it is no longer known or linked, if it isn't.
            lost: The node as discovery knew it, if it has just lost it.
        """
        peer = self.peers[key]
        known, up, missed = peer.known, peer.up, peer.remembered
        if not (known or up or missed):
            peer.met = None
        met = peer.met
        node, linked = views(
            known, met, up=up, introduces=self._introduces, keeps_links=self._keeps_links
        )
        self.departures.review(key, known, met if up else None)
        departs = key in self.departures
        self.notifier.show(
            key,
            known=node if known else None,
            up=linked if up else None,
            leaving=departs and node is not None and self.departures.is_leaving(node),
            reason=reason,
            lost=lost,
        )
        # While the link is up, this end wants it unless the peer itself says that it leaves.
        if departs and self._would_tell(key) and self.departures.is_hearsay(key):
            departs = False
        staying = None if departs else node
        # A peer that is set aside is redialled like a missed one: another node may answer next.
        missing = staying if missed or departs else peer.mirror
        self.selection.offer(
            key, known=staying if known else None, missed=None if known else missing
        )
