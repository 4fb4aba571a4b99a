"""The seam to the outside world: streams, datagrams, host names, clock and randomness.

``cluster_kit.network.system`` is the system's own network, and the only place that knows sockets;
``cluster_kit.testing`` has one in memory. Both pass ``cluster_kit.testing.NetworkConformance``. A
connector gets its network as ``links.network``, a strategy as ``ctx.network``. Both set timers
through the event loop that they run in, whose time is that of the clock.

Everything is bytes in, bytes out. Methods are called from the event loop, and call back there. A
failure raises ``NetworkError``, whose ``fault`` is one of a closed list.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from random import Random
from typing import Literal, NamedTuple, Protocol

from cluster_kit.errors import RemoteProtocolError


class Endpoint(NamedTuple):
    """One end of a stream, or the source or destination of a datagram.

    Attributes:
        host: An IP address as text. A link-local IPv6 address names its interface, as in
            ``fe80::1%eth0``. An IPv4 address has its own form, even if a socket serves both
            protocols.
        port: A port is 0 to 65535; to use another number fails as ``failed``.
    """

    host: str
    port: int


class Datagram(NamedTuple):
    """A datagram that was received.

    Attributes:
        data: Its content.
        source: Where it came from.
    """

    data: bytes
    source: Endpoint


class Interface(NamedTuple):
    """One address of a network interface of this machine, without its scope.

    An interface with several addresses has several of these.

    Attributes:
        name: Its name, such as ``eth0``.
        address: The IP address as text.
        is_up: Whether it is switched on.
        has_carrier: Whether it is connected, as by a cable.
        is_loopback: Whether it leads to this machine alone.
        has_multicast: Whether it carries multicast.
    """

    name: str
    address: str
    is_up: bool = True
    has_carrier: bool = True
    is_loopback: bool = False
    has_multicast: bool = True


class Group(NamedTuple):
    """A group of receivers, and the interfaces by which to reach it.

    Attributes:
        address: The multicast group, or the broadcast address.
        port: The UDP port, which all members on one host share.
        via: The address of the interface to send on; an IPv6 address with the name of its
            interface, as in ``2001:db8::1%eth0``.
        heard_on: The address of the interface to receive on, in the same form.
        hops: How many routers a datagram may pass, plus one.
        is_broadcast: Whether ``address`` is a broadcast address.
    """

    address: str
    port: int
    via: str
    heard_on: str
    hops: int = 1
    is_broadcast: bool = False


MAX_PORT = 65535
LINGER_S = 1.0
"""For how many seconds a closed stream waits until the other end has closed as well."""


class StreamReader(Protocol):
    """Receives the bytes of a stream; never called from within the stream's own methods."""

    def received(self, data: memoryview) -> None:
        """Handle bytes that have arrived; ``data`` is overwritten after the call."""

    def relieved(self) -> None:
        """Called when ``unsent_bytes`` is 0 again, unless the stream is closing."""
        return

    def lost(self) -> None:
        """Called exactly once, as the last, when the stream has ended, whichever end closed it."""


class Certified(Protocol):
    """The proven identity of the other end of a protected stream."""

    def objection_to(self, name: str) -> str | None:
        """Return why it isn't the node ``name``, as in 'it ...'; ``None`` if it is."""


class Stream(ABC):
    """An open connection. Its receiver owns and closes it.

    Attributes:
        here: Our end.
        there: The other end.
        certified: The proven identity of the other end, if streams are protected.
        certified_by: The id of the secret that proved it, if it was a secret.
        distrust: Why a protected stream was lost before both ends had proved their identity; an
            ``UntrustedError`` if one end didn't accept the proof of the other.
    """

    here: Endpoint
    there: Endpoint
    certified: Certified | None = None
    certified_by: bytes | None = None
    distrust: RemoteProtocolError | None = None

    @abstractmethod
    def start(self, reader: StreamReader) -> None:
        """Start to receive, but never within this call; until then, bytes and the end wait."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send ``data`` in order, without waiting; do nothing if the stream is closing or lost."""

    @property
    @abstractmethod
    def unsent_bytes(self) -> int:
        """How many bytes are held here until the connection takes more."""

    @abstractmethod
    def close(self) -> None:
        """Stop receiving, and close once everything is sent. Idempotent.

        The other end reads the end of the stream, and has ``LINGER_S`` to close as well. Whatever
        it sends meanwhile is discarded: if it met a closed socket, the reply would be a reset, and
        that would overtake the last bytes of this end.
        """

    @abstractmethod
    def abort(self) -> None:
        """Close now; unsent bytes are lost. Idempotent."""


class Listener(ABC):
    """Accepts streams that others open. Its creator owns and closes it.

    Attributes:
        here: Where it listens, with the actual port.
    """

    here: Endpoint

    @abstractmethod
    def start(self, accept: Callable[[Stream], None]) -> None:
        """Pass each stream to ``accept``, but never within this call; until then, others wait."""

    @abstractmethod
    async def close(self) -> None:
        """Accept no more, abort the streams not passed on, and wait for their end. Idempotent."""


class Datagrams(ABC):
    """Sends and receives datagrams of one group. Its creator owns and closes it.

    Besides the group's address it has its own address, from which it sends and at which others
    answer: as the processes of one host share the group's port, a datagram to one host and that
    port would reach only one of them.

    Attributes:
        here: Its own address.
    """

    here: Endpoint

    @abstractmethod
    def listen(self, hear: Callable[[Sequence[Datagram]], object]) -> None:
        """Call ``hear`` with the datagrams to the group or to ``here``, until ``pause``.

        Each call gets the datagrams that have arrived together, in order. One that is longer than
        ``max_bytes`` is cut to one byte more. A sender receives its own datagrams to the group. A
        later call replaces ``hear``.
        """

    @abstractmethod
    def pause(self) -> None:
        """Stop calling ``hear``; datagrams wait, as far as there is room. Idempotent."""

    @abstractmethod
    def send(self, data: bytes, to: Endpoint | None = None) -> None:
        """Send to one address, without notice of failure, or to the group if ``to`` is ``None``.

        If there is no room for a datagram, it is lost.

        Raises:
            NetworkError: The group can't be reached.
        """

    @abstractmethod
    def close(self) -> None:
        """Leave the group, and release everything. Idempotent."""


class Clock(ABC):
    """The two times of a machine."""

    @abstractmethod
    def monotonic_s(self) -> float:
        """Return the time of the event loop in seconds, which never goes back."""

    @abstractmethod
    def wall_s(self) -> float:
        """Return the seconds since 1970, as far as this machine knows; they may jump."""


class Network(ABC):
    """The network as one machine sees it.

    Attributes:
        clock: The times of this machine.
        most_streams: How many streams one process can have open at the same time.
    """

    clock: Clock
    most_streams: int

    @abstractmethod
    def random(self, concern: str) -> Random:
        """Return a source of randomness for ``concern`` alone."""

    @abstractmethod
    async def resolve(self, host: str, *, version: Literal[4, 6] | None = None) -> Sequence[str]:
        """Return the addresses of ``host``, the best first, each once.

        Args:
            host: A name, or an address, which is returned as it is.
            version: The version of IP; ``None`` for any.

        Raises:
            NetworkError: There is no address, or it is not known whether there is one.
        """

    @abstractmethod
    def interfaces(self) -> Sequence[Interface]:
        """Return the addresses of this machine, IPv4 first; none if they can't be determined."""

    @abstractmethod
    def has_address(self, address: str) -> bool:
        """Whether ``address`` is one of this machine's."""

    @abstractmethod
    async def listen(self, at: Endpoint) -> Listener:
        """Open a listener; port 0 means any free port.

        Raises:
            NetworkError: That is not possible.
        """

    @abstractmethod
    async def dial(self, to: Endpoint) -> Stream:
        """Open a stream; if this is cancelled, nothing remains open.

        Raises:
            NetworkError: That is not possible.
        """

    @abstractmethod
    async def join(self, group: Group, *, max_bytes: int) -> Datagrams:
        """Join ``group``, to send and receive datagrams of at most ``max_bytes`` each.

        Raises:
            NetworkError: That is not possible.
        """
