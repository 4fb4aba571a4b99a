"""Which named node answers at an address that a source gave without a name.

A link proves it. Without that proof, a source that gives a name and an address together is
believed.
"""

from __future__ import annotations

from cluster_kit.membership.peer import Peers


def is_bare(key: str) -> bool:
    """Whether ``key`` is an address without a name."""
    return "@" not in key


class AddressBook:
    """Relates addresses to names in both directions; the records of the peers hold the pairs."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        # the inverse of ``Peer.claimed_addresses``; nearly always one name at each
        self._claimed_names: dict[str, tuple[str, ...]] = {}

    def name_at(self, address: str) -> str | None:
        """Return the name of the node that answers at ``address``; ``None`` if it is unknown."""
        claimed = self._claimed_names.get(address, ())
        return self._proven_name(address) or min(claimed, default=None)

    def keys_at(self, address: str) -> set[str]:
        """Return every key by which the node at ``address`` may be known."""
        keys = {address, *self._claimed_names.get(address, ())}
        if proven := self._proven_name(address):
            keys.add(proven)
        return keys

    def addresses_of(self, name: str) -> list[str]:
        """Return the addresses at which ``name`` is the one that answers."""
        peer = self._peers.get(name)
        possible = {*peer.proven_addresses, *peer.claimed_addresses} if peer else ()
        return sorted(address for address in possible if self.name_at(address) == name)

    def set_claimed(self, name: str, addresses: set[str]) -> set[str]:
        """Record all addresses that sources now claim for ``name``; return those that changed."""
        peer = self._peers.get(name)
        changed = addresses.symmetric_difference(peer.claimed_addresses if peer else ())
        if changed:
            self._peers[name].claimed_addresses = tuple(addresses)
        for address in changed:
            names = self._claimed_names.pop(address, ())
            if address in addresses:
                self._claimed_names[address] = (*names, name)
            elif others := tuple(each for each in names if each != name):
                self._claimed_names[address] = others
        return changed

    def set_proven(self, address: str, name: str) -> set[str]:
        """Record that ``name`` answered at ``address``; return the keys that this may affect."""
        if self._proven_name(address) == name:
            return set()
        affected = self.discard_proof(address)
        self._peers[address].answered_by = name
        self._peers[name].proven_addresses += (address,)
        return affected | {name}

    def discard_proof(self, address: str) -> set[str]:
        """Forget who answered at ``address``; return the keys that this may affect."""
        affected = self.keys_at(address)
        name = self._proven_name(address)
        if name is not None:
            self._peers[address].answered_by = None
            peer = self._peers[name]
            peer.proven_addresses = tuple(each for each in peer.proven_addresses if each != address)
        return affected

    def _proven_name(self, address: str) -> str | None:
        peer = self._peers.get(address)
        return None if peer is None else peer.answered_by
