"""Where this node serves: others look for it there, and ``cluster-kit doctor`` looks at others from there."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Iterable

from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.errors import cause_of
from cluster_kit.host import is_loopback
from cluster_kit.node import Node, split_address
from cluster_kit.resolving import Addresses, resolve

log = logging.getLogger("cluster_kit.worker")

RESOLVE_S = 10.0  # as long as the system itself tries one name server
MAX_LOOKED_UP = 64  # hosts of nodes that are found
_ASKED = "where this node serves"
_NOT_OURS = "no interface of this machine has that address: correct the host in the node's name"
_NO_NAME = "correct the host in the node's name, or give it an address in DNS or /etc/hosts"
_UNSEEN = (
    "the nodes that are found are on other machines, and can't reach this one there: name it by an address that they reach "
    "(in Kubernetes: node: name@${POD_IP})"
)
_NAME_OF_LOOPBACK = "other machines can't reach it there: name the node by an address that they reach, or correct /etc/hosts"
_MAKE_SURE = "make sure that it has another address elsewhere, or set advertise"


async def standpoint(serves_on: str | None, found: Iterable[Node], *, announced: str | None = None) -> Finding | None:
    """Return what is wrong with where this node serves, if anything is.

    Args:
        serves_on: The host that the connector listens on.
        found: The nodes that were discovered.
        announced: The host that others are told to dial.
    """
    return await _look_at(serves_on, found) or await _look_at_announced(announced, serves_on)


async def _look_at(serves_on: str | None, found: Iterable[Node]) -> Finding | None:
    if serves_on is None:
        return None
    try:
        async with asyncio.timeout(RESOLVE_S):
            addresses = await resolve(serves_on)
    except TimeoutError:
        return _failed(f"{serves_on!r}: no answer within {RESOLVE_S:g} s", _NO_NAME)
    except OSError as exc:
        return _failed(f"{serves_on!r}: {cause_of(exc)}", _NO_NAME)
    if not any(_is_ours(family, sockaddr) for family, _, _, _, sockaddr in addresses):
        return _failed(serves_on, _NOT_OURS)
    hosts = sorted({split_address(node.address)[0] for node in found if node.address})
    if not _all_loopback(addresses):
        return None
    if await _any_elsewhere(hosts):
        return _failed(f"{_shown(serves_on, addresses)}, on this machine only", _UNSEEN)
    if is_loopback(serves_on):
        return None
    got = f"{_shown(serves_on, addresses)}, on this machine only"
    outcome = Outcome.OK if hosts else Outcome.EMPTY  # others on this machine reach it
    return Finding(asked=_ASKED, got=got, outcome=outcome, cause=_NAME_OF_LOOPBACK)


async def warn_of_loopback(told: str, serves_on: str | None) -> None:
    """Log that the host that others are told to dial stands for loopback, as Debian's own name does.

    Args:
        told: The address that others are told.
        serves_on: The host that the connector listens on.
    """
    host, _ = split_address(told)
    here = await _loopback_of(host, told)
    if here is None:
        return
    if await _is_here_only(serves_on):
        log.warning("%s, where this node listens: %s", here, _NAME_OF_LOOPBACK)
    else:
        log.info("%s: %s", here, _MAKE_SURE)


async def _look_at_announced(host: str | None, serves_on: str | None) -> Finding | None:
    here = await _loopback_of(host, host) if host is not None else None
    if here is None:
        return None
    cause = _NAME_OF_LOOPBACK if await _is_here_only(serves_on) else _MAKE_SURE
    return Finding(asked=_ASKED, got=here, cause=cause)


async def _loopback_of(host: str, told: str) -> str | None:
    """Return what to say of a name that stands for loopback; None of any other host."""
    if is_loopback(host) or not _all_loopback(addresses := await _look_up(host)):
        return None
    return f"others are told to dial {told}, and {_shown(host, addresses)} on this machine"


async def _is_here_only(serves_on: str | None) -> bool:
    return serves_on is not None and _all_loopback(await _look_up(serves_on))


async def _any_elsewhere(hosts: list[str]) -> bool:
    """Return whether any host is another machine, as far as that is known: some may not resolve."""
    found = await asyncio.gather(*map(_look_up, hosts[:MAX_LOOKED_UP]))
    return any(
        not is_loopback(str(sockaddr[0])) and not _is_ours(family, sockaddr)
        for addresses in found
        for family, _, _, _, sockaddr in addresses
    )


async def _look_up(host: str) -> Addresses:
    try:
        async with asyncio.timeout(RESOLVE_S):
            return await resolve(host)
    except OSError:  # TimeoutError is one
        return ()


def _all_loopback(addresses: Addresses) -> bool:
    return bool(addresses) and all(is_loopback(str(sockaddr[0])) for *_, sockaddr in addresses)


def _shown(host: str, addresses: Addresses) -> str:
    """Return the host, and which address that is where it is a name."""
    address = str(addresses[0][-1][0])
    return host if host == address or is_loopback(host) else f"{host} is {address}"


def _is_ours(family: int, sockaddr: tuple[object, ...]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        try:
            sock.bind((sockaddr[0], 0, *sockaddr[2:]))
        except OSError as exc:
            return exc.errno != errno.EADDRNOTAVAIL
    return True


def _failed(got: str, cause: str) -> Finding:
    return Finding(asked=_ASKED, got=got, outcome=Outcome.FAILED, cause=cause)
