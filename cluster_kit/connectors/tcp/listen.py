"""Where this node listens, and which address it advertises."""

from __future__ import annotations

from cluster_kit.errors import ConfigError, NetworkError, NetworkFault
from cluster_kit.host import canonical_host, is_unspecified
from cluster_kit.network import Endpoint, Listener, Network
from cluster_kit.node import Node, join_address, split_endpoint

_CAUSES = {  # why listening fails, and what to do about it
    NetworkFault.IN_USE: ("the port is in use", "choose another one, or 0 for any that is free"),
    NetworkFault.FORBIDDEN: (
        "no permission",
        "choose a port above 1023, or 0 for any that is free",
    ),
    NetworkFault.NOT_OURS: (
        "no interface of this machine has that address",
        "correct host, or listen on 0.0.0.0 and set advertise",
    ),
    NetworkFault.NO_SUCH_NAME: (
        "the host name does not resolve",
        "correct the host part of the node's name, or set host",
    ),
}


async def listen(network: Network, host: str, port: int) -> Listener:
    """Return a listener on the first address that ``host`` resolves to.

    Raises:
        ConfigError: That is not possible; the message says why, and what to do.
    """
    try:
        address, *_ = await network.resolve(host)
        return await network.listen(Endpoint(address, port))
    except NetworkError as exc:
        cause = "; ".join(_CAUSES.get(exc.fault, (str(exc), "set another host or port")))
        raise ConfigError(f"tcp: cannot listen on {join_address(host, port)!r}: {cause}") from exc


def announced_address(local: Node, host: str | None, port: int, advertise: str | None) -> str:
    """Return the address to announce: as advertised, else where we listen, else the name's host.

    Args:
        local: This node.
        host: The configured host to listen on.
        port: The port that is listened on.
        advertise: ``host`` or ``host:port`` as configured.

    Raises:
        ConfigError: Only an address that means every interface is left.
    """
    if advertise is not None:
        own_host, own_port = split_endpoint(advertise)
        return join_address(own_host, own_port or port)
    own_host = announced_host(local.host, host, advertise)
    if is_unspecified(own_host):
        cause = "it means every interface; set advertise to the address that others dial"
        raise ConfigError(f"tcp: cannot announce {own_host!r}: {cause}")
    return join_address(own_host, port)


def announced_host(own: str, host: str | None, advertise: str | None) -> str:
    """Return the host of that address; ``own`` is the host of this node's name."""
    if advertise is not None:
        return split_endpoint(advertise)[0]
    return own if host is None or is_unspecified(host) else canonical_host(host)
