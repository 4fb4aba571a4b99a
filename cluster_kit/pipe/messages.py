"""What supervisor and worker say to each other; the applications' messages are in ``topics``.

These are structs rather than dataclasses so that a worker starts sooner: each dataclass takes a
millisecond to define.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Self

from msgspec import Struct

from cluster_kit.config import TopologyConfig
from cluster_kit.errors import ClusterKitError, ConnectReason
from cluster_kit.events import Event
from cluster_kit.membership.unlinked import Unlinked
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.pipe.channel import Parcel
from cluster_kit.security.keys import Keyring

BEAT_S = 1.0  # between two beats; the supervisor judges silence by them
MAX_UNLINKED = 500  # nodes in one answer, about 40 KB as JSON with names of usual length


class Start(Struct, frozen=True, kw_only=True):
    """To the worker, first: what to run.

    Attributes:
        known: The roster that its predecessor left.
        keyring: The keys that were derived from the secrets, and the certificates.
        greeting: The application's part of each handshake; see ``LinkReport.greeting``.
    """

    topology: TopologyConfig
    local: Node
    fence: Fence
    announce: bool
    leaving: bool
    known: tuple[Node, ...]
    log_level: int
    keyring: Keyring | None = None
    greeting: bytes = b""


class Prepare(Struct, frozen=True):
    """To a worker that waits for its ``Start``: load what secrets and certificates need."""


class SetMetadata(Struct, frozen=True):
    """To the worker: replace the node's metadata."""

    metadata: Mapping[str, str]


class Renew(Struct, frozen=True):
    """To the worker: use these secrets and certificates from now on."""

    keyring: Keyring


class SetGreeting(Struct, frozen=True):
    """To the worker: replace the application's greeting."""

    greeting: bytes


class Drain(Struct, frozen=True):
    """To the worker: announce that this node is about to leave, and stop dialling."""


class Stop(Struct, frozen=True):
    """To the worker: say goodbye and exit."""


class Call(Struct, frozen=True, kw_only=True):
    """To the worker: run a command of the connector and answer with ``Reply``."""

    id: int
    command: str
    arguments: Mapping[str, Any]
    timeout_s: float


class Inspect(Struct, frozen=True):
    """To the worker: answer with ``Reply``, whose value is ``Inspected``."""

    id: int


class Inspected(Struct, frozen=True, kw_only=True):
    """From the worker: the state of its links that no event carries.

    Attributes:
        rtts: Round-trip times in seconds, by node.
        unlinked: Why known nodes are not linked, by key; only the first ones of a large number.
        failing: How many known nodes are not linked in all, by the reason why the last dial failed.
        secrets: The ids of the secrets that a linked node holds, by node; it uses the first.
    """

    rtts: Mapping[str, float] = {}
    unlinked: tuple[Unlinked, ...] = ()
    failing: Mapping[ConnectReason, int] = {}
    secrets: Mapping[str, tuple[bytes, ...]] = {}

    @classmethod
    def of(
        cls,
        rtts: Mapping[str, float],
        unlinked: Iterable[Unlinked],
        secrets: Mapping[str, tuple[bytes, ...]],
    ) -> Self:
        """Return an answer of bounded size."""
        nodes = list(unlinked)
        failing = Counter(node.reason for node in nodes if node.reason is not None)
        return cls(
            rtts=dict(rtts),
            unlinked=tuple(nodes[:MAX_UNLINKED]),
            failing=dict(failing),
            secrets=dict(secrets),
        )


class Reply(Struct, frozen=True, kw_only=True):
    """From the worker: the result of ``Call`` or ``Inspect``, or why there is none."""

    id: int
    value: Any = None
    error: ClusterKitError | None = None


class Beat(Struct, frozen=True):
    """From the worker, regularly: its event loop is running."""


class Serving(Struct, frozen=True):
    """From the worker: links are accepted at ``address``.

    Attributes:
        boot_id: Identifies this run of the node.
        max_message_bytes: The longest message that its links carry; ``None`` if they carry none.
    """

    address: str | None
    boot_id: BootId
    max_message_bytes: int | None = None


class Announced(Struct, frozen=True):
    """From the worker, once: every strategy that announces this node has done so."""


class LinkOpened(Struct, frozen=True, kw_only=True):
    """From the worker: a link that carries messages is up; precedes its ``NodeUp``, never dropped.

    Attributes:
        link: Its number, by which parcels refer to it; this worker never uses it again.
        greeting: The peer's greeting.
        outdated: Whether the greeting that the peer received is no longer the current one.
        greetings: How many ``SetGreeting`` the worker has received: one that is still on its way
            to the worker outdates the greeting as well.
    """

    link: int
    node: Node
    greeting: bytes
    outdated: bool
    greetings: int = 0


class LinkClosed(Struct, frozen=True):
    """From the worker: the link is down; no parcel of it follows."""

    link: int


class Forwarded(Struct, frozen=True):
    """From the worker: this many more of the application's parcels are on their way to the peer."""

    link: int
    parcels: int


class CannotServe(Struct, frozen=True):
    """From the worker, last: it can't serve, or can't go on serving."""

    error: ClusterKitError


class Happened(Struct, frozen=True):
    """From the worker: events in order."""

    events: tuple[Event, ...]


class View(Struct, frozen=True, kw_only=True):
    """From the worker: the current state, in place of events that were dropped."""

    known: tuple[Node, ...]
    up: tuple[Node, ...]


class SourceHealth(Struct, frozen=True):
    """From the worker: the health of a source.

    Attributes:
        source: Its name.
        error: Why it fails; ``None`` if it works.
        degraded: Whether its strategy raised too often.
    """

    source: str
    error: str | None
    degraded: bool = False


class Logged(Struct, frozen=True):
    """From the worker: a log record, already formatted.

    Attributes:
        fault: Identifies the exception that the record is about, if any; see ``fault_of``.
    """

    logger: str
    level: int
    text: str
    fault: str | None = None


Order = Parcel | SetGreeting | Stop | SetMetadata | Renew | Drain | Inspect | Call
"""What a worker receives after ``Start``."""

FromWorker = (
    Parcel
    | Forwarded
    | LinkOpened
    | LinkClosed
    | Beat
    | Happened
    | View
    | Serving
    | Announced
    | CannotServe
    | SourceHealth
    | Reply
    | Logged
)


def fault_of(exc: BaseException) -> str:
    """Return the type of an exception and where it was raised: the same for each repetition."""
    last = exc.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = f"{last.tb_frame.f_code.co_filename}:{last.tb_lineno}" if last is not None else ""
    return f"{type(exc).__module__}.{type(exc).__qualname__} {where}"
