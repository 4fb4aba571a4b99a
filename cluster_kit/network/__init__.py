"""The seam to the outside world: streams, datagrams, host names, clock and randomness.

``cluster_kit.network.system`` is the system's own network, and the only place that knows sockets;
``cluster_kit.testing`` has one in memory. Both pass ``cluster_kit.testing.NetworkConformance``. A
connector gets its network as ``links.network``, a strategy as ``ctx.network``. What runs on it sets
its timers by the event loop that it runs in, whose time is that of the clock.

Everything is bytes in, bytes out. Methods are called from the event loop, and call back there. What
fails raises ``NetworkError``, whose ``fault`` is one of a closed list.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from random import Random
from typing import Literal, NamedTuple, Protocol

from cluster_kit.errors import RemoteProtocolError


class Endpoint(NamedTuple):
    """One end of a stream, or the source or destination of a datagram.

    ``host`` is an IP address as text. A link-local IPv6 address names its interface, as in
    ``fe80::1%eth0``. An IPv4 address is given as such, even if a socket serves both protocols. A
    port is 0 to 65535; another number fails as ``failed``.
    """

    host: str
    port: int


class Datagram(NamedTuple):
    """A datagram that was received, and where it came from."""

    data: bytes
    source: Endpoint


class Interface(NamedTuple):
    """One address of a network interface of this machine, without its scope.

    An interface has as many of these as it has addresses.
    """

    name: str
    address: str
    is_up: bool = True
    has_carrier: bool = True
    is_loopback: bool = False
    has_multicast: bool = True


class Group(NamedTuple):
    """A group of receivers, and the way to it.

    Attributes:
        address: The multicast group, or the broadcast address.
        port: UDP port, shared by all processes of a host that take part.
        via: Address of the interface to send on; an IPv6 address with the name of its interface, as
            in ``2001:db8::1%eth0``.
        heard_on: Address of the interface to receive on, in the same form.
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
LINGER_S = 1.0  # how long a stream that is closed waits for the other end to close


class StreamReader(Protocol):
    """Receives what comes in on a stream; never called within a call of the stream's methods."""

    def received(self, data: memoryview) -> None:
        """Handle bytes that came in; ``data`` is overwritten after the call."""

    def relieved(self) -> None:
        """Note that ``unsent_bytes`` has come back to 0; not called once the stream is closing."""
        return

    def lost(self) -> None:
        """Note that the stream has ended, whoever ended it, and holds nothing any more.

        It is called exactly once, as the last.
        """


class Certified(Protocol):
    """What the other end of a protected stream has proved to be."""

    def objection_to(self, name: str) -> str | None:
        """Return why it is not the node of this name, as in 'it ...'; ``None`` if it is."""


class Stream(ABC):
    """An open connection. Whoever it was given to owns it, and closes it.

    Attributes:
        here: Our end.
        there: The other end.
        certified: What the other end has proved to be, where streams are protected.
        certified_by: The id of the secret that proved it, where it was a secret.
        distrust: Why a protected stream was lost before both ends had proved themselves; an
            ``UntrustedError`` if one end didn't accept the proof of the other.
    """

    here: Endpoint
    there: Endpoint
    certified: Certified | None = None
    certified_by: bytes | None = None
    distrust: RemoteProtocolError | None = None

    @abstractmethod
    def start(self, reader: StreamReader) -> None:
        """Begin to receive, never within this call; until then bytes and the end wait."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send ``data`` in its turn, without waiting.

        On a stream that is closing or lost, do nothing.
        """

    @property
    @abstractmethod
    def unsent_bytes(self) -> int:
        """How many bytes are kept here, as the way to the other end takes no more for now."""

    @abstractmethod
    def close(self) -> None:
        """Receive nothing more, and close once everything is sent. Idempotent.

        The stream ends for the other end, which has ``LINGER_S`` to close as well. What it sends
        meanwhile is swallowed: if it met a socket that is gone, a reset would come back, and
        overtake the last bytes of this end.
        """

    @abstractmethod
    def abort(self) -> None:
        """Close now; what is unsent is lost. Idempotent."""


class Listener(ABC):
    """Accepts streams that others open. Whoever asked for it owns it, and closes it.

    Attributes:
        here: Where others find it, with the port that it was given.
    """

    here: Endpoint

    @abstractmethod
    def start(self, accept: Callable[[Stream], None]) -> None:
        """Pass each stream to ``accept``, never within this call; until then others wait."""

    @abstractmethod
    async def close(self) -> None:
        """Accept nothing more, abort what was not passed on, and wait for its end. Idempotent."""


class Datagrams(ABC):
    """Sends and receives datagrams of one group. Whoever joined owns it, and closes it.

    Besides the group's address it has one of its own, from which it sends and at which others
    answer: the processes of one host share the group's port, so a datagram from one host to that
    port would reach only one of them.

    Attributes:
        here: Its own address.
    """

    here: Endpoint

    @abstractmethod
    def listen(self, hear: Callable[[Sequence[Datagram]], object]) -> None:
        """Call ``hear`` with the datagrams to the group or to ``here``, until ``pause``.

        Each call gets what has come in together: one datagram or several, in order. One that is
        longer than ``max_bytes`` is cut to one byte more. What is sent to the group is received by
        its sender as well. Of several calls the last one counts.
        """

    @abstractmethod
    def pause(self) -> None:
        """Call ``hear`` no more; what comes in waits, as far as there is room. Idempotent."""

    @abstractmethod
    def send(self, data: bytes, to: Endpoint | None = None) -> None:
        """Send to one address, without notice of failure, or to the group if ``to`` is ``None``.

        A datagram that there is no room for is lost.

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
        """Return seconds since some moment, which never go back: the time of the event loop."""

    @abstractmethod
    def wall_s(self) -> float:
        """Return seconds since 1970, as far as this machine knows; they may jump."""


class Network(ABC):
    """The network as one machine sees it.

    Attributes:
        clock: The times of this machine.
        most_streams: How many streams one process can hold at the same time.
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
            host: A name, or an address, which stands for itself.
            version: Of IP; ``None`` for any.

        Raises:
            NetworkError: There is no address, or nobody can say.
        """

    @abstractmethod
    def interfaces(self) -> Sequence[Interface]:
        """Return the addresses of this machine, IPv4 first; nothing if they can't be found out."""

    @abstractmethod
    def has_address(self, address: str) -> bool:
        """Whether ``address`` is one of this machine's."""

    @abstractmethod
    async def listen(self, at: Endpoint) -> Listener:
        """Open a listener; port 0 stands for any that is free.

        Raises:
            NetworkError: That is not possible.
        """

    @abstractmethod
    async def dial(self, to: Endpoint) -> Stream:
        """Open a stream; if this is cancelled, nothing is left of it.

        Raises:
            NetworkError: That is not possible.
        """

    @abstractmethod
    async def join(self, group: Group, *, max_bytes: int) -> Datagrams:
        """Open datagrams of ``group``, of at most ``max_bytes`` each.

        Raises:
            NetworkError: That is not possible.
        """
