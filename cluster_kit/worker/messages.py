"""What supervisor and worker say to each other over their channel.

Structs rather than dataclasses: a worker starts noticeably sooner for it, as each dataclass costs a
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
from cluster_kit.security.keys import Keyring

MAX_UNLINKED = 500  # nodes in one answer, about 40 KB as JSON with names of usual length


class Start(Struct, frozen=True, kw_only=True):
    """To the worker, first: what to run.

    Attributes:
        known: The roster that its predecessor left.
        keyring: What the secrets came to, and the certificates.
        greeting: What the application tells peers in the handshake; see ``LinkReport.greeting``.
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
    """To a worker that waits for its ``Start``: there are secrets or certificates; load what that
    takes meanwhile.
    """


class SetMetadata(Struct, frozen=True):
    """To the worker: the node's metadata is now this."""

    metadata: Mapping[str, str]


class Renew(Struct, frozen=True):
    """To the worker: the secrets or the certificates are others now."""

    keyring: Keyring


class Greeting(Struct, frozen=True):
    """To the worker: the application's greeting is now this."""

    greeting: bytes


class Drain(Struct, frozen=True):
    """To the worker: tell everybody that this node is about to leave, and dial nobody any more."""


class Stop(Struct, frozen=True):
    """To the worker: say goodbye and exit."""


class Call(Struct, frozen=True, kw_only=True):
    """To the worker: run a command of the connector and answer with ``Reply``."""

    id: int
    command: str
    arguments: Mapping[str, Any]
    timeout_s: float


class Inspect(Struct, frozen=True):
    """To the worker: answer with ``Inspected``."""

    id: int


class Inspected(Struct, frozen=True, kw_only=True):
    """From the worker: the state of its links, as far as no event carries it.

    Attributes:
        rtts: Round-trip times in seconds, by node.
        unlinked: Why known nodes are not linked, by key; of a large number only the first ones.
        failing: How many known nodes are not linked in all, by the reason why the last dial failed.
        secrets: The ids of those that a linked node holds, by node; it uses the first.
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
        every = list(unlinked)
        failing = Counter(each.reason for each in every if each.reason is not None)
        return cls(
            rtts=dict(rtts),
            unlinked=tuple(every[:MAX_UNLINKED]),
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
        boot_id: Of this run of the node.
        max_message_bytes: The longest message that its links carry; ``None`` where they carry none.
    """

    address: str | None
    boot_id: BootId
    max_message_bytes: int | None = None


class Announced(Struct, frozen=True):
    """From the worker, once: every strategy has made this node known, as far as it does that."""


class LinkOpened(Struct, frozen=True, kw_only=True):
    """From the worker: a link that carries messages is up; comes before its ``NodeUp``, and is
    never left out.

    Attributes:
        link: Its number, by which parcels name it; never used again by this worker.
        greeting: The peer's.
        outdated: Whether the peer was told another greeting than that of now.
        greetings: How many ``Greeting`` the worker has heard: one that is still on its way to it
            outdates what the peer was told, too.
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
    """From the worker: so many more of the application's parcels for ``link`` are on their way to
    the peer.
    """

    link: int
    parcels: int


class CannotServe(Struct, frozen=True):
    """From the worker, last: it can't serve, or go on serving."""

    error: ClusterKitError


class Happened(Struct, frozen=True):
    """From the worker: events in order."""

    events: tuple[Event, ...]


class View(Struct, frozen=True, kw_only=True):
    """From the worker: how things stand, in place of events that the supervisor was too slow to
    take.
    """

    known: tuple[Node, ...]
    up: tuple[Node, ...]


class SourceHealth(Struct, frozen=True):
    """From the worker: ``source`` now works (``error`` is ``None``) or fails; ``degraded``: it
    failed too often.
    """

    source: str
    error: str | None
    degraded: bool = False


class Logged(Struct, frozen=True):
    """From the worker: a log record, already formatted.

    ``fault`` is the same in records of the same fault, where the record is about an exception.
    """

    logger: str
    level: int
    text: str
    fault: str | None = None


def fault_of(exc: BaseException) -> str:
    """Return what is the same each time that an exception is raised at one place: its type, and the
    place.
    """
    last = exc.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = f"{last.tb_frame.f_code.co_filename}:{last.tb_lineno}" if last is not None else ""
    return f"{type(exc).__module__}.{type(exc).__qualname__} {where}"
