"""The nodes of all objects that were read so far, and what is new about them. Pure.

Addresses of one pod, listed in several slices or in both families, are one node. A pod that is
being stopped is reported as leaving; if it was known before, it stays known until it is gone. An
object without the wanted port adds no node, which is a problem only if no object has it. While
there is doubt, no node is removed.

Source: libcluster ``Cluster.Strategy.Kubernetes``, lib/strategy/kubernetes.ex, ``format_node``.
Differs: IPv6 addresses make valid names in mode ``dns``; ``CLUSTER_DOMAIN`` applies to names as
well; without a basename, or for a pod without a hostname in mode ``hostname``, a node is known by
its address until it introduces itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Literal

from msgspec import Struct

from cluster_kit.abc import Found, Gone, Leaving, Observation
from cluster_kit.node import Node, join_address
from cluster_kit.strategies.kubernetes.resources import PeerAddress, Reading

Mode = Literal["ip", "dns", "hostname"]


class Naming(Struct, frozen=True, kw_only=True):
    """How nodes are named.

    Attributes:
        basename: The part before the ``@``; ``None`` if peers introduce themselves.
        mode: What the part after it is made of.
        service: The Service that governs hostnames.
        domain: The cluster's DNS domain.
    """

    basename: str | None
    mode: Mode
    service: str | None
    domain: str

    def node_of(self, entry: PeerAddress) -> Node | None:
        """Return the node at ``entry``; ``None`` where neither name nor address is known.

        Raises:
            ValueError: The entry holds what can't be a host.
        """
        host = self._host(entry) if self.basename else None
        if host is None and entry.port is None:
            return None
        return Node(
            name=f"{self.basename}@{host}" if host else None,
            address=join_address(entry.ip, entry.port) if entry.port is not None else None,
        )

    def _host(self, entry: PeerAddress) -> str | None:
        match self.mode:
            case "ip":
                return entry.ip
            case "dns":
                dashed = entry.ip.replace(".", "-").replace(":", "-")
                return f"{dashed}.{entry.namespace}.pod.{self.domain}"
            case "hostname" if entry.hostname:
                return f"{entry.hostname}.{self.service}.{entry.namespace}.svc.{self.domain}"
        return None


class _Member(Struct, frozen=True):
    """A node and its entry."""

    node: Node
    entry: PeerAddress


class CollectionView:
    """The nodes of one collection.

    Args:
        naming: Turns addresses into nodes.
        prefer_ipv6: Which address family to choose for a pod that has both.
        count_unready: Whether pods count that fail their readiness probe.
        needs_port: Whether a node is usable only with a port.
        earlier: Nodes that an earlier run vouched for.
    """

    def __init__(
        self,
        naming: Naming,
        *,
        prefer_ipv6: bool,
        count_unready: bool,
        needs_port: bool,
        earlier: Iterable[Node] = (),
    ) -> None:
        self._naming = naming
        self._prefer_ipv6 = prefer_ipv6
        self._count_unready = count_unready
        self._needs_port = needs_port
        self._objects: dict[str, list[_Member]] = {}
        self._problems: dict[str, str] = {}
        self._vouched = {node.key: node for node in earlier}
        self._is_reported = False
        self._leaving: set[str] = set()

    @property
    def problem(self) -> str | None:
        """Why no object has a node, although there are objects; ``None`` if some has one."""
        return None if any(self._objects.values()) else min(self._problems.values(), default=None)

    @property
    def size(self) -> int:
        """The number of objects."""
        return len(self._objects)

    @property
    def knows_nodes(self) -> bool:
        """Whether any node is known."""
        return bool(self._vouched)

    def replace(self, listed: Iterable[tuple[str, Reading]]) -> None:
        """Replace all objects by a complete list, by their names."""
        self._objects.clear()
        self._problems.clear()
        for name, reading in listed:
            self.put(name, reading)

    def put(self, name: str, reading: Reading) -> None:
        """Record that an object exists or has changed."""
        self.remove(name)
        self._objects[name] = members = []
        if reading.problem and self._needs_port:
            cure = "set port to the number, or the name, of the port that peers listen on"
            self._problems[name] = f"{reading.problem}: {cure}"
        for entry in reading.entries:
            if entry.port is None and self._needs_port:
                continue
            try:
                node = self._naming.node_of(entry)
            except ValueError as exc:
                self._problems[name] = f"{name[:300]!r} holds what can't be a node: {exc}"
            else:
                members += [_Member(node, entry)] if node else []

    def remove(self, name: str) -> None:
        """Record that an object is gone."""
        self._objects.pop(name, None)
        self._problems.pop(name, None)

    def observe(self, *, doubt: bool = False, again: bool = False) -> list[Observation]:
        """Return what is new since the last call.

        Args:
            doubt: Remove no node.
            again: Return the complete answer even if nothing has changed.
        """
        present = self._merged()
        before = self._vouched
        dying = {key for key, member in present.items() if member.entry.terminating}
        replaced = self._leaving & (present.keys() - dying)
        staying = [key for key in present if key in before or key not in dying]
        vouched = {key: present[key].node for key in staying}
        if doubt:
            vouched = before | vouched
        news: list[Observation] = [Gone(key) for key in sorted(replaced)]
        news += [Leaving(key) for key in sorted(dying - self._leaving)]
        if again or replaced or not self._is_reported or vouched != before:
            news.append(Found(vouched.values()))
        self._vouched, self._leaving, self._is_reported = vouched, dying, True
        return news

    def _merged(self) -> dict[str, _Member]:
        """Return one member for each node, by its key."""
        everyone = chain.from_iterable(self._objects.values())
        counting = [member for member in everyone if self._counts(member.entry)]
        by_owner: dict[str, _Member] = {}
        by_key: dict[str, _Member] = {}
        for member in sorted(counting, key=self._rank):
            if by_owner.setdefault(member.entry.owner or member.node.key, member) is member:
                by_key.setdefault(member.node.key, member)
        return by_key

    def _counts(self, entry: PeerAddress) -> bool:
        return entry.ready or entry.terminating or self._count_unready

    def _rank(self, member: _Member) -> tuple[bool, bool, bool, str, int]:
        """Return the key that sorts members by use: the most useful comes first."""
        entry = member.entry
        is_other_family = (":" in entry.ip) != self._prefer_ipv6
        return entry.terminating, entry.port is None, is_other_family, entry.ip, entry.port or 0
