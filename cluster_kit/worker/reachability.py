"""Whether other machines can reach this node at the address where it serves or that it advertises.

``cluster-kit doctor`` asks before anything runs; a worker warns once it serves.
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
MAX_RESOLVED = 64  # hosts of discovered nodes

_ASKED = "where this node serves"
_NOT_OURS = "no interface of this machine has that address: correct the host in the node's name"
_NO_NAME = "correct the host in the node's name, or give it an address in DNS or /etc/hosts"
_UNSEEN = (
    "the discovered nodes are on other machines, which can't reach this address: use one that they "
    "can reach in this node's name (in Kubernetes: node: name@${POD_IP})"
)
_NAME_OF_LOOPBACK = (
    "other machines can't reach this address: use one that they can reach in the node's name, or "
    "correct /etc/hosts"
)
_MAKE_SURE = "make sure that it resolves to another address on other machines, or set advertise"


async def diagnose_reachability(
    network: Network, serves_on: str | None, found: Iterable[Node], *, advertised: str | None = None
) -> Finding | None:
    """Return what is wrong with where this node would serve, if anything is.

    Args:
        network: The network of this machine.
        serves_on: The host that the connector listens on.
        found: The nodes that were discovered.
        advertised: The host that others are told to dial.
    """
    if serves_on is not None and (finding := await _diagnose_serving(network, serves_on, found)):
        return finding
    if advertised is None:
        return None
    problem = await _loopback_problem(network, advertised, advertised)
    if problem is None:
        return None
    cause = _NAME_OF_LOOPBACK if await _is_only_here(network, serves_on) else _MAKE_SURE
    return Finding(asked=_ASKED, got=problem, cause=cause)


async def _diagnose_serving(
    network: Network, serves_on: str, found: Iterable[Node]
) -> Finding | None:
    try:
        async with asyncio.timeout(RESOLVE_S):
            addresses = await network.resolve(serves_on)
    except TimeoutError:
        return _failed(f"{serves_on!r}: no answer within {RESOLVE_S:g} s", _NO_NAME)
    except NetworkError as exc:
        return _failed(f"{serves_on!r}: {exc}", _NO_NAME)
    if not any(map(network.has_address, addresses)):
        return _failed(serves_on, _NOT_OURS)
    if not _all_loopback(addresses):
        return None
    got = f"{_shown(serves_on, addresses)}, on this machine only"
    hosts = sorted({parts[0] for node in found if (parts := host_and_port(node.address))})
    if await _any_elsewhere(network, hosts):
        return _failed(got, _UNSEEN)
    if is_loopback(serves_on):
        return None
    outcome = Outcome.OK if hosts else Outcome.EMPTY  # others on this machine do reach it
    return Finding(asked=_ASKED, got=got, outcome=outcome, cause=_NAME_OF_LOOPBACK)


async def warn_if_loopback(network: Network, advertised: str, serves_on: str | None) -> None:
    """Log that the advertised host resolves to loopback, as Debian makes a machine's own name do.

    Args:
        network: The network of this machine.
        advertised: The address that others are told to dial.
        serves_on: The host that the connector listens on.
    """
    parts = host_and_port(advertised)
    problem = await _loopback_problem(network, parts[0], advertised) if parts else None
    if problem is None:
        return
    if await _is_only_here(network, serves_on):
        log.warning("%s, where this node listens: %s", problem, _NAME_OF_LOOPBACK)
    else:
        log.info("%s: %s", problem, _MAKE_SURE)


async def _loopback_problem(network: Network, host: str, advertised: str) -> str | None:
    """Return what to say about a name that resolves to loopback; None for any other host."""
    if is_loopback(host) or not _all_loopback(addresses := await _resolve(network, host)):
        return None
    return f"others are told to dial {advertised}, and {_shown(host, addresses)} on this machine"


async def _is_only_here(network: Network, serves_on: str | None) -> bool:
    return serves_on is not None and _all_loopback(await _resolve(network, serves_on))


async def _any_elsewhere(network: Network, hosts: list[str]) -> bool:
    """Return whether any host is known to be another machine; some may not resolve."""
    resolved = await asyncio.gather(*(_resolve(network, host) for host in hosts[:MAX_RESOLVED]))
    return any(
        not is_loopback(address) and not network.has_address(address)
        for addresses in resolved
        for address in addresses
    )


async def _resolve(network: Network, host: str) -> Sequence[str]:
    try:
        async with asyncio.timeout(RESOLVE_S):
            return await network.resolve(host)
    except (TimeoutError, NetworkError):
        return ()


def _all_loopback(addresses: Sequence[str]) -> bool:
    return bool(addresses) and all(map(is_loopback, addresses))


def _shown(host: str, addresses: Sequence[str]) -> str:
    """Return the host, with its address if it is a name."""
    address = addresses[0]
    return host if host == address or is_loopback(host) else f"{host} is {address}"


def _failed(got: str, cause: str) -> Finding:
    return Finding(asked=_ASKED, got=got, outcome=Outcome.FAILED, cause=cause)
