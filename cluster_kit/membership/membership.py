"""One topology's state, without I/O: observations and link reports in, commands and events out.

It joins the parts of this package, which don't know each other: the roster's changes and the links' state become one node per
key; who of them is wanted goes to the reconciler; what has changed for the application becomes events. Times are monotonic
seconds; the owner calls ``tick`` and ``plan`` after every batch of reports and again at ``wake_at_s``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cluster_kit.abc import Gone, Leaving, Observation, Seen, Topology
from cluster_kit.errors import ConnectError, ConnectReason
from cluster_kit.events import Event, Reason
from cluster_kit.membership.departures import Departures
from cluster_kit.membership.doubts import Doubts
from cluster_kit.membership.memory import Memory
from cluster_kit.membership.merge import same_run, views
from cluster_kit.membership.news import News
from cluster_kit.membership.reconciler import Command, Reconciler
from cluster_kit.membership.roster import EXCHANGE, PREDECESSOR, Change, Roster
from cluster_kit.membership.unlinked import Unlinked
from cluster_kit.membership.wish import Wish
from cluster_kit.node import Node, is_other_run

RETURN_S = 1.0  # how soon, at the earliest, a node that said goodbye may be back where no boot id would tell
_BURST = 1000  # reports about nodes without a wait, beside those of all nodes found and linked

_FINAL = frozenset({Reason.LEFT, Reason.GONE, Reason.UNWANTED})  # a link that ends so is not missed


class Membership:
    """Decides for one worker who is known, who is up, and what the connector is to do.

    Args:
        local: This node.
        topology: Picks whom to link to.
        name: The configured topology's name, for events.
        prune: Whether nodes are ever removed from the roster.
        max_nodes: How many nodes the roster holds at most.
        remember_s: For how long a lost peer is redialled although discovery has lost it too.
        keeps_links: False where being known is all there is to a link.
        introduces: False where links tell nothing about the peers.
    """

    def __init__(
        self,
        local: Node,
        topology: Topology,
        *,
        name: str,
        prune: bool,
        max_nodes: int,
        remember_s: float,
        keeps_links: bool,
        introduces: bool = True,
    ) -> None:
        self.name = name
        self.local = local
        self._keeps_links = keeps_links
        self._introduces = introduces
        self._links_tell = keeps_links and introduces  # when a linked peer goes
        self._roster = Roster(prune=prune, max_nodes=max_nodes)
        self._roster.disown(local.name, local.address)
        self._memory = Memory(remember_s, max_nodes)
        self._departures = Departures()
        self._wish = Wish(topology)
        self._reconciler = Reconciler()
        self._news = News(name, burst=_BURST + 2 * max_nodes)
        self._met: dict[str, Node] = {}  # of those, who has had a link, as introduced there
        self._up: set[str] = set()
        self._doubts = Doubts()

    @property
    def known(self) -> tuple[Node, ...]:
        """The nodes that discovery vouches for, by key."""
        return tuple(node for _, node in sorted(self._news.known.items()))

    @property
    def up(self) -> tuple[Node, ...]:
        """The linked nodes, by key."""
        return tuple(node for _, node in sorted(self._news.up.items()))

    @property
    def leaving(self) -> frozenset[str]:
        """The keys of those who are about to leave."""
        return self._departures.leaving

    @property
    def full(self) -> bool:
        """Whether ``max_nodes`` has made the roster ignore a node."""
        return self._roster.full

    @property
    def finds_only_itself(self) -> bool:
        """Whether this node itself is all that has been found."""
        return not self._up and not self._roster.known and (self._roster.saw_itself or bool(self._roster.mirrors))

    @property
    def draining(self) -> bool:
        """Whether this node is about to leave and dials nobody any more."""
        return self._reconciler.draining

    # -- this node -------------------------------------------------------------------------------------------------------------

    def update_local(self, local: Node) -> None:
        """Take in that this node's address or metadata changed."""
        self.local = local
        self._wish.reconsider()
        self._take(self._roster.disown(local.name, local.address))

    def drain(self) -> None:
        """Dial nobody any more."""
        self._reconciler.drain()

    def restore(self, known: Iterable[Node], now_s: float, ttl_s: float) -> None:
        """Go on from the roster that a predecessor told of, for ``ttl_s`` s in which no source fails, or until one speaks."""
        for node in known:
            self._news.assume(node)
            self.observe(PREDECESSOR, Seen(node, ttl_s), now_s)
            self._review(node.key, Reason.GONE)

    # -- discovery -------------------------------------------------------------------------------------------------------------

    def observe(self, source: str, observation: Observation, now_s: float) -> None:
        """Take in what the strategy called ``source`` says."""
        match observation:
            case Seen(node=node, ttl_s=ttl_s):
                self._see(source, node, ttl_s, now_s)
            case Leaving(name=told):
                self._hear_leaving(source, told, now_s)
            case Gone():
                self._hear_goodbye(source, observation, now_s)
            case _:
                self._take(self._roster.observe(source, observation, now_s), seen_at_s=now_s)

    def _see(self, source: str, node: Node, ttl_s: float, now_s: float) -> None:
        if self._is_over(node):
            return  # it was on its way
        self._take(self._roster.see(source, node, now_s, ttl_s), seen_at_s=now_s)
        if source not in (EXCHANGE, PREDECESSOR):  # those know it by hearsay
            self._reconciler.alive(node.name or self._roster.key_of(node.key), now_s)

    def _hear_leaving(self, source: str, told: str, now_s: float) -> None:
        key, said = self._roster.key_of(told), self._roster.told_by(source, told)
        known = self._roster.known.get(key) or (self._met[key] if key in self._up else None)
        until_s = self._roster.told_until_s(source, told, now_s)
        if known and self._departures.hear(key, (said and said.boot_id) or known.boot_id, until_s):
            self._review(key, Reason.GONE)

    def _hear_goodbye(self, source: str, gone: Gone, now_s: float) -> None:
        key = self._roster.key_of(gone.name)
        if self._would_tell(key) and gone.reason is Reason.LEFT and gone.boot_id in (None, self._met[key].boot_id):
            self._doubts.hold_goodbye(key, source, gone, now_s)
            return
        changes = self._roster.observe(source, gone, now_s)
        if gone.reason is Reason.LEFT and gone.boot_id is not None:
            self._departures.note_goodbye(gone.name, gone.boot_id, now_s, is_proven=source == EXCHANGE)
            if source != EXCHANGE:  # what linked peers told counts no more, either
                changes += self._roster.observe(EXCHANGE, gone, now_s)
        self._take(changes, seen_at_s=now_s)
        if gone.name in self._memory and gone.boot_id in (None, self._met[gone.name].boot_id):
            self._memory.forget(gone.name)
            self._review(gone.name, Reason.GONE)

    def source_fails(self, source: str, now_s: float) -> None:
        """Keep what ``source`` vouches for until it works again."""
        self._roster.fails(source, now_s)

    def source_works(self, source: str, now_s: float) -> None:
        """Let what ``source`` vouches for lapse again if it is not renewed."""
        self._roster.works(source, now_s)

    # -- links -----------------------------------------------------------------------------------------------------------------

    def link_up(self, node: Node, now_s: float) -> None:
        """Take in that a link is up, dialled or accepted; ``node`` is the peer as it introduced itself.

        One that was on its way when the peer said goodbye is about to end. It is news if it doesn't: a goodbye may be forged.
        """
        if self._is_current(node):
            self.link_updated(node)
        elif self._is_over(node):
            if node.key in self._up:
                self.link_down(self._met[node.key], Reason.REPLACED, now_s)
            self._doubts.doubt_link(node, now_s)
        else:
            self._admit(node, now_s)

    def _admit(self, node: Node, now_s: float) -> None:
        key = node.key
        self._doubts.settle_link(key)
        if key in self._up:
            self._news.down(key, Reason.REPLACED)
            self._departures.returned(key)
            self._up.discard(key)
            self._settle_goodbyes(key, now_s)
        self._met[key] = node
        self._up.add(key)
        self._reconciler.linked(key, now_s)
        if key in self._memory:
            self._memory.keep(key)
        self._take([*self._roster.meet(node), *self._roster.release(key)])
        self._review(key, Reason.REPLACED)

    def link_down(self, node: Node, reason: Reason, now_s: float) -> None:
        """Take in that a link is down; the end of one that has been replaced is no news."""
        key = node.key
        self._doubts.drop_link(node)
        if not self._is_current(node):
            return
        self._up.discard(key)
        self._reconciler.unlinked(key, now_s)
        if reason in _FINAL or key in self._departures:
            self._memory.forget(key)
        elif self._keeps_links and (key in self._roster.known or key in self._memory):
            self._memory.lose(key, now_s)
        if self._met[key].boot_id is None:
            self._departures.returned(key)  # nothing else would ever tell
        if reason is Reason.LEFT:
            self.observe(EXCHANGE, Gone(key, reason, node.boot_id), now_s)
            self._farewell(key, now_s)
        self._review(key, reason)
        self._settle_goodbyes(key, now_s)

    def _settle_goodbyes(self, key: str, now_s: float) -> None:
        """Take in what was held back, now that the run of which it was said is not linked any more."""
        for source, gone in self._doubts.take_goodbyes(key, now_s):
            self.observe(source, gone, now_s)

    def link_updated(self, node: Node) -> None:
        """Take in that a linked peer told other metadata."""
        self._doubts.update_link(node)
        if self._is_current(node):
            self._met[node.key] = node
            self._review(node.key, Reason.GONE)

    def link_leaving(self, node: Node) -> None:
        """Take in that a linked peer is about to leave."""
        self._doubts.mark_leaving(node)
        if self._is_current(node) and self._departures.announce(node.key, self._met[node.key].boot_id):
            self._review(node.key, Reason.GONE)

    def hinted(self, node: Node, ttl_s: float, now_s: float) -> None:
        """Take in that a linked peer tells of ``node``, for which that counts ``ttl_s`` seconds."""
        self.observe(EXCHANGE, Seen(node, ttl_s), now_s)

    def _is_over(self, node: Node) -> bool:
        """Whether this run of ``node`` has said goodbye, and discovery does not vouch for it any more."""
        if not self._departures.is_over(node):
            return False
        known = self._roster.known.get(node.key)
        return known is None or is_other_run(known, node)

    def _is_current(self, node: Node) -> bool:
        """Whether the link that is up is to this run of the peer."""
        return node.key in self._up and same_run(node, self._met[node.key])

    def _would_tell(self, key: str) -> bool:
        """Whether there is a link whose peer says so itself when it goes, so that nobody else's word is needed."""
        return self._links_tell and key in self._up

    def vouches_for(self, node: Node) -> bool:
        """Whether a source vouches for a node, or we have had a link to it; hints of other peers don't count."""
        return node.key in self._memory or self._roster.vouches_for(node)

    # -- ends of commands ------------------------------------------------------------------------------------------------------

    def connected(self, node: Node, peer: Node, now_s: float) -> None:
        """Take in that ``Connect(node)`` succeeded; ``peer`` may have a name where ``node`` had only an address."""
        self._reconciler.connected(node.key, peer, now_s)
        dialled = node.address if node.name is None else None  # a name may be linked already, and nothing was dialled
        self._take([*self._roster.meet(peer, dialled), *self._roster.release(node.key)])

    def connect_failed(self, node: Node, error: ConnectError, now_s: float, jitter: float) -> None:
        """Take in that ``Connect(node)`` failed; ``error`` decides when to try again, and ``jitter``, from 0 to 1."""
        missed = self._met[node.key] if node.key in self._memory else None
        self._reconciler.failed(node.key, error, now_s, jitter, self._roster.elsewhere(node.key, missed, now_s))
        if error.reason is ConnectReason.SELF and not self._roster.has_elsewhere(node):
            self._memory.forget(node.key)
            self._take(self._roster.set_aside(node))
            self._review(node.key, Reason.GONE)
        elif error.reason is ConnectReason.NAME and node.address is not None:
            self._take(self._roster.unlearn(node.address))

    def disconnected(self, node: Node, now_s: float) -> None:
        """Take in that ``Disconnect(node)`` was carried out; the link may still be up, because the peer wants it."""
        self._reconciler.disconnected(node.key, now_s)

    def is_missed(self, key: str) -> bool:
        """Whether a node that is not linked has been."""
        return key in self._met

    def is_listed(self, key: str) -> bool:
        """Whether a node stays known even if nothing is heard of it."""
        return self._roster.lists(key)

    def unlinked(self, now_s: float) -> Iterator[Unlinked]:
        """Yield why the known nodes that are not linked are not, by key."""
        return (self._reconciler.why_unlinked(key, now_s) for key in sorted(self._news.known.keys() - self._news.up.keys()))

    def failing(self, now_s: float) -> list[Unlinked]:
        """Return those of the ``unlinked`` to whom a dial has failed; costs nothing for those not meant to be linked."""
        known, up = self._news.known, self._news.up
        return [self._reconciler.why_unlinked(key, now_s) for key in self._reconciler.failing if key in known and key not in up]

    # -- time ------------------------------------------------------------------------------------------------------------------

    def tick(self, now_s: float) -> None:
        """Forget nodes whose time has passed, and pass on changes that were held back."""
        self._departures.expire(now_s)
        for key in self._departures.lapse(now_s):
            self._review(key, Reason.GONE)
        self._doubts.forget_goodbyes(now_s)
        for node, is_leaving in self._doubts.links_that_last(now_s):
            self._admit(node, now_s)
            if is_leaving:
                self.link_leaving(node)
        self._take(self._roster.expire(now_s))
        for key in self._memory.expire(now_s):
            self._review(key, Reason.SILENT)
        self._news.tick(now_s)
        self._wish.tick(now_s)

    def plan(self, now_s: float) -> list[Command]:
        """Return the commands to start now, longest due first.

        Each is in flight until ``connected``, ``connect_failed`` or ``disconnected`` reports its end.
        """
        if (wanted := self._wish.update(self.local, now_s)) is not None:
            self._reconciler.want(wanted, now_s)
        if not self._introduces:
            for key in sorted(self._wish.changed):
                self._reconciler.renew(key, now_s)
        self._wish.changed.clear()
        return self._reconciler.plan(now_s)

    def wake_at_s(self, now_s: float) -> float | None:
        """Return when ``tick`` or ``plan`` next has something to do, if nothing else happens."""
        parts = (self._roster, self._memory, self._reconciler, self._news, self._wish, self._doubts, self._departures)
        times = [at_s for part in parts if (at_s := part.next_s()) is not None]
        return max(now_s, min(times)) if times else None

    def take_events(self) -> list[Event]:
        """Return the events since the last call; whoever passes them on numbers and dates them."""
        return self._news.take()

    # -- what follows ----------------------------------------------------------------------------------------------------------

    def _take(self, changes: Iterable[Change], *, seen_at_s: float | None = None) -> None:
        for change in changes:
            has_left = change.before is not None and self._departures.is_over(change.before)
            reason = Reason.LEFT if has_left else change.reason  # also where it is forgotten as nobody vouches for it any more
            if change.node is None:
                self._lose(change.key, reason)
            elif change.before is None:
                self._departures.returned(change.key)
            self._review(change.key, reason, lost=change.before)
            if change.fresh and seen_at_s is not None:
                self._reconciler.encourage(change.key, seen_at_s)

    def _lose(self, key: str, reason: Reason) -> None:
        """Note that discovery has lost a node; a healthy link stays wanted unless that is an explicit answer."""
        is_no_answer = self._keeps_links if reason is Reason.SILENT else reason is Reason.LEFT and self._links_tell
        if is_no_answer and key in self._up:
            self._memory.keep(key)
        elif reason is not Reason.SILENT:
            self._memory.forget(key)

    def _farewell(self, key: str, now_s: float) -> None:
        """A peer said goodbye but may still be vouched for: then only another boot, or failing that time, brings it back."""
        known = self._roster.known.get(key)
        if known is None:
            return
        if known.boot_id is None:
            self._reconciler.postpone(key, now_s + RETURN_S, now_s)
        elif same_run(known, self._met[key]):
            self._departures.complete(key, known.boot_id)

    def _review(self, key: str, reason: Reason, *, lost: Node | None = None) -> None:
        """Bring everything that is kept by key up to date, and tell what is new; ``lost`` is how discovery last knew it."""
        known, up, missed = self._roster.known.get(key), key in self._up, key in self._memory
        if not (known or up or missed):
            self._met.pop(key, None)
        met = self._met.get(key)
        node, linked = views(known, met, up=up, introduces=self._introduces, keeps_links=self._keeps_links)
        self._departures.review(key, known, met if up else None)
        departs = key in self._departures
        self._news.show(
            key,
            known=node if known else None,
            up=linked if up else None,
            leaving=departs and node is not None and self._departures.is_leaving(node),
            reason=reason,
            lost=lost,
        )
        departs = departs and not (self._would_tell(key) and self._departures.is_hearsay(key))
        staying = None if departs else node
        dialled_anyway = staying if missed or departs else self._roster.mirrors.get(key)
        self._wish.offer(key, known=staying if known else None, missed=None if known else dialled_anyway)
