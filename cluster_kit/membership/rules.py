"""What each report changes in the records of the peers.

Each part of a membership, such as ``Roster`` or ``Memory``, has the rules for one group of fields.
It may read other fields, but it writes only its own, and the parts don't know each other. This
module knows them all. It passes the results of one to the others that need them, and after each
change of a peer, ``_review`` updates the topology's offer and the application's view.
``peer.py`` lists the states that this leads to, and which modules write which fields.
"""

from __future__ import annotations

from collections.abc import Iterable

from cluster_kit.abc import Failed, Found, Gone, Leaving, Observation, Seen, Topology
from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.events import Reason
from cluster_kit.membership.departures import Departures
from cluster_kit.membership.doubts import Doubts
from cluster_kit.membership.memory import Memory
from cluster_kit.membership.merge import views
from cluster_kit.membership.notifier import Notifier
from cluster_kit.membership.peer import Peer, Peers
from cluster_kit.membership.reconciler import Command, Reconciler
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
    Stopping,
)
from cluster_kit.membership.roster import Change, Roster
from cluster_kit.membership.selection import Selection
from cluster_kit.membership.settings import Settings
from cluster_kit.membership.sources import EXCHANGE, PREDECESSOR
from cluster_kit.node import Node, is_other_run, may_be_same_run

# How long a node that said goodbye is left alone if no boot id tells its next run from this one:
# long enough for its listener to close, short enough for a quick restart.
RETURN_S = 1.0
_BURST = 1000  # reports about nodes without a wait, in addition to all nodes being found and linked

_FINAL = frozenset({Reason.LEFT, Reason.GONE, Reason.UNWANTED})  # a link that ends so is not missed


class Rules:
    """Applies reports and deadlines to the peers; the arguments are those of ``Membership``."""

    def __init__(self, local: Node, topology: Topology, settings: Settings) -> None:
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
        self._links_announce_departure = settings.keeps_links and settings.introduces
        self._stopping = False
        self._change_local(local, 0.0)

    def apply(self, report: Report, now_s: float) -> None:
        """Apply one report."""
        match report:
            case Observed(source=source, observation=observation):
                self._observe(source, observation, now_s)
            case SourceFails(source=source):
                self.roster.sources.fail(source, now_s)
            case SourceWorks(source=source):
                self.roster.sources.recover(source, now_s)
            case Inherited(known=known, ttl_s=ttl_s):
                self._inherit(known, ttl_s, now_s)
            case LinkUp(node=node):
                self._link_up(node, now_s)
            case LinkDown(node=node, reason=reason):
                self._link_down(node, reason, now_s)
            case LinkUpdated(node=node):
                self._link_updated(node, now_s)
            case LinkLeaving(node=node):
                self._link_leaving(node, now_s)
            case Connected(node=node, peer=peer):
                self._connected(node, peer, now_s)
            case ConnectFailed(node=node, error=error, jitter=jitter):
                self._connect_failed(node, error, jitter, now_s)
            case Disconnected(node=node):
                self.reconciler.disconnected(self.peers[node.key], now_s)
            case LocalChanged(node=node):
                self._change_local(node, now_s)
            case Draining() | Stopping():
                self._stopping |= isinstance(report, Stopping)
                self.reconciler.drain()

    def tick(self, now_s: float) -> None:
        """Apply the deadlines that have passed."""
        self.peers.sweep(now_s)
        self.departures.forget_goodbyes(now_s)
        for peer in self.departures.drop_hearsay(now_s):
            self._review(peer, Reason.GONE, now_s)
        self.doubts.forget_goodbyes(now_s)
        for node, is_leaving in self.doubts.pop_lasting(now_s):
            self._admit(node, now_s)
            if is_leaving:
                self._link_leaving(node, now_s)
        self._follow(self.roster.expire(now_s), now_s)
        for peer in self.memory.expire(now_s):
            self._review(peer, Reason.SILENT, now_s)
        self.selection.tick(now_s)

    def plan(self, now_s: float) -> list[Command]:
        """Return the commands to start now; none once this node leaves."""
        if self._stopping:
            return []
        self.reconciler.reconsider(self.selection.update(self._local, now_s), now_s)
        changed = self.selection.take_changed()
        if not self._introduces:  # the connector knows the peers only as its latest command did
            for key in sorted(changed):
                self.reconciler.renew(self.peers[key], now_s)
        return self.reconciler.plan(now_s)

    def next_s(self) -> float | None:
        """Return when ``tick`` next changes something, or a command or an event is due."""
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

    def _change_local(self, local: Node, now_s: float) -> None:
        self._local = local
        self.selection.reconsider()
        self._follow(self.roster.disown(local.name, local.address), now_s)

    def _inherit(self, known: Iterable[Node], ttl_s: float, now_s: float) -> None:
        for node in known:
            self.notifier.assume(node)
            self._observe(PREDECESSOR, Seen(node, ttl_s), now_s)
            self._review(self.peers[node.key], Reason.GONE, now_s)

    # -- discovery ---------------------------------------------------------------------------------

    def _observe(self, source: str, observation: Observation, now_s: float) -> None:
        match observation:
            case Seen(node=node) if self._has_ended(node):
                pass  # it was seen before it said goodbye, and the report took longer
            case Seen(node=node):
                self._follow(self.roster.observe(source, observation, now_s), now_s)
                if source not in (EXCHANGE, PREDECESSOR):  # hearsay is no sign of life
                    self.reconciler.alive(self.peers[self.roster.key_of(node.key)], now_s)
            case Leaving(name=name):
                self._observe_leaving(source, name, now_s)
            case Gone():
                self._observe_gone(source, observation, now_s)
            case Found() | Failed():
                self._follow(self.roster.observe(source, observation, now_s), now_s)

    def _observe_leaving(self, source: str, name: str, now_s: float) -> None:
        peer = self.peers[self.roster.key_of(name)]
        claimed = self.roster.sources.claimed_by(source, name)
        known = peer.known or (peer.met if peer.up else None)
        if known is None:
            return
        boot_id = (claimed and claimed.boot_id) or known.boot_id
        until_s = self.roster.sources.end_s(source, name, now_s)
        if self.departures.mark_hearsay(peer, boot_id, until_s):
            self._review(peer, Reason.GONE, now_s)

    def _observe_gone(self, source: str, gone: Gone, now_s: float) -> None:
        name, boot_id, is_goodbye = gone.name, gone.boot_id, gone.reason is Reason.LEFT
        linked = self.peers[self.roster.key_of(name)]
        is_of_linked = boot_id in (None, linked.last_boot_id)
        if is_goodbye and is_of_linked and self._would_announce_departure(linked):
            self.doubts.hold_goodbye(linked, source, gone, now_s)
            return
        changes = self.roster.observe(source, gone, now_s)
        if is_goodbye and boot_id is not None:
            is_proven = source == EXCHANGE
            self.departures.note_goodbye(name, boot_id, now_s, is_proven=is_proven)
            if not is_proven:  # the claims of linked peers about this run are no better
                changes += self.roster.observe(EXCHANGE, gone, now_s)
        self._follow(changes, now_s)
        peer = self.peers[name]
        if peer.remembered and boot_id in (None, peer.last_boot_id):
            self.memory.forget(peer)
            self._review(peer, Reason.GONE, now_s)

    # -- links -------------------------------------------------------------------------------------

    def _link_up(self, node: Node, now_s: float) -> None:
        """Handle a link that came up: as a change of the present one, doubted, or admitted."""
        if self._is_current(node):
            self._link_updated(node, now_s)
        elif self._has_ended(node):
            peer = self.peers[node.key]
            if peer.up and peer.met:
                self._link_down(peer.met, Reason.REPLACED, now_s)
            self.doubts.doubt_link(node, now_s)
        else:
            self._admit(node, now_s)

    def _admit(self, node: Node, now_s: float) -> None:
        peer = self.peers[node.key]
        self.doubts.settle_link(peer)
        if peer.up:
            self.notifier.down(peer, Reason.REPLACED, now_s)
            self.departures.clear_mark_without_boot(peer)
            peer.up_since_s = None
            self._apply_held_goodbyes(peer, now_s)
        peer.met, peer.up_since_s = node, now_s
        self.reconciler.linked(peer, now_s)
        if peer.remembered:
            self.memory.keep(peer)
        self._follow([*self.roster.meet(node), *self.roster.release(node.key)], now_s)
        self._review(peer, Reason.REPLACED, now_s)

    def _link_down(self, node: Node, reason: Reason, now_s: float) -> None:
        """Handle the end of a link; nothing follows if another link has replaced it."""
        self.doubts.drop_link(node)
        if not self._is_current(node):
            return
        peer = self.peers[node.key]
        since_s, peer.up_since_s = peer.up_since_s, None
        self.reconciler.unlinked(peer, now_s, since_s=since_s)
        if reason in _FINAL or peer.departs:
            self.memory.forget(peer)
        elif self._keeps_links and (peer.known or peer.remembered):
            self.memory.lose(peer, now_s)
        if peer.last_boot_id is None:
            # without boot ids, nothing else can tell that a mark is of an earlier run
            self.departures.clear_mark_without_boot(peer)
        if reason is Reason.LEFT:
            self._observe(EXCHANGE, Gone(peer.key, reason, node.boot_id), now_s)
            self._part(peer, now_s)
        self._review(peer, reason, now_s)
        self._apply_held_goodbyes(peer, now_s)

    def _apply_held_goodbyes(self, peer: Peer, now_s: float) -> None:
        for source, gone in self.doubts.pop_goodbyes(peer, now_s):
            self._observe(source, gone, now_s)

    def _part(self, peer: Peer, now_s: float) -> None:
        """Handle a goodbye over the link of a peer that sources still vouch for.

        It is not dialled until another run shows up. If boot ids don't tell runs apart, it is
        dialled again after a while.
        """
        known = peer.known
        if known is None:
            return
        if known.boot_id is None:
            self.reconciler.postpone(peer, now_s + RETURN_S, now_s)
        elif peer.met and may_be_same_run(known, peer.met):
            self.departures.complete(peer, known.boot_id)

    def _link_updated(self, node: Node, now_s: float) -> None:
        self.doubts.update_link(node)
        if self._is_current(node):
            peer = self.peers[node.key]
            peer.met = node
            self._review(peer, Reason.GONE, now_s)

    def _link_leaving(self, node: Node, now_s: float) -> None:
        self.doubts.mark_leaving(node)
        if self._is_current(node):
            peer = self.peers[node.key]
            self.departures.mark(peer, peer.last_boot_id)
            self._review(peer, Reason.GONE, now_s)

    def _has_ended(self, node: Node) -> bool:
        """Whether this run of ``node`` has said goodbye, and no source vouches for it."""
        if not self.departures.has_ended(node):
            return False
        known = self.peers[node.key].known
        return known is None or is_other_run(known, node)

    def _is_current(self, node: Node) -> bool:
        """Whether the link that is up is to this run of the peer."""
        peer = self.peers[node.key]
        return peer.up and peer.met is not None and may_be_same_run(node, peer.met)

    def _would_announce_departure(self, peer: Peer) -> bool:
        """Whether the peer is linked and would announce its departure over the link."""
        return self._links_announce_departure and peer.up

    # -- ends of commands --------------------------------------------------------------------------

    def _connected(self, node: Node, peer: Node, now_s: float) -> None:
        self.reconciler.connected(self.peers[node.key], peer, now_s)
        # Connect to a name proves no address: the peer may have been linked without any dial.
        dialled = node.address if node.name is None else None
        self._follow([*self.roster.meet(peer, dialled), *self.roster.release(node.key)], now_s)

    def _connect_failed(self, node: Node, error: ConnectError, jitter: float, now_s: float) -> None:
        peer = self.peers[node.key]
        missed = peer.met if peer.remembered else None
        elsewhere = self.roster.elsewhere(node.key, missed, now_s)
        self.reconciler.failed(peer, error, now_s, jitter, elsewhere)
        if error.reason is ConnectReason.SELF and not self.roster.is_elsewhere(node):
            self.memory.forget(peer)
            self._follow(self.roster.set_aside(node), now_s)
        elif error.reason is ConnectReason.NAME and node.address is not None:
            self._follow(self.roster.discard_proof(node.address), now_s)

    # -- what follows ------------------------------------------------------------------------------

    def _follow(self, changes: Iterable[Change], now_s: float) -> None:
        """Apply the consequences of changes of the roster."""
        for change in changes:
            # Whatever made the sources forget a run that has said goodbye, it has left.
            peer = self.peers[change.key]
            has_left = change.before is not None and self.departures.has_ended(change.before)
            reason = Reason.LEFT if has_left else change.reason
            if change.node is None:
                self._lose(peer, reason)
            elif change.before is None:
                self.departures.clear_mark_without_boot(peer)
            self._review(peer, reason, now_s, lost=change.before)
            if change.fresh:
                self.reconciler.dial_soon(peer, now_s)

    def _lose(self, peer: Peer, reason: Reason) -> None:
        """Handle that discovery has lost a node.

        A link that is up stays wanted unless a source explicitly reports that the node is gone. If
        the peer would announce its departure over the link, even a goodbye from a source is not
        enough.
        """
        stays_linked = {
            Reason.SILENT: self._keeps_links,
            Reason.LEFT: self._links_announce_departure,
        }
        if stays_linked.get(reason) and peer.up:
            self.memory.keep(peer)
        elif reason is not Reason.SILENT:
            self.memory.forget(peer)

    def _review(
        self, peer: Peer, reason: Reason, now_s: float, *, lost: Node | None = None
    ) -> None:
        """Show a peer as it is now to the application, and offer it to the topology.

        Args:
            peer: The peer.
            reason: Why it is no longer known or linked, if it isn't.
            now_s: The time.
            lost: The node as discovery knew it, if it has just lost it.
        """
        known, up, missed = peer.known, peer.up, peer.remembered
        if not (known or up or missed):
            peer.met = None
        met = peer.met
        node, linked = views(
            known, met, up=up, introduces=self._introduces, keeps_links=self._keeps_links
        )
        self.departures.review(peer, known, met if up else None)
        mark = peer.leaving
        self.notifier.show(
            peer,
            now_s,
            known=node if known else None,
            up=linked if up else None,
            leaving=node is not None and mark is not None and mark.is_of(node),
            reason=reason,
            lost=lost,
        )
        # While the link is up, this end wants it unless the peer itself says that it leaves.
        ignored = self._would_announce_departure(peer) and self.departures.is_hearsay(peer)
        departs = peer.departs and not ignored
        staying = None if departs else node
        # A peer that is set aside is redialled like a missed one: another node may answer next.
        missing = staying if missed or departs else peer.set_aside
        offered = staying if known else None
        self.selection.offer(peer, now_s, known=offered, missed=None if known else missing)
