"""The protocol of EPMD, the Erlang Port Mapper Daemon, as values and as bytes: a node's half of it.

A request is its own length in two bytes, and a body that begins with a tag. A connection carries
one request. EPMD answers and closes it, except for a registration, which lasts as long as its
connection. Answers have no length, so an answer is complete at the end of the connection.

KILL_REQ (107) and STOP_REQ (115) are left out: a node has no business ending EPMD, or another
node's registration.

Source: Erlang/OTP, ERTS User's Guide, "Distribution Protocol", EPMD Protocol.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from cluster_kit.errors import LocalProtocolError, RemoteProtocolError

MAX_NAME_BYTES = 1020  # 255 characters of at most four bytes
MAX_EXTRA_BYTES = 2048  # EPMD itself accepts less
MAX_NAMES = 1024  # EPMD needs a descriptor for each, and by default has no more
MAX_LISTING_BYTES = 1 << 18
MAX_PORT_ANSWER_BYTES = 4096

_ALIVE2_REQ, _PORT_PLEASE2_REQ, _NAMES_REQ, _DUMP_REQ = 120, 122, 110, 100
_PORT2_RESP = 119
_ALIVE2_ANSWERS = {
    118: struct.Struct(">BBI"),  # ALIVE2_X_RESP
    121: struct.Struct(">BBH"),  # ALIVE2_RESP
}
_DETAILS = struct.Struct(">HBBHH")
_LENGTH = struct.Struct(">H")
_EPMD_PORT = struct.Struct(">I")
_NAMED = re.compile(rb"name (.+) at port (\d{1,5})")
_ACTIVE = re.compile(rb"active name +<(.+)> at port (\d{1,5}), fd = -?\d{1,9} *")
_UNUSED = re.compile(rb"old/unused name +<(.+)>,? (?:at )?port (?:= )?(\d{1,5}), fd = -?\d{1,9} *")


class NodeType(IntEnum):
    """How a node takes part in Erlang's distribution."""

    NORMAL = 77
    HIDDEN = 72


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A node as EPMD knows it.

    Args:
        name: The part of the node's name before the ``@``, by which EPMD knows it.
        port: Where the node accepts connections.
        node_type: A ``NodeType``, though EPMD doesn't check it.
        protocol: 0 is TCP.
        highest_version: The highest version of Erlang's distribution protocol: 6 since OTP 23.
        lowest_version: The lowest version of it.
        extra: Data for others, which EPMD passes on.
    """

    name: str
    port: int
    node_type: int = NodeType.NORMAL
    protocol: int = 0
    highest_version: int = 6
    lowest_version: int = 5
    extra: bytes = b""


@dataclass(frozen=True, slots=True)
class Registered:
    """The answer to a registration.

    Attributes:
        result: 0 if the registration was accepted.
        creation: Distinguishes the runs of a name.
    """

    result: int
    creation: int


@dataclass(frozen=True, slots=True)
class Dumped:
    """A name that EPMD remembers: registered now, if it is ``active``, or earlier."""

    name: str
    port: int
    active: bool


# -- requests ------------------------------------------------------------------------------------


def register_request(registration: Registration) -> bytes:
    """Return ALIVE2_REQ.

    Raises:
        LocalProtocolError: A part doesn't fit its field.
    """
    name = _name(registration.name)
    if len(registration.extra) > MAX_EXTRA_BYTES:
        found = f"{len(registration.extra)} bytes of extra"
        raise LocalProtocolError(f"epmd: {found}: at most {MAX_EXTRA_BYTES} allowed")
    try:
        details = _DETAILS.pack(
            registration.port,
            registration.node_type,
            registration.protocol,
            registration.highest_version,
            registration.lowest_version,
        )
    except struct.error as exc:
        raise LocalProtocolError(f"epmd: cannot register {registration!r}: {exc}") from exc
    return _request(_ALIVE2_REQ, details + _counted(name) + _counted(registration.extra))


def port_request(name: str) -> bytes:
    """Return PORT_PLEASE2_REQ.

    Raises:
        LocalProtocolError: No node can have that name.
    """
    return _request(_PORT_PLEASE2_REQ, _name(name))


def names_request() -> bytes:
    """Return NAMES_REQ."""
    return _request(_NAMES_REQ)


def dump_request() -> bytes:
    """Return DUMP_REQ."""
    return _request(_DUMP_REQ)


def _request(tag: int, body: bytes = b"") -> bytes:
    return _LENGTH.pack(1 + len(body)) + bytes((tag,)) + body


def _counted(field: bytes) -> bytes:
    return _LENGTH.pack(len(field)) + field


def _name(name: str) -> bytes:
    encoded = name.encode(errors="replace")
    if not 0 < len(encoded) <= MAX_NAME_BYTES or b"\0" in encoded:
        expected = f"1 to {MAX_NAME_BYTES} bytes without NUL"
        raise LocalProtocolError(f"epmd: name {name[:80]!r}: expected {expected}")
    return encoded


# -- answers -------------------------------------------------------------------------------------


def read_registered(data: bytes) -> Registered | None:
    """Return the answer to a registration, ``None`` while it is incomplete.

    Raises:
        RemoteProtocolError: It is malformed.
    """
    if not data:
        return None
    layout = _ALIVE2_ANSWERS.get(data[0])
    if layout is None or len(data) > layout.size:
        raise RemoteProtocolError(f"epmd: malformed answer to a registration: {data[:16]!r}")
    return Registered(*layout.unpack(data)[1:]) if len(data) == layout.size else None


def read_port(answer: bytes) -> Registration | None:
    """Return the node that was asked for, ``None`` if it isn't registered.

    Raises:
        RemoteProtocolError: It is malformed, or has been cut off.
    """
    if len(answer) < 2 or answer[0] != _PORT2_RESP:
        raise RemoteProtocolError(f"epmd: malformed answer about a name: {answer[:16]!r}")
    if answer[1] != 0:
        return None
    try:
        port, node_type, protocol, highest, lowest = _DETAILS.unpack_from(answer, 2)
        name, rest = _take_counted(answer[2 + _DETAILS.size :], MAX_NAME_BYTES)
        extra, rest = _take_counted(rest, MAX_EXTRA_BYTES)
        return Registration(
            name=name.decode(),
            port=port,
            node_type=node_type,
            protocol=protocol,
            highest_version=highest,
            lowest_version=lowest,
            extra=extra,
        )
    except (struct.error, ValueError) as exc:
        found = f"malformed answer of {len(answer)} bytes about a name"
        raise RemoteProtocolError(f"epmd: {found}: {exc}") from exc


def _take_counted(data: bytes, limit: int) -> tuple[bytes, bytes]:
    """Return the first field of ``data``, which its length precedes, and the rest.

    Raises:
        ValueError: The field is too long, or cut off.
    """
    (size,) = _LENGTH.unpack_from(data)
    field = data[_LENGTH.size : _LENGTH.size + size]
    if size > limit or len(field) < size:
        found = f"a field of {size} bytes, at most {limit} allowed"
        raise ValueError(f"{found}, of which {len(field)} are there")
    return field, data[_LENGTH.size + size :]


def read_names(answer: bytes) -> dict[str, int]:
    """Return the port of each registered name.

    A malformed line is skipped, such as one that a line break in a name has cut in two: it must not
    hide the others.

    Raises:
        RemoteProtocolError: It is not a listing, is too long, or was cut off in the middle of a
            line.
    """
    return dict(_entries(_lines(answer, b"\n"), _NAMED))


def read_dump(answer: bytes) -> tuple[Dumped, ...]:
    """Return all that EPMD remembers, in its order; lines are read as by ``read_names``.

    Raises:
        RemoteProtocolError: As ``read_names``.
    """
    lines = _lines(answer, b"\n\0")
    active = [Dumped(*entry, active=True) for entry in _entries(lines, _ACTIVE)]
    return (*active, *(Dumped(*entry, active=False) for entry in _entries(lines, _UNUSED)))


def _lines(answer: bytes, end: bytes) -> list[bytes]:
    """Return the lines of a listing, which EPMD's own port precedes."""
    if len(answer) > MAX_LISTING_BYTES:
        raise RemoteProtocolError(f"epmd: listing of more than {MAX_LISTING_BYTES} bytes")
    if len(answer) < _EPMD_PORT.size or not 0 < _EPMD_PORT.unpack_from(answer)[0] <= 65535:
        raise RemoteProtocolError(f"epmd: malformed listing: {answer[:16]!r}")
    *lines, rest = answer[_EPMD_PORT.size :].split(end)
    if rest:
        raise RemoteProtocolError(f"epmd: a listing was cut off: {rest[:40]!r}")
    if len(lines) > MAX_NAMES:
        found = f"listing of {len(lines)} names"
        raise RemoteProtocolError(f"epmd: {found}: at most {MAX_NAMES} allowed")
    return lines


def _entries(lines: list[bytes], form: re.Pattern[bytes]) -> Iterator[tuple[str, int]]:
    for line in lines:
        entry = form.fullmatch(line)
        if entry is None or len(entry[1]) > MAX_NAME_BYTES or int(entry[2]) > 65535:
            continue
        try:
            name = entry[1].decode()
        except UnicodeDecodeError:
            continue
        if name.isprintable():  # EPMD can't be asked for others: it ends a name at a null byte
            yield name, int(entry[2])
