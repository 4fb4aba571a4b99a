"""The participants of a cluster: ``Node``, ``BootId``, ``Fence``, and the forms of addresses.

Nodes come from configurations, from strategy plugins and from the network, so a node checks itself
when it is made: it is safe to print, to log and to dial. It also brings its hosts into canonical
form, so that two spellings of the same participant are equal. Only a connector knows what its
addresses mean; ``host_and_port`` says whether one has a host and a port.
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
MAX_ADDRESS_CHARS = MAX_NAME_CHARS + len("[]:65535")  # a Unix socket's has 108 at most
MAX_METADATA_BYTES = 1024  # keys and values; with usual names it fits one unfragmented datagram

_MAX_GIVEN_CHARS = 300  # a longer address is refused unread
_NAME = re.compile(r"[!-?A-~]+@[!-?A-~]+")
_VISIBLE = re.compile(r"[!-?A-~]+")  # without "@", so that no address looks like a name
_LIKE_HOST_AND_PORT = re.compile(r"[^/]*:[0-9]{1,5}")
_BOOT_ID = re.compile(r"([0-9a-f]{1,16})-([0-9a-f]{16})")


@dataclass(frozen=True, slots=True, order=True)
class BootId:
    """Identifies one run of a node; a later run compares as greater.

    Attributes:
        started_ms: When the run started, in milliseconds since 1970.
        nonce: 64 random bits.
    """

    started_ms: int
    nonce: int

    def __post_init__(self) -> None:
        if not (0 <= self.started_ms < 2**63 and 0 <= self.nonce < 2**64):
            given = f"{self.started_ms}, {self.nonce} is out of range"
            raise ValueError(f"boot id: {given}: milliseconds since 1970 and 64 bits")

    @classmethod
    def new(cls) -> Self:
        """Make the identity of a run that starts now."""
        return cls(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(8)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the boot id of which ``text`` is the ``str``.

        Raises:
            ValueError: ``text`` has another form.
        """
        parts = _BOOT_ID.fullmatch(text) if isinstance(text, str) else None
        if parts is None:
            expected = "two hexadecimal numbers, such as '18c2f0a1b2c-00000000deadbeef'"
            raise ValueError(f"boot id: {text!r:.80}: expected {expected}")
        return cls(int(parts[1], 16), int(parts[2], 16))

    def __str__(self) -> str:
        return f"{self.started_ms:x}-{self.nonce:016x}"

    def __repr__(self) -> str:
        return f"BootId.parse('{self}')"


def made_up_name(kind: str, host: str) -> str:
    """Return a unique name for a node without a configured one.

    The process id alone is not unique: in containers, many processes have the same.
    """
    return f"{kind}-{os.getpid()}-{os.urandom(4).hex()}@{host}"


@dataclass(frozen=True, slots=True)
class Fence:
    """What two nodes must have in common to belong together; all others are silently ignored.

    Attributes:
        cluster: Name of the cluster, from the configuration.
        group: Name of the topology, unless its configuration has a ``group``.
    """

    cluster: str
    group: str


@final
@dataclass(frozen=True, slots=True)
class Node:
    """One participant of a cluster: frozen and hashable.

    ::

        >>> node = Node("web-1@LocalHost.", "127.0.0.1:4370", {"zone": "a"})
        >>> node.name, node.host, str(node)
        ('web-1@localhost', 'localhost', 'web-1@localhost')

    Args:
        name: ``basename@host``, the identity; ``None`` while only an address is known. The host is
            brought into canonical form (see ``cluster_kit.host``).
        address: Where its connector accepts links; ``None`` if it doesn't. Usually ``host:port``,
            whose host is brought into canonical form. A connector may use another form, such as
            ``unix:/run/web.sock``: visible ASCII without ``@``, which doesn't end in a colon and
            digits.
        metadata: Small tags, text to text, at most 1,024 bytes in all as UTF-8. They can change
            while the node runs.
        boot_id: Which run of the node it is; ``None`` if unknown.

    Attributes:
        key: The name, or the address while the name is unknown.

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
            metadata = {_exact(key): _exact(value) for key, value in self.metadata.items()}
            object.__setattr__(self, "metadata", MappingProxyType(metadata))
        _check_metadata(self.metadata)
        object.__setattr__(self, "key", self.name or self.address)

    def __init_subclass__(cls) -> None:
        why = "it goes through pipes to processes that know no other class"
        raise TypeError(f"Node cannot be subclassed: {why}")

    def __hash__(self) -> int:
        """Hash the key only: strings cache their hash, and large sets of nodes are made often."""
        return hash(self.key)

    def __reduce__(self) -> tuple[Any, ...]:
        return Node, (self.name, self.address, dict(self.metadata), self.boot_id)

    @property
    def host(self) -> str:
        """The host part of the name, else of the address; empty if there is none."""
        if self.name:
            return self.name.partition("@")[2]
        parts = host_and_port(self.address)
        return parts[0] if parts else ""

    def evolve(self, **changes: Any) -> Node:
        """Return a copy with some fields changed, such as ``node.evolve(metadata={})``."""
        return replace(self, **changes)

    def to_plain(self) -> dict[str, Any]:
        """Return the node as a dict that fits JSON; what it lacks is left out."""
        plain = {
            "name": self.name,
            "address": self.address,
            "metadata": dict(self.metadata),
            "boot_id": None if self.boot_id is None else str(self.boot_id),
        }
        return {key: value for key, value in plain.items() if value}

    @classmethod
    def from_plain(cls, plain: object) -> Node:
        """Return the node of which ``plain`` is the plain form; see ``to_plain``.

        Args:
            plain: Untrusted data; anything is allowed. Unknown keys are ignored.

        Raises:
            ValueError: It does not describe a node.
        """
        if not isinstance(plain, Mapping):
            expected = "expected a mapping with name, address, metadata and boot_id"
            raise ValueError(f"node: {plain!r:.80}: {expected}")
        metadata, boot_id = plain.get("metadata"), plain.get("boot_id")
        if metadata is not None and not isinstance(metadata, Mapping):
            raise ValueError(f"node: metadata {metadata!r:.80}: expected a mapping of text to text")
        boot = None if boot_id is None else BootId.parse(boot_id)
        return cls(plain.get("name"), plain.get("address"), metadata or {}, boot)

    def __repr__(self) -> str:
        fields = {
            "name": self.name,
            "address": self.address,
            "metadata": dict(self.metadata),
            "boot_id": self.boot_id,
        }
        given = ", ".join(f"{key}={value!r}" for key, value in fields.items() if value)
        return f"Node({given})"

    def __str__(self) -> str:
        return self.key


# Three questions about two descriptions of one node. Where a boot id is missing, the first two may
# both be answered with yes: then nothing rules out one run, but the addresses suggest two.


def may_be_same_run(one: Node, other: Node) -> bool:
    """Whether the boot ids leave it open that this is one run; a missing one fits every run."""
    return one.boot_id is None or other.boot_id is None or one.boot_id == other.boot_id


def is_other_run(one: Node, other: Node) -> bool:
    """Whether these are different runs; without both boot ids, different addresses say so."""
    if one.boot_id is not None and other.boot_id is not None:
        return one.boot_id != other.boot_id
    return None not in (one.address, other.address) and one.address != other.address


def is_earlier_run(one: Node, other: Node) -> bool:
    """Whether ``one`` started before ``other`` by their clocks; never without both boot ids."""
    return one.boot_id is not None and other.boot_id is not None and one.boot_id < other.boot_id


def _exact(text: str) -> str:
    """Return ``text`` as a plain ``str``: another process may lack the class of a subclass."""
    if not isinstance(text, str):
        raise ValueError(
            f"node: {text!r:.80} is not text: name, address and metadata are strings; quote numbers"
        )
    return str.__str__(text)


def _is_exact(metadata: Mapping[str, str]) -> bool:
    return all(type(key) is str and type(value) is str for key, value in metadata.items())


def canonical_name(name: str) -> str:
    """Return ``basename@host`` with its host in canonical form.

    Raises:
        ValueError: It is not such a name; says why.
    """
    if len(name) > MAX_NAME_CHARS or not _NAME.fullmatch(name):
        expected = f"expected basename@host in visible ASCII, at most {MAX_NAME_CHARS} long"
        why = why_unexpanded(name) or expected
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
    """Return a name or an address in canonical form, and any other text as it is."""
    if not isinstance(text, str):
        raise TypeError(f"{text!r:.80}: expected the name of a node, or its address without one")
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
            pair = f"{key!r:.80}: {value!r:.80}"
            raise ValueError(f"metadata {pair} is not text that UTF-8 can hold") from exc
    if size > MAX_METADATA_BYTES:
        cure = f"at most {MAX_METADATA_BYTES} allowed; keep tags small"
        raise ValueError(f"metadata takes {size} bytes: {cure}")


def canonical_address(address: str) -> str:
    """Return ``host:port`` with its host in canonical form, and any other address as it is.

    Raises:
        ValueError: It is not visible ASCII, it is too long, or its host or port is invalid.
    """
    if _LIKE_HOST_AND_PORT.fullmatch(address):
        return join_address(*split_address(address))
    if ip_of(address) is not None:
        cure = f"write {join_address(address, 4370)}"
        raise ValueError(f"address: {address!r}: a port is missing: {cure}")
    if len(address) > MAX_ADDRESS_CHARS or not _VISIBLE.fullmatch(address):
        other = f"in another form at most {MAX_ADDRESS_CHARS} visible ASCII characters without '@'"
        raise ValueError(f"address: {address[:80]!r}: expected host:port, or {other}")
    return address


def host_and_port(address: str | None) -> tuple[str, int] | None:
    """Return host and port of an address; ``None`` if its connector uses another form."""
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
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    if not (colon and host and is_port) or len(address) > _MAX_GIVEN_CHARS:
        expected = "expected host:port with a port from 0 to 65535"
        raise ValueError(f"address: {address[:80]!r}: {expected}")
    try:
        return canonical_host(host), int(port)
    except ValueError as exc:
        raise ValueError(f"address: {address[:80]!r}: {exc}") from exc


def split_endpoint(text: str) -> tuple[str, int | None]:
    """Split ``host`` or ``host:port``; an IPv6 host without a port needs no brackets.

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
