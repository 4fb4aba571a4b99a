"""The nodes that discovery vouches for: what the claims of all sources add up to.

Observations come in, changes of ``Peer.known`` come out. A node is known while any source claims
it, and the order in which sources report does not matter. Links have no effect here, except that a
link proves who answers at an address and which run of a node is alive.

A source may give an address without a name, as DNS does. The node then goes by that address until
its name turns up: a link proves who answers there, or another source gives both. From then on, the
claims for the address count as claims for the name, and the two are one node. If the proof turns
out to be wrong, they are two again. So each claim has the key that its source uses, and each known
node has the key under which all its claims were merged; ``_affected_by`` leads from one to the
other. Until the first nameless address appears, both keys are the same and none of this costs
anything.
"""

from __future__ import annotations

from typing import NamedTuple

from cluster_kit.abc import Gone, Observation
from cluster_kit.events import Reason
from cluster_kit.membership.addresses import AddressBook, is_bare
from cluster_kit.membership.merge import merge
from cluster_kit.membership.peer import Claim, Peer, Peers
from cluster_kit.membership.sources import EXCHANGE, Sources, Touched
from cluster_kit.node import Node, is_earlier_run


class Change(NamedTuple):
    """What became of the node called ``key``.

    Attributes:
        node: The node as it is known now, or ``None``.
        before: The node as it was known before, or ``None``.
        reason: Why it is no longer known, if it isn't.
        fresh: There is new evidence that it is alive: its source had lost it, or shows another boot
            or address.
    """

    key: str
    node: Node | None
    before: Node | None
    reason: Reason
    fresh: bool


class Roster:
    """Works out ``known`` from the ``claims`` of each peer.

    Attributes:
        sources: The claims.
    """

    def __init__(self, peers: Peers, *, prune: bool, max_nodes: int) -> None:
        self.sources = Sources(peers, prune=prune, max_nodes=max_nodes)
        self._peers = peers
        self._book = AddressBook(peers)
        self._has_bare = False  # whether a source has ever given an address without a name

    @property
    def known(self) -> dict[str, Node]:
        """The nodes that sources vouch for, by key."""
        return {key: peer.known for key, peer in self._peers.items() if peer.known}

    def observe(self, source: str, observation: Observation, now_s: float) -> list[Change]:
        """Apply an observation; return what changes, losses first, then by key."""
        reason = observation.reason if isinstance(observation, Gone) else Reason.GONE
        return self._update(self.sources.observe(source, observation, now_s), reason)

    def expire(self, now_s: float) -> list[Change]:
        """Drop the nodes whose sources worked but did not mention them for too long."""
        return self._update(self.sources.expire(now_s), Reason.SILENT)

    def key_of(self, claimed: str) -> str:
        """Return the key of the node that sources call ``claimed``; a name if it is known."""
        return (self._book.name_at(claimed) or claimed) if is_bare(claimed) else claimed

    def elsewhere(self, key: str, missed: Node | None, now_s: float) -> list[Node]:
        """Return a known node, or ``missed``, at its other addresses.

        The address of the newest run comes first everywhere else, but it may be forged.
        """
        peer = self._peers.get(key)
        if peer is None or peer.known is None:
            return []
        nodes = [] if missed is None else [missed]
        claims = [claim for _, claim in sorted(peer.claims.items())]
        nodes += [claim.node for claim in claims]
        nodes += [claim.rival[0] for claim in claims if claim.rival and now_s < claim.rival[1]]
        tried = (None, peer.known.address)
        return list({node.address: node for node in nodes if node.address not in tried}.values())

    def is_elsewhere(self, node: Node) -> bool:
        """Whether ``node`` is known at another address, so that this one says nothing about it."""
        peer = self._peers.get(node.key)
        return peer is not None and peer.known is not None and peer.known.address != node.address

    def vouches_for(self, node: Node) -> bool:
        """Whether a source claims a node by its name or its address; hearsay doesn't count."""
        keys = [key for key in (node.name, node.address) if key is not None]
        return any(source != EXCHANGE for key in keys for source in self._claims_for(key))

    def is_listed(self, key: str) -> bool:
        """Whether a source vouches for a node without a limit, whether it runs or not."""
        return any(map(self.sources.has_unlimited, [key, *self._book.addresses_of(key)]))

    def meet(self, peer: Node, dialled: str | None = None) -> list[Change]:
        """Handle what a link proves: which run is alive, and that it answers where we dialled.

        What an accepted peer says about its own address proves nothing.
        """
        if peer.name is None:
            return []
        touched: set[str] = set()
        for claim in self._claims_for(peer.name).values():
            if is_earlier_run(peer, claim.node):  # its clock was set back
                claim.node = claim.node.evolve(boot_id=peer.boot_id)
                touched.add(peer.name)
        if dialled is not None:
            touched |= self._book.set_proven(dialled, peer.name)
        return self._update(dict.fromkeys(touched, False), Reason.REPLACED)

    def discard_proof(self, address: str) -> list[Change]:
        """Handle that another node answers at ``address`` than a link has proved."""
        affected = self._book.discard_proof(address)
        return self._update(dict.fromkeys(affected, False), Reason.REPLACED)

    def disown(self, *keys: str | None) -> list[Change]:
        """Handle the names and addresses of this node: no peer is known by them from now on."""
        own = [key for key in keys if key is not None]
        return self._update(self.sources.disown(own), Reason.GONE)

    def set_aside(self, node: Node) -> list[Change]:
        """Handle a dial to ``node`` that led back to us: it is not known until it is linked.

        The address is not ours for good. A DNS name may resolve to others as well, and a load
        balancer may lead to another node the next time.
        """
        self._peers[node.key].set_aside = node
        return self._update({node.key: False}, Reason.GONE)

    def release(self, key: str) -> list[Change]:
        """Handle a link to a node that was set aside: it is known again."""
        peer = self._peers.get(key)
        if peer is None or peer.set_aside is None:
            return []
        peer.set_aside = None
        return self._update({key: False}, Reason.REPLACED)

    # -- from the keys that sources use to the nodes that are known --------------------------------

    def _update(self, touched: Touched, reason: Reason) -> list[Change]:
        if not touched:
            return []
        if len(touched) == 1 and not self._has_bare:
            ((key, fresh),) = touched.items()
            if not is_bare(key):  # as nearly always: it affects nobody else
                change = self._change(key, reason, fresh)
                return [] if change is None else [change]
        if not self._has_bare and any(map(is_bare, touched)):
            self._start_relating()
        affected: dict[str, bool] = {}
        for claimed, fresh in touched.items():
            for key in self._affected_by(claimed):
                affected.setdefault(key, False)
            if fresh:
                affected[self.key_of(claimed)] = True
        every = (self._change(key, reason, fresh) for key, fresh in sorted(affected.items()))
        changes = [change for change in every if change is not None]
        changes.sort(key=lambda change: change.node is not None)
        return changes

    def _start_relating(self) -> None:
        """Relate names and addresses, because there is an address without a name now."""
        self._has_bare = True
        for key in list(self._peers):
            if not is_bare(key):
                self._book.set_claimed(key, self._claimed_addresses(key))

    def _affected_by(self, claimed: str) -> set[str]:
        """Return the keys of the nodes that may change with the claims for ``claimed``."""
        if is_bare(claimed):
            if self._claims_for(claimed):
                return self._book.keys_at(claimed)
            return self._book.discard_proof(claimed)
        affected = {claimed}
        if self._has_bare:
            for address in self._book.set_claimed(claimed, self._claimed_addresses(claimed)):
                if self._claims_for(address):
                    affected |= self._book.keys_at(address)
        return affected

    def _claims_for(self, key: str) -> dict[str, Claim]:
        peer = self._peers.get(key)
        return {} if peer is None else peer.claims

    def _claimed_addresses(self, name: str) -> set[str]:
        claims = self._claims_for(name).items()
        nodes = [claim.node for source, claim in claims if source != EXCHANGE]
        return {node.address for node in nodes if node.address}

    def _change(self, key: str, reason: Reason, fresh: bool) -> Change | None:
        node, peer = self._merged(key), self._peers[key]
        before = peer.known
        if peer.set_aside is not None:
            return self._update_mirror(peer, node, reason)
        peer.known = node
        if node is not None:
            return Change(key, node, before, reason, fresh) if fresh or node != before else None
        if before is None:
            return None
        return Change(key, None, before, Reason.REPLACED if peer.claims else reason, False)

    def _update_mirror(self, peer: Peer, node: Node | None, reason: Reason) -> Change | None:
        """Update a node that is set aside: it stays so, or is forgotten."""
        before, peer.known = peer.known, None
        if node == peer.set_aside and before is None:
            return None
        peer.set_aside = node
        return Change(peer.key, None, before, reason, False)

    def _merged(self, key: str) -> Node | None:
        if is_bare(key):
            keys, name = [] if self._book.name_at(key) else [key], None
        else:
            keys, name = [key, *(self._book.addresses_of(key) if self._has_bare else ())], key
        claims = [pair for each in keys for pair in self._claims_for(each).items()]
        return merge([(source, claim.node) for source, claim in claims], name)
