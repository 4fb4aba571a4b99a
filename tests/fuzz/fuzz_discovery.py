"""Targets: what EPMD, name servers and stores answer."""

import struct
from collections.abc import Callable
from functools import partial

import dns.exception
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import dns.rrset
from fuzz_target import JSON, Target

from cluster_kit.abc import Answer
from cluster_kit.errors import RemoteProtocolError
from cluster_kit.node import BootId, Fence, Node, join_address
from cluster_kit.registry.entry import MAX_ENTRY_CHARS, Entry, newest
from cluster_kit.strategies.dns import server
from cluster_kit.strategies.dns.replies import (
    DnsReply,
    RecordType,
    ReplyStatus,
    by_family,
    nodes_of_services,
    targets_of,
)
from cluster_kit.strategies.epmd.entries import (
    Marker,
    decode_marker,
    describe,
    encode_marker,
    judge,
)
from cluster_kit.strategies.epmd.options import LOOPBACK
from cluster_kit.strategies.epmd.options import EpmdQuestion as Asked
from cluster_kit.wire.epmd import (
    MAX_EXTRA_BYTES,
    MAX_NAME_BYTES,
    MAX_NAMES,
    Dumped,
    Registered,
    Registration,
    read_dump,
    read_names,
    read_port,
    read_registered,
    register_request,
)

FENCE = Fence("shop", "lan")
MARKER = Marker(FENCE, BootId(1, 2), "10.0.0.1")
REGISTRATION = Registration(name="ann", port=4370, extra=encode_marker(MARKER))
EPMD_PORT = struct.pack(">I", 4369)

# -- EPMD ------------------------------------------------------------------------------------------


def check_registered(data: bytes) -> bool:
    """An answer is complete at one length, and says what stands there."""
    try:
        registered = read_registered(data)
    except RemoteProtocolError:
        return False
    if registered is None:
        return False
    layout = {118: ">BBI", 121: ">BBH"}[data[0]]
    assert struct.pack(layout, data[0], registered.result, registered.creation) == data
    assert all(read_registered(data[:length]) is None for length in range(len(data)))
    return isinstance(registered, Registered)


def answer_about(found: Registration) -> bytes:
    """Write PORT2_RESP as the documentation of EPMD has it."""
    details = struct.pack(
        ">HBBHH",
        found.port,
        found.node_type,
        found.protocol,
        found.highest_version,
        found.lowest_version,
    )
    fields = (found.name.encode(), found.extra)
    return b"w\0" + details + b"".join(struct.pack(">H", len(each)) + each for each in fields)


def check_port(answer: bytes) -> bool:
    """What is read occurs verbatim, and is a node or nobody's for a printable reason."""
    try:
        found = read_port(answer)
    except RemoteProtocolError:
        return False
    if found is None:
        return False
    assert answer.startswith(answer_about(found))
    assert len(found.name.encode()) <= MAX_NAME_BYTES
    assert len(found.extra) <= MAX_EXTRA_BYTES
    assert describe(found).isprintable()
    for epmd in (LOOPBACK, "10.0.0.9"):
        assert isinstance(judge(found, Asked(epmd, "host.example", None), FENCE), Node | str)
    return True


def check_names(answer: bytes) -> bool:
    """Names that are read are read again from a listing of theirs."""
    try:
        names = read_names(answer)
    except RemoteProtocolError:
        return False
    assert len(names) <= MAX_NAMES
    assert all(name.isprintable() and 0 <= port <= 65535 for name, port in names.items())
    lines = "".join(f"name {name} at port {port}\n" for name, port in names.items())
    assert read_names(EPMD_PORT + lines.encode()) == names
    return bool(names)


def dumped(each: Dumped) -> str:
    if each.active:
        return f"active name     <{each.name}> at port {each.port}, fd = 3\n\0"
    return f"old/unused name <{each.name}>, port = {each.port}, fd = 3 \n\0"


def check_dump(answer: bytes) -> bool:
    """As for names."""
    try:
        entries = read_dump(answer)
    except RemoteProtocolError:
        return False
    assert len(entries) <= MAX_NAMES
    assert read_dump(EPMD_PORT + "".join(map(dumped, entries)).encode()) == entries
    return bool(entries)


def check_marker(extra: bytes) -> bool:
    """A marker is written to what is read as its equal, and of which more may follow."""
    try:
        marker = decode_marker(extra)
    except RemoteProtocolError:
        return False
    if marker is None:
        return False
    again = encode_marker(marker)
    assert len(again) <= MAX_EXTRA_BYTES
    assert decode_marker(again + b"more") == marker
    return True


# -- name servers ----------------------------------------------------------------------------------

NAME = dns.name.from_text("web.shop.test.")
QUERY_ID = 1
RECORDS = {
    RecordType.A: ["127.0.0.2", "127.0.0.3"],
    RecordType.AAAA: ["::2"],
    RecordType.SRV: ["0 5 4370 web-0.shop.test.", "1 5 4371 web-1.shop.test."],
}


def dns_answer(kind: RecordType, records: list[str]) -> bytes:
    response = dns.message.make_response(
        dns.message.make_query(NAME, kind.value, id=QUERY_ID), recursion_available=True
    )
    if records:
        response.answer.append(dns.rrset.from_text(NAME, 30, "IN", kind, *records))
    if kind is RecordType.SRV:
        response.additional.append(
            dns.rrset.from_text("web-0.shop.test.", 30, "IN", "A", "127.0.0.2")
        )
    return response.to_wire()


def check_dns(kind: RecordType, data: bytes) -> bool:
    """Whatever dnspython accepts is a reply that makes sense, and an answer of the source."""
    query = dns.message.make_query(NAME, kind.value, id=QUERY_ID)
    try:
        message = dns.message.from_wire(QUERY_ID.to_bytes(2, "big") + data[2:])
        if not query.is_response(message):
            return False
        answer = dns.resolver.Answer(
            NAME,
            dns.rdatatype.from_text(kind),
            dns.rdataclass.IN,
            message,
            nameserver="Do53:127.0.0.1@53",
        )
    except (dns.exception.DNSException, ValueError):  # what its resolver takes for garbage
        return False
    reply = server._reply(answer, kind)
    assert (reply.status is ReplyStatus.FOUND) == bool(reply.addresses or reply.services)
    assert reply.reason or reply.status is ReplyStatus.FOUND
    if kind is RecordType.SRV:
        located = dict.fromkeys(
            targets_of(reply), DnsReply(status=ReplyStatus.FOUND, addresses=("127.0.0.2",))
        )
        assert isinstance(
            nodes_of_services("web.shop.test", reply, located, basename="web"), Answer
        )
    else:
        assert by_family(
            "web.shop.test", {kind: reply}, lambda address: Node(address=join_address(address, 1))
        )
    return reply.status is ReplyStatus.FOUND


# -- stores ----------------------------------------------------------------------------------------

BOOT = BootId(1, 2)
ANN = Node(name="ann@10.0.0.1", address="10.0.0.1:4370", metadata={"zone": "a"}, boot_id=BOOT)
ENTRIES = (
    Entry(node=ANN, boot_id=BOOT, fence=FENCE, ttl_s=10.0, state="here", renewal=7),
    Entry(
        node=ANN.evolve(address=None, metadata={}),
        boot_id=BOOT,
        fence=FENCE,
        ttl_s=0.5,
        state="gone",
        renewal=0,
    ),
)


def check_entry(value: bytes) -> bool:
    """An entry is written to what is read as its equal, and has a place among others."""
    entry = Entry.decode(value)
    if entry is None:
        return False
    assert len(value) <= MAX_ENTRY_CHARS
    assert Entry.decode(entry.encode()) == entry
    assert isinstance(entry.fence.cluster, str)
    assert isinstance(entry.fence.group, str)
    assert newest([entry, *ENTRIES])
    return True


def dns_target(kind: RecordType) -> Target:
    return Target(
        name=f"dns-{kind.lower()}",
        of=("cluster_kit.strategies.dns.server:ServerResolver",),
        check=partial(check_dns, kind),
        seeds=(
            dns_answer(kind, RECORDS[kind]),
            dns_answer(kind, RECORDS[kind][:1]),
            dns_answer(kind, []),
        ),
        max_bytes=600,
    )


def epmd_target(
    name: str, read: Callable[[bytes], object], check: Callable[[bytes], bool], *seeds: bytes
) -> Target:
    return Target(
        name=f"epmd-{name}", of=(f"{read.__module__}:{read.__name__}",), check=check, seeds=seeds
    )


TARGETS = (
    epmd_target("registered", read_registered, check_registered, b"v\0\0\0\0\7", b"y\1\0\7"),
    epmd_target(
        "port",
        read_port,
        check_port,
        b"w\0" + register_request(REGISTRATION)[3:],
        answer_about(Registration(name="beam", port=0, node_type=72, extra=b"")),
        b"w\1",
    ),
    epmd_target(
        "names",
        read_names,
        check_names,
        EPMD_PORT + b"name ann at port 4370\nname b\xc3\xa9 at port 1 at port 2\n",
        EPMD_PORT,
    ),
    epmd_target(
        "dump",
        read_dump,
        check_dump,
        EPMD_PORT
        + "".join(dumped(Dumped(n, 1, active=n < "b")) for n in ("a", "b", "a b>")).encode(),
    ),
    epmd_target(
        "marker",
        decode_marker,
        check_marker,
        encode_marker(MARKER),
        encode_marker(MARKER) + b"later",
    ),
    *map(dns_target, RecordType),
    Target(
        name="registry-entry",
        of=("cluster_kit.registry.entry:Entry.decode",),
        check=check_entry,
        seeds=tuple(entry.encode().encode() for entry in ENTRIES),
        form=JSON,
    ),
)
