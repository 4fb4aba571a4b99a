"""Where this node serves: others look for it there, and ``cluster-kit doctor`` looks at others from
there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.errors import NetworkError
from cluster_kit.host import is_loopback
from cluster_kit.network import Network
from cluster_kit.node import Node, host_and_port

log = logging.getLogger("cluster_kit.worker")

RESOLVE_S = 10.0  # as long as the system itself tries one name server
MAX_LOOKED_UP = 64  # hosts of nodes that are found
_ASKED = "where this node serves"
_NOT_OURS = "no interface of this machine has that address: correct the host in the node's name"
_NO_NAME = "correct the host in the node's name, or give it an address in DNS or /etc/hosts"
_UNSEEN = (
    "the nodes that are found are on other machines, and can't reach this one there: name it by an "
    "address that they reach "
    "(in Kubernetes: node: name@${POD_IP})"
)
_NAME_OF_LOOPBACK = (
    "other machines can't reach it there: name the node by an address that they reach, or correct "
    "/etc/hosts"
)
_MAKE_SURE = "make sure that it has another address elsewhere, or set advertise"


async def standpoint(
    network: Network, serves_on: str | None, found: Iterable[Node], *, announced: str | None = None
) -> Finding | None:
    """Return what is wrong with where this node serves, if anything is.

    Args:
        network: Of this machine.
        serves_on: The host that the connector listens on.
        found: The nodes that were discovered.
        announced: The host that others are told to dial.
    """
    return await _look_at(network, serves_on, found) or await _look_at_announced(
        network, announced, serves_on
    )


async def _look_at(
    network: Network, serves_on: str | None, found: Iterable[Node]
) -> Finding | None:
    if serves_on is None:
        return None
    try:
        async with asyncio.timeout(RESOLVE_S):
            addresses = await network.resolve(serves_on)
    except TimeoutError:
        return _failed(f"{serves_on!r}: no answer within {RESOLVE_S:g} s", _NO_NAME)
    except NetworkError as exc:
        return _failed(f"{serves_on!r}: {exc}", _NO_NAME)
    if not any(map(network.has_address, addresses)):
        return _failed(serves_on, _NOT_OURS)
    hosts = sorted({parts[0] for node in found if (parts := host_and_port(node.address))})
    if not _all_loopback(addresses):
        return None
    if await _any_elsewhere(network, hosts):
        return _failed(f"{_shown(serves_on, addresses)}, on this machine only", _UNSEEN)
    if is_loopback(serves_on):
        return None
    got = f"{_shown(serves_on, addresses)}, on this machine only"
    outcome = Outcome.OK if hosts else Outcome.EMPTY  # others on this machine reach it
    return Finding(asked=_ASKED, got=got, outcome=outcome, cause=_NAME_OF_LOOPBACK)


async def warn_of_loopback(network: Network, told: str, serves_on: str | None) -> None:
    """Log that the host that others are told to dial stands for loopback, as Debian's own name
    does.

    Args:
        network: Of this machine.
        told: The address that others are told.
        serves_on: The host that the connector listens on.
    """
    parts = host_and_port(told)
    here = await _loopback_of(network, parts[0], told) if parts else None
    if here is None:
        return
    if await _is_here_only(network, serves_on):
        log.warning("%s, where this node listens: %s", here, _NAME_OF_LOOPBACK)
    else:
        log.info("%s: %s", here, _MAKE_SURE)


async def _look_at_announced(
    network: Network, host: str | None, serves_on: str | None
) -> Finding | None:
    here = await _loopback_of(network, host, host) if host is not None else None
    if here is None:
        return None
    cause = _NAME_OF_LOOPBACK if await _is_here_only(network, serves_on) else _MAKE_SURE
    return Finding(asked=_ASKED, got=here, cause=cause)


async def _loopback_of(network: Network, host: str, told: str) -> str | None:
    """Return what to say of a name that stands for loopback; None of any other host."""
    if is_loopback(host) or not _all_loopback(addresses := await _look_up(network, host)):
        return None
    return f"others are told to dial {told}, and {_shown(host, addresses)} on this machine"


async def _is_here_only(network: Network, serves_on: str | None) -> bool:
    return serves_on is not None and _all_loopback(await _look_up(network, serves_on))


async def _any_elsewhere(network: Network, hosts: list[str]) -> bool:
    """Return whether any host is another machine, as far as that is known: some may not resolve."""
    found = await asyncio.gather(*(_look_up(network, host) for host in hosts[:MAX_LOOKED_UP]))
    return any(
        not is_loopback(address) and not network.has_address(address)
        for addresses in found
        for address in addresses
    )


async def _look_up(network: Network, host: str) -> Sequence[str]:
    try:
        async with asyncio.timeout(RESOLVE_S):
            return await network.resolve(host)
    except (TimeoutError, NetworkError):
        return ()


def _all_loopback(addresses: Sequence[str]) -> bool:
    return bool(addresses) and all(map(is_loopback, addresses))


def _shown(host: str, addresses: Sequence[str]) -> str:
    """Return the host, and which address that is where it is a name."""
    address = addresses[0]
    return host if host == address or is_loopback(host) else f"{host} is {address}"


def _failed(got: str, cause: str) -> Finding:
    return Finding(asked=_ASKED, got=got, outcome=Outcome.FAILED, cause=cause)
