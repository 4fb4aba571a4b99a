"""Strategy ``static``: the nodes that the configuration lists, and no others.

The answer is complete and never changes, so it is given once. A list that holds this node, too, is fine: the same
configuration serves all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cluster_kit.abc import Discovery, Found, Observation, Strategy
from cluster_kit.errors import raise_all
from cluster_kit.host import ip_of
from cluster_kit.node import Node, join_address, split_address

if TYPE_CHECKING:
    from cluster_kit.diagnosis import Finding

FORM = "name@host:port or host:port"
RESOLVE_S = 10.0  # as long as the system itself tries one name server
MAX_RESOLVED = 64  # hosts; who is told that so many have an address needs to ask for no more
_NO_RESOLVER = (
    "its name server doesn't answer; see /etc/resolv.conf, and whether that is reached from here"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticStrategy(Strategy):
    """Vouches for a fixed list of nodes.

    Args:
        nodes: Each as ``name@host:port``, or ``host:port`` where the name is to be learnt from the node itself. An address with
            a ``/`` is taken as it is, for a connector that understands it.
    """

    nodes: tuple[str, ...]

    partial: ClassVar[bool] = True

    def __post_init__(self) -> None:
        raise_all(_faults(self.nodes))

    async def discover(self, ctx: Discovery) -> AsyncIterator[Observation]:
        """Tell the list."""
        yield Found(map(parse_node, self.nodes))

    async def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Tell who in the list is somebody else, and which of their hosts have an address."""
        async for finding in examine(list(map(parse_node, self.nodes)), ctx.local):
            yield finding


async def examine(nodes: Collection[Node], local: Node) -> AsyncIterator[Finding]:
    """Tell who of ``nodes``, which a list names, is not ``local``, and which of their hosts have an address."""
    import asyncio

    from cluster_kit.diagnosis import Finding, Outcome

    others = [
        node for node in nodes if not (node.name == local.name or node.address == local.address)
    ]
    got = f"{len(nodes)} in all, {len(others)} of them not this one"
    if others:
        yield Finding(asked="nodes in its list", got=got)
    else:
        cause = "the list names nobody but this node; add the others"
        yield Finding(asked="nodes in its list", got=got, outcome=Outcome.EMPTY, cause=cause)
    names = sorted({node.host for node in others if node.host and ip_of(node.host) is None})
    for finding in await asyncio.gather(*map(_look_up, names[:MAX_RESOLVED])):
        yield finding


async def _look_up(host: str) -> Finding:
    import asyncio
    import socket

    from cluster_kit.diagnosis import Finding, Outcome
    from cluster_kit.resolving import resolve

    asked = f"address of {host!r}"
    cause = "correct the host, or give it an address in DNS or /etc/hosts"
    try:
        async with asyncio.timeout(RESOLVE_S):
            found = await resolve(host)
        return Finding(
            asked=asked, got=", ".join(sorted({str(sockaddr[0]) for *_, sockaddr in found}))
        )
    except TimeoutError:
        got, cause = f"no answer within {RESOLVE_S:g} s", _NO_RESOLVER
    except OSError as exc:
        got = (exc.strerror or str(exc)).lower()
        cause = _NO_RESOLVER if exc.errno == socket.EAI_AGAIN else cause
    return Finding(asked=asked, got=got, outcome=Outcome.FAILED, cause=cause)


def _faults(entries: Iterable[str]) -> Iterator[str]:
    taken: dict[str, str] = {}
    for entry in entries:
        try:
            node = parse_node(entry)
        except ValueError as exc:
            yield f"nodes: cannot use {entry!r}: expected {FORM}; {exc}"
            continue
        for identity in identities(node):
            if identity in taken:
                yield f"nodes: {entry!r} and {taken[identity]!r} are both {identity!r}: list each node once"
            taken[identity] = entry


def identities(node: Node) -> tuple[str, ...]:
    """Return the name and address of a node in a list; no other node in it has one of them."""
    return tuple(filter(None, (node.name, node.address)))


def parse_node(entry: str) -> Node:
    """Return the node that ``entry`` names: ``name@host:port``, ``host:port``, or an address of another form with a ``/``.

    Raises:
        ValueError: It is of neither form.
    """
    if "," in entry:
        raise ValueError(
            "commas separate nodes only where one text is the whole list, as in nodes: ${SEEDS}"
        )
    if "/" in entry and "@" not in entry:
        return Node(address=entry)
    basename, at, address = entry.rpartition("@")
    host, port = split_address(address)
    if port == 0:
        raise ValueError("port 0 cannot be dialled")
    return Node(name=f"{basename}@{host}" if at else None, address=join_address(host, port))
