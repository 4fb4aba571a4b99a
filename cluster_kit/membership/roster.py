"""The nodes that discovery vouches for: what each source says, and what that adds up to.

Observations come in, changes of ``known`` come out. A node is known while any source vouches for
it. Sources are kept apart: a failing one takes back nothing and its words do not lapse; their order
doesn't matter. A node of which only the address is known goes by that address until its name turns
up; then the two are one. Nothing here depends on links, except that a link proves who answers at an
address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import NamedTuple

from cluster_kit.abc import Found, Gone, Observation, Seen
from cluster_kit.events import Reason
from cluster_kit.membership.addresses import AddressBook, is_bare
from cluster_kit.membership.claims import Source
from cluster_kit.membership.merge import is_older, merge
from cluster_kit.membership.peer import Claim, Peer, Peers
from cluster_kit.node import BootId, Node

PREDECESSOR = "(predecessor)"
"""The source of what a dead worker left; its word for a node holds for a time, or until another
source speaks of that node.
"""

EXCHANGE = "(exchange)"
"""The source of what linked peers tell of each other: hearsay, which gives no address a name."""


class Change(NamedTuple):
    """What became of ``key``.

    Attributes:
        node: The node as it is known now, or ``None``.
        before: The node as it was known before, or ``None``.
        reason: Why it is no longer known, if it isn't.
        fresh: There is new evidence that it lives: its source had lost it, or shows another boot or
            address.
    """

    key: str
    node: Node | None
    before: Node | None
    reason: Reason
    fresh: bool


class Roster:
    """Keeps the peers' ``words``, and works out ``known`` from them.

    Holds ``max_nodes`` at most; who is new after that is ignored until others have gone.

    Attributes:
        full_of: The source of the first node that had to be ignored, if any had.
        saw_itself: Whether a source has listed this node itself.
    """

    def __init__(self, peers: Peers, *, prune: bool, max_nodes: int) -> None:
        self.full_of: str | None = None
        self.saw_itself = False
        self._peers = peers
        self._prune = prune
        self._max_nodes = max_nodes
        self._size = 0  # how many peers have words
        self._inherited = Source(PREDECESSOR, peers)
        self._sources = {PREDECESSOR: self._inherited}
        self._relates = False  # whether there has been a word for an address without a name
        self._failing: set[str] = set()
        self._names = AddressBook(peers)
        self._own: set[str | None] = set()

    @property
    def known(self) -> dict[str, Node]:
        """The nodes that sources vouch for, by key."""
        return {key: peer.known for key, peer in self._peers.items() if peer.known}

    @property
    def mirrors(self) -> dict[str, Node]:
        """The nodes that would be known, but for a dial to them that led back to this node."""
        return {key: peer.mirror for key, peer in self._peers.items() if peer.mirror}

    def observe(self, source: str, observation: Observation, now_s: float) -> list[Change]:
        """Take in what ``source`` says; return what that changes, losses first, then by key."""
        match observation:
            case Seen(node=node, ttl_s=ttl_s):
                return self.see(source, node, now_s, ttl_s)
            case Found(nodes=nodes):
                touched = self._drop(self._missing(source, {node.key for node in nodes}))
                touched |= self._hear(source, sorted(nodes, key=lambda node: node.key), now_s, inf)
                return self._update(touched, Reason.GONE)
            case Gone(name=name, reason=reason, boot_id=boot_id):
                return self._update(self._drop(self._revoked(source, name, boot_id)), reason)
        return []

    def see(self, source: str, node: Node, now_s: float, ttl_s: float) -> list[Change]:
        """Take in ``Seen(node, ttl_s)``, which is nearly all that sources say."""
        if self._is_repeated_or_late(source, node, now_s, ttl_s):
            return []
        return self._update(self._hear(source, [node], now_s, ttl_s), Reason.GONE)

    def key_of(self, told: str) -> str:
        """Return what the node is known by that a source calls ``told``: its name, where only its
        address was told.
        """
        return (self._names.name_at(told) or told) if is_bare(told) else told

    def told_by(self, source: str, told: str) -> Node | None:
        """Return the node that a source calls ``told``, as it last told of it; another source may
        know another run.
        """
        word = self._source(source).words.get(told)
        return None if word is None else word.node

    def told_until_s(self, source: str, told: str, now_s: float) -> float:
        """Return until when the word of a source holds for what it calls ``told``."""
        return self._source(source).until_s(told, now_s)

    def elsewhere(self, key: str, missed: Node | None, now_s: float) -> list[Node]:
        """Return a known node as it is told, or ``missed``, at other addresses: that of the latest
        run may be forged.
        """
        known = self._known(key)
        if known is None:
            return []
        told = [] if missed is None else [missed]
        told += [node for _, node in sorted(self._told_of(key), key=lambda pair: pair[0])]
        words = [source.words[key] for source in self._sources.values() if key in source.words]
        told += [word.rival[0] for word in words if word.rival and now_s < word.rival[1]]
        return list(
            {
                node.address: node for node in told if node.address not in (None, known.address)
            }.values()
        )

    def has_elsewhere(self, node: Node) -> bool:
        """Whether a node is known at another address than this one, which then says nothing of
        it.
        """
        known = self._known(node.key)
        return known is not None and known.address != node.address

    def vouches_for(self, node: Node) -> bool:
        """Whether a source has told of a node by its name or its address; hearsay doesn't count."""
        told = [self._words_for(key) for key in (node.name, node.address) if key is not None]
        return any(source != EXCHANGE for words in told for source in words)

    def lists(self, key: str) -> bool:
        """Whether a source vouches for a node without a limit, whether it runs or not."""
        told = [key, *self._names.addresses_of(key)]
        return any(source.lasts(each) for each in told for source in self._sources.values())

    def expire(self, now_s: float) -> list[Change]:
        """Drop the nodes of which nothing was heard for too long, while their source worked."""
        passed = [
            (key, name) for name, source in self._sources.items() for key in source.pop_due(now_s)
        ]
        return self._update(self._drop(passed), Reason.SILENT)

    def fails(self, source: str, now_s: float) -> None:
        """Keep what ``source`` vouches for until it works again.

        That may include what a predecessor left, since nothing says which source vouched for that.
        """
        self._failing.add(source)
        for each in (source, PREDECESSOR):
            self._source(each).stop(now_s)

    def works(self, source: str, now_s: float) -> None:
        """Let the words of ``source`` lapse again if they are not renewed."""
        self._failing.discard(source)
        self._source(source).go_on(now_s)
        if not self._failing:
            self._inherited.go_on(now_s)

    def next_s(self) -> float | None:
        """Return when ``expire`` has something to do."""
        times = (source.next_s() for source in self._sources.values())
        return min((at_s for at_s in times if at_s is not None), default=None)

    def meet(self, peer: Node, dialled: str | None = None) -> list[Change]:
        """Handle what a link proves: which run of ``peer`` lives, and that it answers at the
        address we dialled.

        What an accepted peer says of its own address proves nothing.
        """
        if peer.name is None:
            return []
        touched: set[str] = set()
        for word in self._words_for(peer.name).values():
            if is_older(peer, word.node):  # its clock was set back
                word.node = word.node.evolve(boot_id=peer.boot_id)
                touched.add(peer.name)
        if dialled is not None and self._words_for(dialled):
            touched |= self._names.learn(dialled, peer.name)
        return self._update(dict.fromkeys(touched, False), Reason.REPLACED)

    def unlearn(self, address: str) -> list[Change]:
        """Take in that another node answers at ``address`` than a link proved once."""
        return self._update(dict.fromkeys(self._names.unlearn(address), False), Reason.REPLACED)

    def disown(self, *keys: str | None) -> list[Change]:
        """Take in that these names and addresses are our own: nobody is known by them, now or
        later.
        """
        self._own.update(key for key in keys if key is not None)
        told = [
            (key, name, word.node)
            for name, source in self._sources.items()
            for key, word in source.words.items()
        ]
        return self._update(
            self._remove((key, name) for key, name, node in told if self._is_own(node)), Reason.GONE
        )

    def set_aside(self, node: Node) -> list[Change]:
        """Handle a dial to ``node`` that led back to us: it is not known until a link proves that
        somebody else is there.

        It is not ours for good. The name may resolve to others as well, and a balancer may lead
        there the next time.
        """
        self._peers[node.key].mirror = node
        return self._update({node.key: False}, Reason.GONE)

    def release(self, key: str) -> list[Change]:
        """Handle a link to a node that was set aside."""
        peer = self._peers.get(key)
        if peer is None or peer.mirror is None:
            return []
        peer.mirror = None
        return self._update({key: True}, Reason.REPLACED)

    # -- what sources say --------------------------------------------------------------------------

    # Each of these returns the keys, as told, for which there is news, and whether that is fresh
    # evidence of life.

    def _hear(
        self, name: str, nodes: Iterable[Node], now_s: float, ttl_s: float
    ) -> dict[str, bool]:
        touched: dict[str, bool] = {}
        source = self._source(name)
        for node in nodes:
            if not self._admits(node, name):
                continue
            key = node.key
            word = source.words.get(key)
            before = None if word is None else word.node
            fresh = before is None or not source.holds(key, now_s) or _moved(before, node)
            if fresh or before != node:
                touched[key] = fresh
            source.say(node, ttl_s, now_s)
            if before is None and len(self._peers[key].words) == 1:
                self._size += 1
                if is_bare(key):
                    self._relate()
            if key in self._inherited.words and source is not self._inherited:
                self._remove([(key, PREDECESSOR)])
        return touched

    def _relate(self) -> None:
        """Relate names and addresses, which matters from the first address without a name on."""
        if not self._relates:
            self._relates = True
            for key, peer in list(self._peers.items()):
                if peer.words and not is_bare(key):
                    self._names.tell(key, self._addresses_told_of(key))

    def _source(self, name: str) -> Source:
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = Source(name, self._peers)
        return source

    def _known(self, key: str) -> Node | None:
        peer = self._peers.get(key)
        return None if peer is None else peer.known

    def _words_for(self, key: str) -> Mapping[str, Claim]:
        peer = self._peers.get(key)
        return {} if peer is None else peer.words

    def _told_of(self, key: str) -> list[tuple[str, Node]]:
        """Return each source that tells of ``key``, with what it tells."""
        return [(source, word.node) for source, word in self._words_for(key).items()]

    def _drop(self, told: Iterable[tuple[str, str]]) -> dict[str, bool]:
        return self._remove(told) if self._prune else {}

    def _remove(self, told: Iterable[tuple[str, str]]) -> dict[str, bool]:
        touched: dict[str, bool] = {}
        for key, source in told:
            if self._source(source).take_back(key) is not None:
                touched[key] = False
                self._size -= not self._peers[key].words
        return touched

    def _missing(self, source: str, answered: set[str]) -> list[tuple[str, str]]:
        return [(key, source) for key in self._source(source).words if key not in answered]

    def _revoked(self, source: str, name: str, boot_id: BootId | None) -> list[tuple[str, str]]:
        told = [
            (who, node.boot_id)
            for who in (source, PREDECESSOR)
            if (node := self.told_by(who, name))
        ]
        return [
            (name, who)
            for who, told_boot in told
            if boot_id is None or told_boot in (None, boot_id)
        ]

    def _admits(self, node: Node, source: str) -> bool:
        if self._is_own(node):
            self.saw_itself = True
            return False
        if self._size < self._max_nodes or self._words_for(node.key):
            return True
        self.full_of = self.full_of or source
        return False

    def _is_own(self, node: Node) -> bool:
        return node.name in self._own or node.address in self._own

    def _is_repeated_or_late(self, name: str, node: Node, now_s: float, ttl_s: float) -> bool:
        """Whether a source says in time what it said before, as it nearly always does, which then
        holds anew.

        Or this is a belated word of a run that its source has seen replaced.
        """
        key, source = node.key, self._source(name)
        word = source.words.get(key)
        if word is None:
            return False
        before = word.node
        if (
            (before is node or before == node)
            and key not in self._inherited.words
            and source.renew(key, ttl_s, now_s)
        ):
            return True
        if not (is_older(node, before) and source.holds(key, now_s)):
            return False
        if node.address != before.address:
            word.rival = node, now_s + ttl_s
        return True

    # -- what that adds up to ----------------------------------------------------------------------

    def _update(self, touched: dict[str, bool], reason: Reason) -> list[Change]:
        if not touched:
            return []
        if len(touched) == 1 and not self._relates:  # as nearly always: it affects nobody else
            ((told, fresh),) = touched.items()
            change = self._change(told, reason, fresh)
            return [] if change is None else [change]
        affected: dict[str, bool] = {}
        for told, fresh in touched.items():
            for key in self._affected_by(told):
                affected.setdefault(key, False)
            if fresh:
                affected[self.key_of(told)] = True
        changes = [
            change
            for key in sorted(affected)
            if (change := self._change(key, reason, affected[key])) is not None
        ]
        if len(changes) > 1:
            changes.sort(key=lambda change: change.node is not None)
        return changes

    def _affected_by(self, told: str) -> set[str]:
        if is_bare(told):
            return self._names.keys_at(told) if self._words_for(told) else self._names.unlearn(told)
        affected = {told}
        if self._relates:
            for address in self._names.tell(told, self._addresses_told_of(told)):
                if self._words_for(address):
                    affected |= self._names.keys_at(address)
        return affected

    def _addresses_told_of(self, name: str) -> set[str]:
        return {
            node.address
            for source, node in self._told_of(name)
            if source != EXCHANGE and node.address
        }

    def _change(self, key: str, reason: Reason, fresh: bool) -> Change | None:
        node, peer = self._merged(key), self._peers[key]
        before = peer.known
        if peer.mirror is not None:
            return self._reflect(peer, node, reason)
        peer.known = node
        if node is not None:
            return Change(key, node, before, reason, fresh) if fresh or node != before else None
        if before is None:
            return None
        return Change(key, None, before, Reason.REPLACED if peer.words else reason, False)

    def _reflect(self, peer: Peer, node: Node | None, reason: Reason) -> Change | None:
        """Note how a node that is set aside is vouched for now."""
        before, peer.known = peer.known, None
        if node == peer.mirror and before is None:
            return None
        peer.mirror = node
        return Change(peer.key, None, before, reason, False)

    def _merged(self, key: str) -> Node | None:
        if is_bare(key):
            told, name = [] if self._names.name_at(key) else [key], None
        else:
            told, name = [key, *(self._names.addresses_of(key) if self._relates else ())], key
        return merge([word for as_told in told for word in self._told_of(as_told)], name)


def _moved(before: Node, node: Node) -> bool:
    return before.boot_id != node.boot_id or before.address != node.address
