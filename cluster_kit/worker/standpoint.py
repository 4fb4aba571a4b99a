"""Where this node would serve, for ``cluster-kit doctor``: others look for it there, and it looks at others from there."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterable

from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.host import is_loopback
from cluster_kit.node import Node, split_address
from cluster_kit.resolving import resolve

RESOLVE_S = 10.0  # as long as the system itself tries one name server
_ASKED = "where this node serves"
_NOT_OURS = "no interface of this machine has that address: correct the host in the node's name"
_NO_NAME = "correct the host in the node's name, or give it an address in DNS or /etc/hosts"
_UNSEEN = (
    "the nodes that are found are on other machines, and can't reach this one there: name it by an address that they reach "
    "(in Kubernetes: node: name@${POD_IP})"
)


async def standpoint(serves_on: str | None, found: Iterable[Node]) -> Finding | None:
    """Return what is wrong with ``serves_on``, the host that the connector listens on, if anything is."""
    if serves_on is None:
        return None
    try:
        async with asyncio.timeout(RESOLVE_S):
            addresses = await resolve(serves_on)
    except TimeoutError:
        return _failed(f"{serves_on!r}: no answer within {RESOLVE_S:g} s", _NO_NAME)
    except OSError as exc:
        return _failed(f"{serves_on!r}: {(exc.strerror or str(exc)).lower()}", _NO_NAME)
    if not any(_is_ours(family, sockaddr) for family, _, _, _, sockaddr in addresses):
        return _failed(serves_on, _NOT_OURS)
    elsewhere = [node for node in found if node.address and not is_loopback(split_address(node.address)[0])]
    if elsewhere and all(is_loopback(str(sockaddr[0])) for *_, sockaddr in addresses):
        return _failed(f"{serves_on}, on this machine only", _UNSEEN)
    return None


def _is_ours(family: int, sockaddr: tuple[object, ...]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        try:
            sock.bind((sockaddr[0], 0, *sockaddr[2:]))
        except OSError as exc:
            return exc.errno != errno.EADDRNOTAVAIL
    return True


def _failed(got: str, cause: str) -> Finding:
    return Finding(asked=_ASKED, got=got, outcome=Outcome.FAILED, cause=cause)
