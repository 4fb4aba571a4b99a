"""Strategy ``static``: the nodes that the configuration lists, and no others.

The answer is complete and never changes, so it is given once. A list that holds this node, too, is fine: the same
configuration serves all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass

from cluster_kit.abc import Discovery, Found, Observation, Strategy
from cluster_kit.errors import raise_all
from cluster_kit.node import Node, join_address, split_address


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticStrategy(Strategy):
    """Vouches for a fixed list of nodes.

    Args:
        nodes: Each as ``name@host:port``, or ``host:port`` where the name is to be learnt from the node itself.
    """

    nodes: tuple[str, ...]

    def __post_init__(self) -> None:
        raise_all(_faults(self.nodes))

    async def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Tell the list."""
        yield Found(map(_parse, self.nodes))


def _faults(entries: Iterable[str]) -> Iterator[str]:
    taken: dict[str, str] = {}
    for entry in entries:
        try:
            node = _parse(entry)
        except ValueError as exc:
            yield f"nodes: cannot use {entry!r}: expected name@host:port or host:port; {exc}"
            continue
        for identity in filter(None, (node.name, node.address)):
            if identity in taken:
                yield f"nodes: {entry!r} and {taken[identity]!r} are both {identity!r}: list each node once"
            taken[identity] = entry


def _parse(entry: str) -> Node:
    basename, at, address = entry.rpartition("@")
    host, port = split_address(address)
    if port == 0:
        raise ValueError("port 0 cannot be dialled")
    return Node(name=f"{basename}@{host}" if at else None, address=join_address(host, port))
