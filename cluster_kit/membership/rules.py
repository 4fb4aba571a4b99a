"""What each report changes in the records of the peers; ``Peer`` lists the states that come of it.

The other modules of this package hold the rules for one group of fields each, and don't know each
other. This one knows them all: what one of them finds out goes to those whom it concerns, and
``_review`` passes on what a peer amounts to now, to the topology and to the application.
"""

from __future__ import annotations

from collections.abc import Iterable

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
from cluster_kit.membership.roster import EXCHANGE, PREDECESSOR, Change, Roster
from cluster_kit.membership.selection import Selection
from cluster_kit.node import Node, is_other_run

# a node that said goodbye is not redialled sooner where no boot id tells its runs apart
RETURN_S = 1.0
_BURST = 1000  # reports about nodes without a wait, beside those of all nodes found and linked

_FINAL = frozenset({Reason.LEFT, Reason.GONE, Reason.UNWANTED})  # a link that ends so is not missed


class Rules:
    """Applies reports to the peers; the arguments are those of ``Membership``."""

    def __init__(
        self,
        topology: Topology,
        *,
        name: str,
        prune: bool,
        max_nodes: int,
        remember_s: float,
        keeps_links: bool,
        introduces: bool,
    ) -> None:
        self.peers = peers = Peers()
        self.roster = Roster(peers, prune=prune, max_nodes=max_nodes)
        self.memory = Memory(peers, remember_s, max_nodes)
        self.departures = Departures(peers)
        self.doubts = Doubts(peers)
        self.selection = Selection(peers, topology)
        self.reconciler = Reconciler(peers)
        self.notifier = Notifier(peers, name, burst=_BURST + 2 * max_nodes)
        self._keeps_links = keeps_links
        self._introduces = introduces
        self._links_tell = keeps_links and introduces  # when a linked peer goes

    def apply(self, report: Report, now_s: float) -> None:
        """Change what a report changes."""
        match report:
            case Observed(source=source, observation=observation):
                self._observe(source, observation, now_s)
            case SourceFails(source=source):
                self.roster.fails(source, now_s)
            case SourceWorks(source=source):
                self.roster.works(source, now_s)
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
        """Change what the time changes: words and marks lapse, and what was held back follows."""
        self.peers.sweep(now_s)
        self.departures.expire(now_s)
        for key in self.departures.lapse(now_s):
            self._review(key, Reason.GONE)
        self.doubts.forget_goodbyes(now_s)
        for node, is_leaving in self.doubts.links_that_last(now_s):
            self._admit(node, now_s)
            if is_leaving:
                self._link_leaving(node)
        self._take(self.roster.expire(now_s))
        for key in self.memory.expire(now_s):
            self._review(key, Reason.SILENT)
        self.notifier.tick(now_s)
        self.selection.tick(now_s)

    def next_s(self) -> float | None:
        """Return when ``tick`` next changes something, or a command is due."""
        times = (
            self.roster.next_s(),
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
        self._take(self.roster.disown(local.name, local.address))

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
            case Leaving(name=told):
                self._hear_leaving(source, told, now_s)
            case Gone():
                self._hear_goodbye(source, observation, now_s)
            case _:
                self._take(self.roster.observe(source, observation, now_s), seen_at_s=now_s)

    def _see(self, source: str, node: Node, ttl_s: float, now_s: float) -> None:
        if self._is_over(node):
            return  # it was said before the goodbye, and took longer
        self._take(self.roster.see(source, node, now_s, ttl_s), seen_at_s=now_s)
        if source not in (EXCHANGE, PREDECESSOR):  # those know it by hearsay
            self.reconciler.alive(node.name or self.roster.key_of(node.key), now_s)

    def _hear_leaving(self, source: str, told: str, now_s: float) -> None:
        key, said = self.roster.key_of(told), self.roster.told_by(source, told)
        peer = self.peers[key]
        known = peer.known or (peer.met if peer.up else None)
        until_s = self.roster.told_until_s(source, told, now_s)
        if known and self.departures.hear(key, (said and said.boot_id) or known.boot_id, until_s):
            self._review(key, Reason.GONE)

    def _hear_goodbye(self, source: str, gone: Gone, now_s: float) -> None:
        key = self.roster.key_of(gone.name)
        is_of_linked = self._would_tell(key) and gone.boot_id in (
            None,
            self.peers[key].last_boot_id,
        )
        if is_of_linked and gone.reason is Reason.LEFT:
            self.doubts.hold_goodbye(key, source, gone, now_s)
            return
        changes = self.roster.observe(source, gone, now_s)
        if gone.reason is Reason.LEFT and gone.boot_id is not None:
            self.departures.note_goodbye(
                gone.name, gone.boot_id, now_s, is_proven=source == EXCHANGE
            )
            if source != EXCHANGE:  # what linked peers have said of it is no better
                changes += self.roster.observe(EXCHANGE, gone, now_s)
        self._take(changes, seen_at_s=now_s)
        if gone.name in self.memory and gone.boot_id in (None, self.peers[gone.name].last_boot_id):
            self.memory.forget(gone.name)
            self._review(gone.name, Reason.GONE)

    # -- links -------------------------------------------------------------------------------------

    def _link_up(self, node: Node, now_s: float) -> None:
        """Handle a link that came up.

        A link that was on its way when its peer said goodbye is about to end. If it does not, the
        goodbye was forged, and the link counts after all.
        """
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
            self._settle_goodbyes(key, now_s)
        peer.met = node
        self.reconciler.linked(key, now_s)
        if key in self.memory:
            self.memory.keep(key)
        self._take([*self.roster.meet(node), *self.roster.release(key)])
        self._review(key, Reason.REPLACED)

    def _link_down(self, node: Node, reason: Reason, now_s: float) -> None:
        """Handle the end of a link; that of one that has been replaced is no news."""
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
            self.departures.returned(key)  # nothing else would ever tell
        if reason is Reason.LEFT:
            self._observe(EXCHANGE, Gone(key, reason, node.boot_id), now_s)
            self._farewell(key, now_s)
        self._review(key, reason)
        self._settle_goodbyes(key, now_s)

    def _settle_goodbyes(self, key: str, now_s: float) -> None:
        """Handle the goodbyes that were held back while the run that they are of was linked."""
        for source, gone in self.doubts.take_goodbyes(key, now_s):
            self._observe(source, gone, now_s)

    def _link_updated(self, node: Node) -> None:
        self.doubts.update_link(node)
        if self._is_current(node):
            self.peers[node.key].met = node
            self._review(node.key, Reason.GONE)

    def _link_leaving(self, node: Node) -> None:
        self.doubts.mark_leaving(node)
        boot_id = self.peers[node.key].last_boot_id
        if self._is_current(node) and self.departures.announce(node.key, boot_id):
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
        """Whether the peer is linked and would say itself that it goes; no other word is needed."""
        return self._links_tell and self.peers[key].up

    # -- ends of commands --------------------------------------------------------------------------

    def _connected(self, node: Node, peer: Node, now_s: float) -> None:
        self.reconciler.connected(node.key, peer, now_s)
        # Connect to a name proves no address: the name may have been linked, and nothing was
        # dialled.
        dialled = node.address if node.name is None else None
        self._take([*self.roster.meet(peer, dialled), *self.roster.release(node.key)])

    def _connect_failed(self, node: Node, error: ConnectError, jitter: float, now_s: float) -> None:
        peer = self.peers[node.key]
        missed = peer.met if peer.remembered else None
        elsewhere = self.roster.elsewhere(node.key, missed, now_s)
        self.reconciler.failed(node.key, error, now_s, jitter, elsewhere)
        if error.reason is ConnectReason.SELF and not self.roster.has_elsewhere(node):
            self.memory.forget(node.key)
            self._take(self.roster.set_aside(node))
            self._review(node.key, Reason.GONE)
        elif error.reason is ConnectReason.NAME and node.address is not None:
            self._take(self.roster.unlearn(node.address))

    # -- what follows ------------------------------------------------------------------------------

    def _take(self, changes: Iterable[Change], *, seen_at_s: float | None = None) -> None:
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
        """Handle the loss of a node by discovery.

        A healthy link stays wanted unless a source says explicitly that the node is not there.
        """
        stays_linked = {Reason.SILENT: self._keeps_links, Reason.LEFT: self._links_tell}
        if stays_linked.get(reason) and self.peers[key].up:
            self.memory.keep(key)
        elif reason is not Reason.SILENT:
            self.memory.forget(key)

    def _farewell(self, key: str, now_s: float) -> None:
        """Handle a goodbye over the link of a peer that sources still vouch for.

        Another run brings it back; where none would be told apart, time does.
        """
        peer = self.peers[key]
        known = peer.known
        if known is None:
            return
        if known.boot_id is None:
            self.reconciler.postpone(key, now_s + RETURN_S, now_s)
        elif peer.met and same_run(known, peer.met):
            self.departures.complete(key, known.boot_id)

    def _review(self, key: str, reason: Reason, *, lost: Node | None = None) -> None:
        """Offer the peer to the topology as it is now, and tell the application what has changed.

        Args:
            key: Of the peer.
            reason: Why it is not known or linked any more, if it isn't.
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
        departs = departs and not (self._would_tell(key) and self.departures.is_hearsay(key))
        staying = None if departs else node
        dialled_anyway = staying if missed or departs else peer.mirror
        self.selection.offer(
            key, known=staying if known else None, missed=None if known else dialled_anyway
        )
