"""Lets others in: where this node listens, what address it tells, how many connections of others it takes, and how fast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from cluster_kit.errors import ConfigError, NetworkError, NetworkFault
from cluster_kit.host import canonical_host, is_loopback, is_unspecified
from cluster_kit.network import Endpoint, Listener, Network
from cluster_kit.node import Node, join_address, split_endpoint

MAX_HALF_OPEN = 256  # some hundred nodes may dial a newcomer at once
MAX_HALF_OPEN_PER_HOST = 32  # one host can't take all places; processes of this machine share one address, so loopback may
KEY_EXCHANGES_PER_S = 20.0  # for one host, beyond the first ``MAX_HALF_OPEN_PER_HOST``: a fraction of a processor
MAX_HOSTS = 1024  # to remember; who comes slowly is forgotten at once

SPARE = 256  # streams for handshakes, dials, sources and plugins
LEAST = 16  # links, where hardly any streams are to be had at all
MAX_STRANGERS_PER_HOST = 64  # processes of this machine share one address, so loopback has all of the strangers' room

_CURES = {
    NetworkFault.IN_USE: "the port is in use; choose another one, or 0 for any that is free",
    NetworkFault.FORBIDDEN: "no permission; choose a port above 1023, or 0 for any that is free",
    NetworkFault.NOT_OURS: "no interface of this machine has that address; "
    "correct host, or listen on 0.0.0.0 and set advertise",
    NetworkFault.NO_SUCH_NAME: "the host name does not resolve; correct the host part of the node's name, or set host",
}


# -- where ---------------------------------------------------------------------------------------------------------------------


async def listen(network: Network, host: str, port: int) -> Listener:
    """Return a listener on the first address that ``host`` resolves to.

    Raises:
        ConfigError: That is not possible; says why and what to do.
    """
    try:
        address, *_ = await network.resolve(host)
        return await network.listen(Endpoint(address, port))
    except NetworkError as exc:
        cure = _CURES.get(exc.fault) or f"{exc}; set another host or port"
        raise ConfigError(f"tcp: cannot listen on {join_address(host, port)!r}: {cure}") from exc


def announced_address(local: Node, host: str | None, port: int, advertise: str | None) -> str:
    """Return the address to tell others: as advertised, else where we listen, else the host part of the name.

    Args:
        local: This node.
        host: The configured host to listen on.
        port: The port that is listened on.
        advertise: ``host`` or ``host:port`` as configured.

    Raises:
        ConfigError: Only an address that means every interface is left.
    """
    if advertise is not None:
        told_host, told_port = split_endpoint(advertise)
        return join_address(told_host, told_port or port)
    told_host = announced_host(local.host, host, advertise)
    if is_unspecified(told_host):
        raise ConfigError(
            f"tcp: cannot announce {told_host!r}: it means every interface; set advertise to the address that others dial"
        )
    return join_address(told_host, port)


def announced_host(own: str, host: str | None, advertise: str | None) -> str:
    """Return the host of the address to tell others; ``own`` is that of this node's name. Else as ``announced_address``."""
    if advertise is not None:
        return split_endpoint(advertise)[0]
    return own if host is None or is_unspecified(host) else canonical_host(host)


# -- how many ------------------------------------------------------------------------------------------------------------------


def max_links(most_streams: int) -> int:
    """Return how many links a process can have that can hold as many streams."""
    return max(LEAST, most_streams - SPARE)


class HalfOpen:
    """Counts accepted connections that aren't links yet, by number with the host that each came from, and bounds them."""

    def __init__(self) -> None:
        self._host_of: dict[int, str] = {}
        self._count: Counter[str] = Counter()

    def admit(self, conn: int, host: str) -> bool:
        """Count a new connection; False if it is one too many."""
        if len(self._host_of) >= MAX_HALF_OPEN or (self._count[host] >= MAX_HALF_OPEN_PER_HOST and not is_loopback(host)):
            return False
        self._host_of[conn] = host
        self._count[host] += 1
        return True

    def release(self, conn: int) -> None:
        """Count a connection no longer: it is a link now, or gone."""
        host = self._host_of.pop(conn, None)
        if host is not None:
            self._count[host] -= 1
            if not self._count[host]:
                del self._count[host]


class KeyExchanges:
    """Spreads the key exchanges that others make this node take part in: each costs it a signature, and them nothing. Pure.

    Source: the generic cell rate algorithm, ITU-T I.371, which is a token bucket that remembers one time for each host.
    """

    def __init__(self) -> None:
        self._even_s: dict[str, float] = {}  # when a host will have waited for all that it caused

    def wait_s(self, host: str, now_s: float) -> float:
        """Return how long a new connection from ``host`` must wait; all of the processes of this machine share one address."""
        share = MAX_HALF_OPEN / MAX_HALF_OPEN_PER_HOST if is_loopback(host) else 1.0
        each_s = 1.0 / (KEY_EXCHANGES_PER_S * share)
        if len(self._even_s) >= MAX_HOSTS:
            self._even_s = {each: even_s for each, even_s in self._even_s.items() if even_s > now_s}
        even_s = max(self._even_s.get(host, now_s), now_s)
        self._even_s[host] = even_s + each_s
        return max(0.0, even_s - now_s - each_s * (MAX_HALF_OPEN_PER_HOST * share - 1))


class Strangers:
    """Bounds the links of peers that nobody has vouched for, so that no peer can take all streams.

    They share a part of the room, and those of one host a small part of that. The rest is a reserve for the peers that
    discovery or memory knows. A connection is counted until it is closed.

    Args:
        most: How many links there may be in all; strangers may have half of them.
        knows: Whether discovery or memory vouches for a peer now.
    """

    def __init__(self, most: int, knows: Callable[[Node], bool]) -> None:
        self._most = most
        self._knows = knows
        self._from: dict[int, tuple[str, Node]] = {}
        self._vouched_by: dict[int, str] = {}  # the addresses that connections were let in for

    def admit(self, conn: int, host: str, peer: Node, links: int) -> bool:
        """Count a connection that would become a link to ``peer``; return whether there is room for it.

        Args:
            conn: Its number.
            host: The address that it comes from.
            peer: The other end, as it introduces itself.
            links: How many connections there are, links or not yet.
        """
        if links >= self._most:
            return False
        if self._knows(peer.evolve(address=None)) or self._vouches(conn, peer.address):
            return True
        if self._is_crowded(host):
            self._from = {each: stranger for each, stranger in self._from.items() if not self._knows(stranger[1])}
            if self._is_crowded(host):
                return False
        self._from[conn] = (host, peer.evolve(address=None))
        return True

    def _vouches(self, conn: int, address: str | None) -> bool:
        """Whether discovery knows an address at which nobody else claims to be; a peer can claim any, under any name."""
        if address is None or address in self._vouched_by.values() or not self._knows(Node(address=address)):
            return False
        self._vouched_by[conn] = address
        return True

    def release(self, conn: int) -> None:
        """Count a connection no longer."""
        self._from.pop(conn, None)
        self._vouched_by.pop(conn, None)

    def _is_crowded(self, host: str) -> bool:
        if len(self._from) >= self._most // 2:
            return True
        if len(self._from) < MAX_STRANGERS_PER_HOST or is_loopback(host):
            return False
        return sum(each == host for each, _ in self._from.values()) >= MAX_STRANGERS_PER_HOST
