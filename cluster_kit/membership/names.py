"""Which named node answers at an address that a source told without a name.

A link is proof. Failing that, a source that tells name and address together is believed.
"""

from __future__ import annotations


def is_bare(key: str) -> bool:
    """Whether ``key`` is that of a node of which only the address is known."""
    return "@" not in key


_Relation = dict[str, tuple[str, ...]]  # nearly always to one other, for which a set would take four times the memory


class Names:
    """Maps addresses to names, in both directions."""

    def __init__(self) -> None:
        self._learnt: dict[str, str] = {}  # address -> name, from links
        self._learnt_of: _Relation = {}
        self._told_of: _Relation = {}  # name -> addresses, from sources
        self._told: _Relation = {}

    def name_at(self, address: str) -> str | None:
        """Return who answers at ``address``, where that is known."""
        return self._learnt.get(address) or min(self._told.get(address, ()), default=None)

    def keys_at(self, address: str) -> set[str]:
        """Return every key that the node at ``address`` may have."""
        learnt = self._learnt.get(address)
        return {address, *self._told.get(address, ()), *((learnt,) if learnt else ())}

    def addresses_of(self, name: str) -> list[str]:
        """Return the addresses at which ``name`` is the one that answers."""
        possible = {*self._learnt_of.get(name, ()), *self._told_of.get(name, ())}
        return sorted(address for address in possible if self.name_at(address) == name)

    def tell(self, name: str, addresses: set[str]) -> set[str]:
        """Note the addresses that sources tell for ``name`` now; return those for which that is news."""
        changed = addresses.symmetric_difference(self._told_of.get(name, ()))
        for address in changed:
            relate = _link if address in addresses else _unlink
            relate(self._told_of, name, address)
            relate(self._told, address, name)
        return changed

    def learn(self, address: str, name: str) -> set[str]:
        """Note that ``name`` answered at ``address``; return the keys that this may concern."""
        if self._learnt.get(address) == name:
            return set()
        before = self.keys_at(address)
        self.unlearn(address)
        self._learnt[address] = name
        _link(self._learnt_of, name, address)
        return before | {name}

    def unlearn(self, address: str) -> set[str]:
        """Forget who answered at ``address``; return the keys that this may concern."""
        before = self.keys_at(address)
        name = self._learnt.pop(address, None)
        if name is not None:
            _unlink(self._learnt_of, name, address)
        return before


def _link(relation: _Relation, one: str, other: str) -> None:
    """Relate two that are not related yet."""
    relation[one] = (*relation[one], other) if one in relation else (other,)


def _unlink(relation: _Relation, one: str, other: str) -> None:
    left = tuple(each for each in relation[one] if each != other)
    if left:
        relation[one] = left
    else:
        del relation[one]
