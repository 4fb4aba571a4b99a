"""What a node announces over DNS-SD: the names that it registers, and its TXT record. Pure.

A TXT record is a list of strings ``key=value`` of at most 255 bytes. A longer entry goes on in
further strings that begin with ``+=``, so that every name and all metadata fit; an implementation
that doesn't know this sees a key ``+`` to skip. Tags are written as ``m.key=value``, with percent
signs for what a key may not contain.

Source: RFC 6763, section 6.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from cluster_kit.errors import RemoteProtocolError
from cluster_kit.node import BootId, Fence, Node, join_address

VERSION = "1"  # another version is another protocol; what is compatible is a further key instead
MAX_TEXT_BYTES = 8192  # the longest names and all metadata fit
MAX_LABEL_BYTES = 63  # RFC 1035, section 2.3.4
MAX_FENCE_CHARS = 255

_MAX_STRING_BYTES = 255
_MORE = b"+="
_TAG = "m."
_IN_A_KEY = "".join(map(chr, range(0x20, 0x7F))).replace("=", "").replace("%", "")
_NOT_IN_A_LABEL = re.compile(r"[^A-Za-z0-9@_-]")
_BOOT = re.compile(r"([0-9a-f]{1,16})-([0-9a-f]{16})")
_REVISION = re.compile(r"[0-9]{1,18}")
_NONCE_CHARS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """The content of a node's TXT record.

    Attributes:
        node: The node without its address, which is in other records.
        fence: Cluster and group.
        leaving: Whether it is about to leave.
        revision: Grows with each change of this run, since records may arrive out of order.
    """

    node: Node
    fence: Fence
    leaving: bool = False
    revision: int = 0


def encode(announcement: Announcement) -> bytes:
    """Return the TXT record."""
    return b"".join(
        bytes((len(string),)) + string
        for entry in _entries(announcement)
        for string in _split(entry)
    )


def _entries(announcement: Announcement) -> Iterator[bytes]:
    pairs = {
        "txtvers": VERSION,
        "name": announcement.node.key,
        "cluster": announcement.fence.cluster,
        "group": announcement.fence.group,
        "boot": str(announcement.node.boot_id),
        "rev": str(announcement.revision),
    }
    if announcement.leaving:
        pairs["leaving"] = "1"
    for key, value in sorted(announcement.node.metadata.items()):
        pairs[_TAG + quote(key, safe=_IN_A_KEY)] = value
    for key, value in pairs.items():
        yield f"{key}={value}".encode()


def _split(entry: bytes) -> Iterator[bytes]:
    yield entry[:_MAX_STRING_BYTES]
    step = _MAX_STRING_BYTES - len(_MORE)
    for start in range(_MAX_STRING_BYTES, len(entry), step):
        yield _MORE + entry[start : start + step]


def decode(text: bytes) -> Announcement:
    """Return the content of a TXT record.

    Raises:
        RemoteProtocolError: It is malformed, or not that of a node.
    """
    if len(text) > MAX_TEXT_BYTES:
        what = f"TXT record of {len(text)} bytes: at most {MAX_TEXT_BYTES} allowed"
        raise RemoteProtocolError(f"mdns: {what}")
    try:
        return _read(dict(_pairs(text)))
    except ValueError as exc:
        raise RemoteProtocolError(f"mdns: not the TXT record of a node: {exc}") from exc


def _pairs(text: bytes) -> Iterator[tuple[str, str]]:
    """Yield key and value of each entry, in reverse, so that the first one of a key wins in a dict.

    Source: RFC 6763, section 6.4.
    """
    entries: list[bytearray] = []
    for string in _strings(text):
        if string.startswith(_MORE) and entries:
            entries[-1] += string[len(_MORE) :]
        else:
            entries.append(bytearray(string))
    for entry in reversed(entries):
        key, _, value = bytes(entry).partition(b"=")
        yield key.decode(), value.decode()


def _strings(text: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(text):
        end = start + 1 + text[start]
        if end > len(text):
            raise ValueError("its last string is cut short")
        yield text[start + 1 : end]
        start = end


def _read(pairs: Mapping[str, str]) -> Announcement:
    if (version := pairs.get("txtvers", "")) != VERSION:
        raise ValueError(f"version {version[:8]!r}, only {VERSION!r} is understood")
    boot = _BOOT.fullmatch(pairs.get("boot", ""))
    if boot is None:
        raise ValueError(f"invalid boot {pairs.get('boot', '')[:40]!r}")
    boot_id = BootId(int(boot[1], 16), int(boot[2], 16))
    tags = {key.removeprefix(_TAG): pairs[key] for key in pairs if key.startswith(_TAG)}
    metadata = {unquote(key, errors="strict"): value for key, value in tags.items()}
    revision = _REVISION.fullmatch(pairs.get("rev", ""))
    return Announcement(
        node=Node(name=pairs.get("name", ""), metadata=metadata, boot_id=boot_id),
        fence=Fence(_fence_part(pairs, "cluster"), _fence_part(pairs, "group")),
        leaving=pairs.get("leaving") == "1",
        revision=int(revision[0]) if revision else 0,
    )


def _fence_part(pairs: Mapping[str, str], key: str) -> str:
    part = pairs.get(key)
    if part is None or len(part) > MAX_FENCE_CHARS:
        raise ValueError(f"{key} is missing, or longer than {MAX_FENCE_CHARS}")
    return part


def instance_name(node: Node, service_type: str) -> str:
    """Return the name of the service that ``node`` registers: one label, unique to this run."""
    assert node.boot_id is not None
    room = MAX_LABEL_BYTES - 1 - _NONCE_CHARS
    label = _NOT_IN_A_LABEL.sub("-", node.key)[:room]
    return f"{label}-{node.boot_id.nonce:0{_NONCE_CHARS}x}.{service_type}"


def host_name(boot_id: BootId) -> str:
    """Return the host name that the service of this run points to, unique to this run."""
    return f"clusterkit-{boot_id.nonce:0{_NONCE_CHARS}x}.local."


def is_instance(name: str, service_type: str) -> bool:
    """Whether ``name`` can be asked for as a service: one label that survives re-encoding."""
    label = name[: -len(service_type) - 1]
    return (
        name.lower() == f"{label}.{service_type}".lower()
        and 0 < len(label.encode(errors="replace")) <= MAX_LABEL_BYTES
        and label.isprintable()
        and not {".", "\N{REPLACEMENT CHARACTER}"} & set(label)
    )


def address_to_dial(addresses: Iterable[str], port: int, *, loopback: bool) -> str | None:
    """Return ``host:port`` with the best of ``addresses``; ``None`` if none can be dialled.

    IPv4 comes first, link-local last.

    Args:
        addresses: Those of the host; a link-local IPv6 address is usable only with its scope.
        port: The announced port.
        loopback: Whether loopback addresses can be dialled: from another machine they can't.
    """
    ips = {each: ipaddress.ip_address(each) for each in addresses}
    usable = [each for each, ip in ips.items() if _is_usable(ip, loopback=loopback)]
    if not usable:
        return None
    best = min(usable, key=lambda each: (ips[each].version, ips[each].is_link_local, each))
    return join_address(best, port)


def _is_usable(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, *, loopback: bool) -> bool:
    if ip.is_unspecified or ip.is_multicast or str(ip) == "255.255.255.255":
        return False
    if ip.is_loopback:
        return loopback
    return not (isinstance(ip, ipaddress.IPv6Address) and ip.is_link_local and ip.scope_id is None)
