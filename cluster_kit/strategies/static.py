"""Strategy ``static``: the nodes that the configuration lists, and no others.

The answer is complete and never changes, so it is given once. A list that holds this node, too, is fine: the same
configuration serves all.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster_kit.abc import Discovery, Found, Observation, Strategy
from cluster_kit.errors import raise_all
from cluster_kit.node import Node, join_address, split_address

if TYPE_CHECKING:
    from cluster_kit.diagnosis import Finding

RESOLVE_S = 10.0  # as long as the system itself tries one name server
_NO_RESOLVER = "its name server doesn't answer; see /etc/resolv.conf, and whether that is reached from here"


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

    async def diagnose(self, ctx: Discovery) -> AsyncIterator[Finding]:
        """Tell who in the list is somebody else, and which of their hosts have an address."""
        import asyncio

        from cluster_kit.diagnosis import Finding, Outcome

        nodes = list(map(_parse, self.nodes))
        others = [node for node in nodes if not (node.name == ctx.local.name or node.address == ctx.local.address)]
        got = f"{len(nodes)} in all, {len(others)} of them not this one"
        if others:
            yield Finding(asked="nodes in its list", got=got)
        else:
            cause = "the list names nobody but this node; add the others"
            yield Finding(asked="nodes in its list", got=got, outcome=Outcome.EMPTY, cause=cause)
        names = sorted({node.host for node in others if not _is_ip(node.host)})
        for finding in await asyncio.gather(*map(_look_up, names)):
            yield finding


async def _look_up(host: str) -> Finding:
    import asyncio
    import socket

    from cluster_kit.diagnosis import Finding, Outcome

    asked = f"address of {host!r}"
    cause = "correct the host, or give it an address in DNS or /etc/hosts"
    try:
        async with asyncio.timeout(RESOLVE_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return Finding(asked=asked, got=", ".join(sorted({str(sockaddr[0]) for *_, sockaddr in found})))
    except TimeoutError:
        got, cause = f"no answer within {RESOLVE_S:g} s", _NO_RESOLVER
    except UnicodeError:
        got = "not a host name"
    except OSError as exc:
        got = (exc.strerror or str(exc)).lower()
        cause = _NO_RESOLVER if exc.errno == socket.EAI_AGAIN else cause
    return Finding(asked=asked, got=got, outcome=Outcome.FAILED, cause=cause)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


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
