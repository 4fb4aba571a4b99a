"""The seam to the outside: streams, datagrams and host names as a connector or strategy sees them; clock and randomness beside.

``cluster_kit.network.system`` is the system's own and the only place that knows sockets, ``cluster_kit.testing`` has one in
memory; both pass ``cluster_kit.testing.NetworkConformance``. A connector gets its network as ``links.network``, a strategy as
``ctx.network``. Whatever runs on it sets its timers by the event loop that it runs in, whose time is that of the clock.

Everything is bytes in, bytes out. Methods are called from the event loop and call back there. What fails raises
``NetworkError``, whose ``fault`` is one of a closed list.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from random import Random
from typing import Literal, NamedTuple, Protocol

from cluster_kit.errors import RemoteProtocolError


class Endpoint(NamedTuple):
    """One end of a stream, or of a datagram's way.

    ``host`` is an IP address as text; an IPv6 address of the link has its interface with it, ``fe80::1%eth0``. An IPv4 address
    is given as such, also where a socket serves both protocols. A port is 0 to 65535; one beyond fails as ``failed``.
    """

    host: str
    port: int


class Datagram(NamedTuple):
    """A datagram as it was heard, and where it came from."""

    data: bytes
    source: Endpoint


class Interface(NamedTuple):
    """One address, without scope, of a network interface of this machine; an interface that has none has no line."""

    name: str
    address: str
    is_up: bool = True
    has_carrier: bool = True
    is_loopback: bool = False
    has_multicast: bool = True


class Group(NamedTuple):
    """Whom a datagram to everybody reaches, and by which way.

    Attributes:
        address: The multicast group, or the broadcast address.
        port: UDP port, shared by all processes of a host that take part.
        via: Address of the interface that is sent on; an IPv6 address with the name of its interface, ``2001:db8::1%eth0``.
        heard_on: Address of the interface that the group is heard on, in the same form.
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
LINGER_S = 1.0  # for which a stream that is closed waits for the other end to close


class StreamReader(Protocol):
    """Who takes what comes in on a stream; never called within a call of the stream's methods."""

    def received(self, data: memoryview) -> None:
        """Bytes came in; ``data`` is overwritten after the call."""

    def relieved(self) -> None:
        """All that was unsent has been taken: called when ``unsent_bytes`` has come back to 0, unless the stream is closing.

        Until ``start`` nobody is told.
        """
        return

    def lost(self) -> None:
        """The stream has ended, whoever ended it, and holds nothing any more: called exactly once, as the last."""


class Certified(Protocol):
    """Who the other end of a protected stream has proved to be."""

    def objection_to(self, name: str) -> str | None:
        """Return what speaks against its being the node of this name, as in 'it ...'; ``None`` where it has proved to be."""


class Stream(ABC):
    """An open connection; it belongs to whoever was given it, who closes it.

    Attributes:
        here: Our end.
        there: The other end.
        certified: Who the other end has proved to be, which it does only where streams are protected.
        certified_by: The id of the secret that proved it, where it was a secret.
        distrust: Why a protected stream was lost before both ends had proved themselves; ``UntrustedError`` where the other end
            did so otherwise than it must, or did not believe this one.
    """

    here: Endpoint
    there: Endpoint
    certified: Certified | None = None
    certified_by: bytes | None = None
    distrust: RemoteProtocolError | None = None

    @abstractmethod
    def start(self, reader: StreamReader) -> None:
        """Begin to receive, never within this call; until then bytes wait, and the end is not told."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send ``data`` in its turn, without waiting; on a stream that is closing or lost, do nothing."""

    @property
    @abstractmethod
    def unsent_bytes(self) -> int:
        """What the other end, or the way there, has not taken yet and is kept here."""

    @abstractmethod
    def close(self) -> None:
        """Receive nothing more, and close once everything is sent. Idempotent.

        The other end is told by the end of the stream, and given a second to close its own: what it still sends meanwhile is
        swallowed. If that met a stream that is gone, the reset would overtake what is not there yet.
        """

    @abstractmethod
    def abort(self) -> None:
        """Close now; what is unsent is lost. Idempotent."""


class Listener(ABC):
    """Takes in streams that others open; it belongs to whoever asked for it, who closes it.

    Attributes:
        here: Where others find it, with the port that it was given.
    """

    here: Endpoint

    @abstractmethod
    def start(self, accept: Callable[[Stream], None]) -> None:
        """Hand each stream to ``accept``, never within this call; until then others connect and wait."""

    @abstractmethod
    async def close(self) -> None:
        """Accept nothing more, abort what was not handed on, and return when nothing of it is left. Idempotent."""


class Datagrams(ABC):
    """Sends and hears datagrams of one group; it belongs to whoever joined, who closes it.

    It has an address of its own, from which it sends and at which others answer, besides that of the group: among the
    processes of one host that share the group's port, a datagram to that port would reach only one.

    Attributes:
        here: The own address.
    """

    here: Endpoint

    @abstractmethod
    def listen(self, hear: Callable[[Sequence[Datagram]], object]) -> None:
        """Call ``hear`` with the datagrams to the group or to the own address, until ``pause``.

        Each call gets what has come in at once: one datagram or several, in order. Of one that is longer than the
        ``max_bytes`` asked for, only one byte more than these is given. What is sent to the group is heard by its sender as
        well. Of several calls the last one counts.
        """

    @abstractmethod
    def pause(self) -> None:
        """Let what comes in wait, as long as there is room for it: ``hear`` isn't called any more. Idempotent."""

    @abstractmethod
    def send(self, data: bytes, to: Endpoint | None = None) -> None:
        """Send to one address, as far as that works, or to the group where ``to`` is ``None``.

        Raises:
            NetworkError: The group can't be reached. A datagram that there is no room for is lost instead.
        """

    @abstractmethod
    def close(self) -> None:
        """Leave the group, and release everything. Idempotent."""


class Clock(ABC):
    """The two times of a machine."""

    @abstractmethod
    def monotonic_s(self) -> float:
        """Return seconds since some moment; they never go back. The time of the event loop is this one."""

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
        """Return a source of randomness for ``concern``, which no other concern draws from."""

    @abstractmethod
    async def resolve(self, host: str, *, version: Literal[4, 6] | None = None) -> Sequence[str]:
        """Return the addresses of ``host``, the best first, each once; an address stands for itself.

        Args:
            host: A name or an address.
            version: Of the addresses; ``None`` for any.

        Raises:
            NetworkError: There is none, or nobody can say.
        """

    @abstractmethod
    def interfaces(self) -> Sequence[Interface]:
        """Return a line for each address of this machine, IPv4 first; nothing where that can't be told."""

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
        """Open a stream. Who gives up cancels; nothing is left of it then.

        Raises:
            NetworkError: That is not possible.
        """

    @abstractmethod
    async def join(self, group: Group, *, max_bytes: int) -> Datagrams:
        """Open datagrams of ``group``, of at most ``max_bytes`` each.

        Raises:
            NetworkError: That is not possible.
        """
