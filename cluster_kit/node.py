"""The values that stand for participants: ``Node``, ``BootId``, ``Fence``, and the forms of addresses.

A node comes from configuration, from a strategy plugin or from the network, so it checks itself when it is made: whoever holds
a ``Node`` may print it, log it and dial it. It also brings its hosts into their canonical form, so that nodes which denote the
same participant in different spellings are equal. An address means something to its connector only; whoever wants the host and
port of one asks ``host_and_port`` whether it has them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self, final

from cluster_kit.host import canonical_host, ip_of, why_unexpanded

MAX_NAME_CHARS = 255  # a DNS name's bound, and more than any basename@host in use
MAX_ADDRESS_CHARS = MAX_NAME_CHARS + len("[]:65535")  # also of one that is no host and port; a Unix socket's has 108
MAX_METADATA_BYTES = 1024  # keys and values together; with usual names it still fits one unfragmented datagram

_MAX_GIVEN_CHARS = 300  # of an address that is looked at at all
_NAME = re.compile(r"[!-?A-~]+@[!-?A-~]+")
_VISIBLE = re.compile(r"[!-?A-~]+")  # ASCII without the "@" of names, so that a key is either a name or an address
_LIKE_HOST_AND_PORT = re.compile(r"[^/]*:[0-9]{1,5}")
_BOOT_ID = re.compile(r"([0-9a-f]{1,16})-([0-9a-f]{16})")


@dataclass(frozen=True, slots=True, order=True)
class BootId:
    """Which run of a node: its start in wall-clock milliseconds, then random bits. Totally ordered."""

    started_ms: int
    nonce: int

    def __post_init__(self) -> None:
        if not (0 <= self.started_ms < 2**63 and 0 <= self.nonce < 2**64):
            raise ValueError(f"boot id: {self.started_ms}, {self.nonce} is out of range: milliseconds since 1970 and 64 bits")

    @classmethod
    def new(cls) -> Self:
        """Make the identity of a run that starts now."""
        return cls(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(8)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the boot id that ``str`` wrote.

        Raises:
            ValueError: It is no such text.
        """
        parts = _BOOT_ID.fullmatch(text) if isinstance(text, str) else None
        if parts is None:
            raise ValueError(f"boot id: {text!r:.80}: expected two hexadecimal numbers, such as '18c2f0a1b2c-00000000deadbeef'")
        return cls(int(parts[1], 16), int(parts[2], 16))

    def __str__(self) -> str:
        return f"{self.started_ms:x}-{self.nonce:016x}"


def made_up_name(kind: str, host: str) -> str:
    """Return a name for a node that was given none: unique also where the processes of many containers have one number."""
    return f"{kind}-{os.getpid()}-{os.urandom(4).hex()}@{host}"


@dataclass(frozen=True, slots=True)
class Fence:
    """What must be equal for two nodes to belong together; everything else is foreign and silently ignored."""

    cluster: str
    group: str


@final
@dataclass(frozen=True, slots=True)
class Node:
    """One participant of a cluster.

    Args:
        name: ``basename@host``, the identity; ``None`` while only an address is known. The host is held in its canonical form
            (see ``cluster_kit.host``): ``Node(name="a@LocalHost.").name`` is ``"a@localhost"``.
        address: Where its connector is dialled, ``None`` where it can't be. It is opaque to everybody but connectors: up to
            ``MAX_ADDRESS_CHARS`` of visible ASCII without ``@``, such as ``unix:/run/web.sock``. Text that ends in colon and
            port is ``host:port``, and its host is held in canonical form.
        metadata: Small string tags; can change while the node runs.
        boot_id: Which run of the node, where known.

    Attributes:
        key: What the node is called until its name is known: its name, else its address.

    Raises:
        ValueError: A part is malformed or too long, or both name and address are missing.
    """

    name: str | None = None
    address: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    boot_id: BootId | None = None
    key: str = field(init=False, repr=False, compare=False, default="")

    def __post_init__(self) -> None:
        if self.name is None and self.address is None:
            raise ValueError("node: neither name nor address given: one of them is needed")
        if self.name is not None:
            if type(self.name) is not str:
                object.__setattr__(self, "name", _exact(self.name))
            object.__setattr__(self, "name", canonical_name(self.name))
        if self.address is not None:
            if type(self.address) is not str:
                object.__setattr__(self, "address", _exact(self.address))
            object.__setattr__(self, "address", canonical_address(self.address))
        if self.boot_id is not None and type(self.boot_id) is not BootId:
            raise ValueError(f"node: boot_id {self.boot_id!r:.80}: expected a BootId")
        if type(self.metadata) is not MappingProxyType or not _is_exact(self.metadata):
            object.__setattr__(self, "metadata", MappingProxyType({_exact(k): _exact(v) for k, v in self.metadata.items()}))
        _check_metadata(self.metadata)
        object.__setattr__(self, "key", self.name or self.address)

    def __init_subclass__(cls) -> None:
        raise TypeError("Node cannot be subclassed: it goes through pipes to processes that know no other class")

    def __hash__(self) -> int:
        """Hash the key, which a string remembers the hash of: sets of all nodes are made again and again."""
        return hash(self.key)

    def __reduce__(self) -> tuple[Any, ...]:
        return Node, (self.name, self.address, dict(self.metadata), self.boot_id)

    @property
    def host(self) -> str:
        """The host part of the name, else of the address; empty where there is none."""
        if self.name:
            return self.name.partition("@")[2]
        parts = host_and_port(self.address)
        return parts[0] if parts else ""

    def evolve(self, **changes: Any) -> Node:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def to_plain(self) -> dict[str, Any]:
        """Return the node as a dict of text, for JSON and the like; what it lacks is left out."""
        plain: dict[str, Any] = {"name": self.name, "address": self.address, "metadata": dict(self.metadata)}
        plain["boot_id"] = None if self.boot_id is None else str(self.boot_id)
        return {key: value for key, value in plain.items() if value}

    @classmethod
    def from_plain(cls, plain: object) -> Node:
        """Return the node that ``to_plain`` described. ``plain`` may be anything, since it comes from a source.

        Keys that a node doesn't have are ignored, so that entries may carry more.

        Raises:
            ValueError: It describes no node.
        """
        if not isinstance(plain, Mapping):
            raise ValueError(f"node: {plain!r:.80}: expected a mapping with name, address, metadata and boot_id")
        metadata, boot_id = plain.get("metadata"), plain.get("boot_id")
        if metadata is not None and not isinstance(metadata, Mapping):
            raise ValueError(f"node: metadata {metadata!r:.80}: expected a mapping of text to text")
        return cls(plain.get("name"), plain.get("address"), metadata or {}, None if boot_id is None else BootId.parse(boot_id))

    def __str__(self) -> str:
        return self.key


def is_other_run(one: Node, other: Node) -> bool:
    """Whether two nodes of one key are different runs of it.

    Their boot ids decide, or their addresses where one of them has no boot id.
    """
    if one.boot_id is not None and other.boot_id is not None:
        return one.boot_id != other.boot_id
    return None not in (one.address, other.address) and one.address != other.address


def _exact(text: str) -> str:
    """Return ``text`` as nothing but text: a node goes through pipes, and the other end may not know a subclass."""
    if not isinstance(text, str):
        raise ValueError(f"node: {text!r:.80} is not text: name, address and metadata must be strings; quote numbers")
    return str.__str__(text)


def _is_exact(metadata: Mapping[str, str]) -> bool:
    return all(type(key) is str and type(value) is str for key, value in metadata.items())


def canonical_name(name: str) -> str:
    """Return ``basename@host`` with its host in canonical form.

    Raises:
        ValueError: It is not such a name; says why.
    """
    if len(name) > MAX_NAME_CHARS or not _NAME.fullmatch(name):
        why = why_unexpanded(name) or f"expected basename@host in visible ASCII, at most {MAX_NAME_CHARS} long"
        raise ValueError(f"invalid name {name[:80]!r}: {why}")
    basename, _, host = name.partition("@")
    unexpanded = why_unexpanded(basename)
    if unexpanded:
        raise ValueError(f"invalid name {name[:80]!r}: {unexpanded}")
    try:
        return f"{basename}@{canonical_host(host)}"
    except ValueError as exc:
        raise ValueError(f"invalid name {name[:80]!r}: {exc}") from exc


def canonical_key(text: str) -> str:
    """Return a name or an address in canonical form; what is neither denotes nobody, and stays as it is."""
    if not isinstance(text, str):
        raise TypeError(f"{text!r:.80}: expected the name of a node, or its address where it has no name")
    try:
        return canonical_name(text) if "@" in text else canonical_address(text)
    except ValueError:
        return text


def _check_metadata(metadata: Mapping[str, str]) -> None:
    size = 0
    for key, value in metadata.items():
        try:
            size += len(key.encode()) + len(value.encode())
        except UnicodeEncodeError as exc:
            raise ValueError(f"metadata {key!r:.80}: {value!r:.80} is not text that UTF-8 can hold") from exc
    if size > MAX_METADATA_BYTES:
        raise ValueError(f"metadata takes {size} bytes: at most {MAX_METADATA_BYTES} allowed; keep tags small")


def canonical_address(address: str) -> str:
    """Return ``host:port`` with its host in canonical form, and any other address as it is.

    Raises:
        ValueError: It is neither: not visible ASCII, too long, or a host and port with something wrong.
    """
    if _LIKE_HOST_AND_PORT.fullmatch(address):
        return join_address(*split_address(address))
    if ip_of(address) is not None:
        raise ValueError(f"address: {address!r}: a port is missing: write {join_address(address, 4370)}")
    if len(address) > MAX_ADDRESS_CHARS or not _VISIBLE.fullmatch(address):
        raise ValueError(
            f"address: {address[:80]!r}: expected host:port, or in another form at most {MAX_ADDRESS_CHARS} visible ASCII "
            "characters without '@'"
        )
    return address


def host_and_port(address: str | None) -> tuple[str, int] | None:
    """Return host and port of a node's address, ``None`` if there are none: it means something to its connector only."""
    if address is None or not _LIKE_HOST_AND_PORT.fullmatch(address):
        return None
    return split_address(address)


def split_address(address: str) -> tuple[str, int]:
    """Split ``host:port`` or ``[v6]:port`` into the host in canonical form and the port.

    Raises:
        ValueError: It is not an address with a port from 0 to 65535.
    """
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host and ip_of(host) is not None and len(address) <= _MAX_GIVEN_CHARS:
        raise ValueError(f"address: {address!r}: an IPv6 host needs brackets: [{host}]:{port}")
    if (
        not (colon and host and port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535)
        or len(address) > _MAX_GIVEN_CHARS
    ):
        raise ValueError(f"address: {address[:80]!r}: expected host:port with a port from 0 to 65535")
    try:
        return canonical_host(host), int(port)
    except ValueError as exc:
        raise ValueError(f"address: {address[:80]!r}: {exc}") from exc


def split_endpoint(text: str) -> tuple[str, int | None]:
    """Split ``host`` or ``host:port``, with or without brackets around an IPv6 host without a port.

    Raises:
        ValueError: It is neither.
    """
    is_bracketed = ":" in text and text.startswith("[") and text.endswith("]")
    bare = text[1:-1] if is_bracketed else text
    if ":" not in bare or ip_of(bare) is not None:
        return canonical_host(bare), None
    return split_address(text)


def join_address(host: str, port: int) -> str:
    """Return ``host:port``, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
