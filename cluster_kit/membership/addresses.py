"""Which named node answers at an address that a source told without a name.

A link is proof. Failing that, a source that tells name and address together is believed.
"""

from __future__ import annotations

from cluster_kit.membership.peer import Peers


def is_bare(key: str) -> bool:
    """Whether ``key`` is that of a node of which only the address is known."""
    return "@" not in key


class AddressBook:
    """Relates the addresses in the peers' records to their names, in both directions."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._names_at: dict[str, tuple[str, ...]] = {}  # by ``Peer.addresses``; nearly always one

    def name_at(self, address: str) -> str | None:
        """Return who answers at ``address``, where that is known."""
        return self._proven_at(address) or min(self._names_at.get(address, ()), default=None)

    def keys_at(self, address: str) -> set[str]:
        """Return every key that the node at ``address`` may have."""
        proven = self._proven_at(address)
        return {address, *self._names_at.get(address, ()), *((proven,) if proven else ())}

    def addresses_of(self, name: str) -> list[str]:
        """Return the addresses at which ``name`` is the one that answers."""
        peer = self._peers.get(name)
        possible = {*peer.proven_addresses, *peer.addresses} if peer else ()
        return sorted(address for address in possible if self.name_at(address) == name)

    def tell(self, name: str, addresses: set[str]) -> set[str]:
        """Note the addresses that sources tell for ``name`` now; return those that have changed."""
        peer = self._peers.get(name)
        changed = addresses.symmetric_difference(peer.addresses if peer else ())
        if changed:
            self._peers[name].addresses = tuple(addresses)
        for address in changed:
            names = self._names_at.pop(address, ())
            if address in addresses:
                self._names_at[address] = (*names, name)
            elif left := tuple(each for each in names if each != name):
                self._names_at[address] = left
        return changed

    def learn(self, address: str, name: str) -> set[str]:
        """Note that ``name`` answered at ``address``; return the keys that this may concern."""
        if self._proven_at(address) == name:
            return set()
        before = self.unlearn(address)
        self._peers[address].answered_by = name
        self._peers[name].proven_addresses += (address,)
        return before | {name}

    def unlearn(self, address: str) -> set[str]:
        """Forget who answered at ``address``; return the keys that this may concern."""
        before = self.keys_at(address)
        name = self._proven_at(address)
        if name is not None:
            self._peers[address].answered_by = None
            peer = self._peers[name]
            peer.proven_addresses = tuple(each for each in peer.proven_addresses if each != address)
        return before

    def _proven_at(self, address: str) -> str | None:
        peer = self._peers.get(address)
        return None if peer is None else peer.answered_by
