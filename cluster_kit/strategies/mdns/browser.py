"""Browses for instances of a service: what to ask, and what to believe. Pure.

Records and the time go in, observations come out. Records live as long as they say, and answers are
multicast. So the node that asks first, early in the second half of a record's life, renews it for
all. An instance that doesn't answer is forgotten when its records expire; no node reports it as
gone, since the others' records have expired by then, too.

Nodes browse less and less often, and in a large network each of them less than in a small one. When
a node is lost without a goodbye, as in a partition, they start over. Memory and questions per
second are bounded whatever the network sends.

Source: RFC 6762, sections 5.2 (intervals), 7.1 (known answers), 10 (times to live).
Differs: intervals needn't grow to an hour, so that a small network heals within minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import inf
from random import Random
from typing import NamedTuple

from cluster_kit.abc import Gone, Leaving, Observation, Seen
from cluster_kit.errors import RemoteProtocolError
from cluster_kit.events import Reason
from cluster_kit.node import BootId, Fence
from cluster_kit.strategies.mdns.options import MAX_TTL_S, MIN_TTL_S
from cluster_kit.strategies.mdns.records import Announcement, address_to_dial, decode

MAX_INSTANCES = 10_000
MAX_ASKED = 30  # instances between two ticks; the others wait for the next one
TICK_S = 0.1
FIRST_BROWSE_S = (0.02, 0.12)  # so that nodes that start together don't ask together
BROWSE_S = (1.0, 1.2)  # to the next question, then doubled each time
NETWORK_BROWSE_S = 60.0  # at the longest, for the whole network: any question heals a partition
MAX_BROWSE_S = 3600.0
# fractions of a record's life at which to ask again, each drawn between two
RENEW = ((0.5, 0.8), (0.82, 0.86), (0.88, 0.91), (0.93, 0.96))
COMPLETE_AT_S = (0.1, 1.0, 3.0)  # when to ask for what is missing of a new instance
COMPLETE_S = 7.0  # how long to wait for it
GOODBYE_KEPT_S = 3.0  # after a goodbye, while an earlier answer may still be under way

_SAME_FENCE = "give both the same cluster and group, or leave them out"
_SAME_RELEASE = "run the same release everywhere"
_ADVERTISE = "let it advertise an address that can be"


class PointerRecord(NamedTuple):
    """An instance exists."""

    instance: str


class GoodbyeRecord(NamedTuple):
    """An instance is gone."""

    instance: str


class ServiceRecord(NamedTuple):
    """The host and port of an instance."""

    instance: str
    host: str
    port: int
    ttl_s: int


class TextRecord(NamedTuple):
    """The announcement of an instance, encoded."""

    instance: str
    text: bytes


Record = PointerRecord | GoodbyeRecord | ServiceRecord | TextRecord


class DueQuestions(NamedTuple):
    """Questions to ask.

    Attributes:
        instances: Instances to ask about.
        browse: Whether to ask which others there are.
        known: Instances that needn't answer that, as pairs of name and seconds left to live.
    """

    instances: list[str]
    browse: bool
    known: list[tuple[str, int]]


class IgnoredInstance(NamedTuple):
    """An instance is ignored; ``cure`` is what to do if it should not be."""

    instance: str
    why: str
    cure: str


@dataclass(slots=True)
class _Instance:
    name: str
    until_s: float
    ask_at_s: list[float]
    heard_s: float = 0.0
    service: ServiceRecord | None = None
    text: bytes = b""
    read: Announcement | str | None = None  # a string says why it can't be read
    vouched: Announcement | None = None
    left: bool = False


class Browser:
    """Everything known about the instances of one type of service.

    Args:
        own: The boot of this node, whose own instance is received, too.
        fence: Cluster and group; other clusters and groups are ignored.
        addresses_of: Returns the addresses of a host as far as they are known.
        random: The source of jitter.

    Attributes:
        heard_itself: Whether this node's own announcement was heard since ``start``.
        loopback: Whether this node uses loopback, where loopback addresses can be dialled.
    """

    def __init__(
        self,
        own: BootId,
        fence: Fence,
        *,
        addresses_of: Callable[[str], Iterable[str]],
        random: Random,
    ) -> None:
        self.heard_itself = False
        self.loopback = False
        self._own = own
        self._fence = fence
        self._addresses_of = addresses_of
        self._random = random
        self._instances: dict[str, _Instance] = {}
        self._news: dict[str, None] = {}  # keys in order of arrival
        self._started_s = -inf
        self._browse_at_s = inf
        self._browse_s = MAX_BROWSE_S
        self._ask_at_s = inf
        self._ticked_s = -inf

    @property
    def next_s(self) -> float:
        """When ``tick`` has something to do."""
        return max(min(self._browse_at_s, self._ask_at_s), self._ticked_s + TICK_S)

    def start(self, now_s: float) -> None:
        """Begin to ask: this node has just started, or has just got its network back."""
        self.heard_itself = False
        self._started_s = now_s
        self._browse_soon(now_s + self._random.uniform(*FIRST_BROWSE_S))

    def _browse_soon(self, at_s: float) -> None:
        self._browse_at_s = min(self._browse_at_s, at_s)
        self._browse_s = self._random.uniform(*BROWSE_S)

    # -- hearing -----------------------------------------------------------------------------------

    def hear(self, record: Record, now_s: float) -> None:
        """Handle a record of an instance; ``take`` yields what follows."""
        key = record.instance.lower()
        instance = self._instances.get(key)
        if isinstance(record, GoodbyeRecord):
            if instance is not None and not instance.left:
                self._record_goodbye(key, instance, now_s)
            return
        if instance is None:
            instance = self._admit(key, record.instance, now_s)
        if instance is None or instance.left:
            return
        match record:
            case ServiceRecord():
                instance.service, instance.heard_s = record, now_s
            case TextRecord(text=text) if text != instance.text:
                read = _read(text)
                if _is_late(read, instance.read):
                    return
                instance.text, instance.read = text, read
            case _:
                return
        self._news[key] = None

    def hear_addresses(self, hosts: set[str]) -> None:
        """Note that these hosts, in lower case, have announced addresses."""
        for key, instance in self._instances.items():
            service = instance.service
            if instance.vouched is None and service and service.host.lower() in hosts:
                self._news[key] = None

    def _admit(self, key: str, name: str, now_s: float) -> _Instance | None:
        if len(self._instances) >= MAX_INSTANCES:
            return None
        ask_at_s = [now_s + delay_s for delay_s in COMPLETE_AT_S]
        instance = _Instance(name, now_s + COMPLETE_S, ask_at_s)
        self._instances[key] = instance
        self._ask_at_s = min(self._ask_at_s, instance.ask_at_s[0])
        return instance

    def _record_goodbye(self, key: str, instance: _Instance, now_s: float) -> None:
        instance.left = True
        instance.ask_at_s.clear()
        instance.until_s = now_s + GOODBYE_KEPT_S
        self._ask_at_s = min(self._ask_at_s, instance.until_s)
        self._news[key] = None

    # -- reporting ---------------------------------------------------------------------------------

    def take(self, now_s: float) -> Iterator[Observation | IgnoredInstance]:
        """Yield what follows from the records since the last call."""
        while self._news:
            key = next(iter(self._news))
            del self._news[key]
            if key in self._instances:
                yield from self._report(key, self._instances[key], now_s)

    def _report(
        self, key: str, instance: _Instance, now_s: float
    ) -> Iterator[Observation | IgnoredInstance]:
        if instance.left:
            if instance.vouched is not None:
                yield Gone(instance.vouched.node.key, Reason.LEFT, instance.vouched.node.boot_id)
        elif instance.service is not None and instance.read is not None:
            match instance.read:
                case Announcement(fence=self._fence) as announcement:
                    if announcement.node.boot_id != self._own:
                        yield from self._vouch(instance, instance.service, announcement, now_s)
                        return
                    self.heard_itself = True
                case Announcement(fence=fence):
                    why = f"cluster {fence.cluster!r}, group {fence.group!r} is foreign"
                    yield IgnoredInstance(instance.name, why, _SAME_FENCE)
                case why:
                    yield IgnoredInstance(instance.name, why, _SAME_RELEASE)
            del self._instances[key]

    def _vouch(
        self, instance: _Instance, service: ServiceRecord, announcement: Announcement, now_s: float
    ) -> Iterator[Observation | IgnoredInstance]:
        addresses = list(self._addresses_of(service.host))
        address = address_to_dial(addresses, service.port, loopback=self.loopback)
        if address is None:
            if addresses:
                why = f"none of {', '.join(addresses[:3])} can be dialled from here"
                yield IgnoredInstance(instance.name, why, _ADVERTISE)
            return
        self._renew(instance, service, now_s)
        if instance.until_s > now_s:
            instance.vouched = announcement
            node = announcement.node.evolve(address=address if service.port else None)
            yield Seen(node, instance.until_s - now_s)
            if announcement.leaving:
                yield Leaving(node.key)

    def _renew(self, instance: _Instance, service: ServiceRecord, now_s: float) -> None:
        life_s = min(max(service.ttl_s, MIN_TTL_S), MAX_TTL_S)
        due_s = [instance.heard_s + life_s * self._random.uniform(*between) for between in RENEW]
        instance.until_s = instance.heard_s + life_s
        instance.ask_at_s = [at_s for at_s in due_s if at_s > now_s]
        self._ask_at_s = min([self._ask_at_s, instance.until_s, *instance.ask_at_s[:1]])

    # -- asking ------------------------------------------------------------------------------------

    def tick(self, now_s: float) -> DueQuestions | None:
        """Forget expired instances, and return the questions that are due."""
        if now_s < self.next_s:
            return None
        self._ticked_s = now_s
        self._forget(now_s)
        asked = self._due(now_s)
        dues_s = (min([each.until_s, *each.ask_at_s[:1]]) for each in self._instances.values())
        self._ask_at_s = min(dues_s, default=inf)
        browse = now_s >= self._browse_at_s
        if browse:
            longest_s = min(NETWORK_BROWSE_S * (1 + len(self._instances)), MAX_BROWSE_S)
            self._browse_at_s = now_s + self._browse_s
            self._browse_s = min(2 * self._browse_s, longest_s)
        if not (asked or browse):
            return None
        return DueQuestions(asked, browse, self._known(now_s) if browse else [])

    def _forget(self, now_s: float) -> None:
        overlooks = len(self._instances) >= MAX_INSTANCES
        for key, instance in list(self._instances.items()):
            if now_s >= instance.until_s:
                del self._instances[key]
                if instance.vouched is not None and not instance.left:
                    self._browse_soon(now_s + self._random.uniform(*BROWSE_S))
        if overlooks and len(self._instances) < MAX_INSTANCES:
            # an instance for which there was no room may be one of ours
            self._browse_soon(now_s + self._random.uniform(*BROWSE_S))

    def _due(self, now_s: float) -> list[str]:
        asked = [each for each in self._instances.values() if each.ask_at_s]
        due = [each for each in asked if each.ask_at_s[0] <= now_s][:MAX_ASKED]
        for instance in due:
            instance.ask_at_s = [at_s for at_s in instance.ask_at_s if at_s > now_s]
        return [instance.name for instance in due]

    def _known(self, now_s: float) -> list[tuple[str, int]]:
        """Return known answers: instances heard since the start and young enough to stay."""
        known = []
        for each in self._instances.values():
            is_there = each.vouched is not None and not each.left
            left_s, life_s = each.until_s - now_s, each.until_s - each.heard_s
            if is_there and each.heard_s >= self._started_s and left_s > life_s / 2:
                known.append((each.name, int(left_s)))
        return known


def _read(text: bytes) -> Announcement | str:
    try:
        return decode(text)
    except RemoteProtocolError as error:
        return str(error)


def _is_late(read: Announcement | str, before: Announcement | str | None) -> bool:
    """Whether a record is older than the last one: an answer may be delayed."""
    if not (isinstance(read, Announcement) and isinstance(before, Announcement)):
        return False
    return read.revision < before.revision
