"""Strategy ``static``: the nodes that the configuration lists, and no others.

The answer is complete and never changes, so it is given once. A list may contain this node, so that
the same configuration serves all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cluster_kit.abc import Discovery, Found, Observation, Strategy
from cluster_kit.errors import cause_of, raise_all
from cluster_kit.fault import Fault
from cluster_kit.host import ip_of
from cluster_kit.node import Node, join_address, split_address

if TYPE_CHECKING:
    from cluster_kit.diagnosis import Finding

FORM = "name@host:port or host:port"
RESOLVE_S = 10.0  # as long as the system tries one name server
MAX_RESOLVED = 64  # hosts; more findings would add nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticStrategy(Strategy):
    """Vouches for a fixed list of nodes.

    Args:
        nodes: Each as ``name@host:port``, or ``host:port`` if the node introduces itself. An
            address with a ``/`` is kept as it is, for a connector that understands it.
    """

    nodes: tuple[str, ...]

    partial: ClassVar[bool] = True

    def __post_init__(self) -> None:
        raise_all(_faults(self.nodes))

    async def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Yield the list."""
        yield Found(map(parse_node, self.nodes))

    async def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Report how many nodes are others, and the addresses of their hosts."""
        async for finding in examine(list(map(parse_node, self.nodes)), ctx.local):
            yield finding


async def examine(nodes: Collection[Node], local: Node) -> AsyncIterator[Finding]:
    """Report how many of the listed nodes are not ``local``, and the addresses of their hosts."""
    import asyncio

    from cluster_kit.diagnosis import Finding, empty

    others = [each for each in nodes if each.name != local.name and each.address != local.address]
    got = f"{len(nodes)} in all, {len(others)} of them not this one"
    if others:
        yield Finding(asked="nodes in its list", got=got)
    else:
        cause = "the list contains only this node; add the others"
        yield empty("nodes in its list", got, cause)
    names = sorted({node.host for node in others if node.host and ip_of(node.host) is None})
    for finding in await asyncio.gather(*map(_look_up, names[:MAX_RESOLVED])):
        yield finding


async def _look_up(host: str) -> Finding:
    import asyncio

    from cluster_kit.diagnosis import Finding, failed
    from cluster_kit.resolving import addresses_of, cure_of, resolve

    asked = f"address of {host!r}"
    try:
        async with asyncio.timeout(RESOLVE_S):
            found = await resolve(host)
        return Finding(asked=asked, got=", ".join(sorted(addresses_of(found))))
    except TimeoutError as exc:
        return failed(asked, f"no answer within {RESOLVE_S:g} s", cure_of(exc))
    except OSError as exc:
        return failed(asked, cause_of(exc), cure_of(exc))


def _faults(entries: Iterable[str]) -> Iterator[Fault]:
    taken: dict[str, str] = {}
    for index, entry in enumerate(entries):
        where = ("nodes", index)
        try:
            node = parse_node(entry)
        except ValueError as exc:
            yield Fault(where, f"cannot use {entry!r}: expected {FORM}; {exc}")
            continue
        for identity in identities(node):
            if identity in taken:
                what = f"{entry!r} and {taken[identity]!r} are both {identity!r}"
                yield Fault(where, what, "list each node once")
            taken[identity] = entry


def identities(node: Node) -> tuple[str, ...]:
    """Return the name and address of a listed node, which no other node may share."""
    return tuple(filter(None, (node.name, node.address)))


def parse_node(entry: str) -> Node:
    """Return the node of ``entry``: ``name@host:port``, ``host:port``, or an address with a ``/``.

    Raises:
        ValueError: It has none of these forms.
    """
    if "," in entry:
        only = "where one text is the whole list, as in nodes: ${SEEDS}"
        raise ValueError(f"commas separate nodes only {only}")
    if "/" in entry and "@" not in entry:
        return Node(address=entry)
    basename, at, address = entry.rpartition("@")
    host, port = split_address(address)
    if port == 0:
        raise ValueError("port 0 cannot be dialled")
    return Node(name=f"{basename}@{host}" if at else None, address=join_address(host, port))
