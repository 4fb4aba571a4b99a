"""Targets: what comes in by gossip and by mDNS."""

from contextlib import suppress

from fuzz_target import MSGPACK, Target, assert_metadata
from made_up_secrets import keyring

from cluster_kit.abc import Gone, Leaving, Seen
from cluster_kit.errors import RemoteProtocolError
from cluster_kit.network import Datagram, Endpoint
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.strategies.gossip.diagnosis import TrafficSorter
from cluster_kit.strategies.gossip.distrust import Distrusted
from cluster_kit.strategies.gossip.engine import GossipEngine, IgnoredDatagram, Send, Sooner
from cluster_kit.strategies.gossip.sealed import SealedEngine
from cluster_kit.strategies.mdns import records
from cluster_kit.strategies.mdns.records import MAX_TEXT_BYTES, Announcement
from cluster_kit.testing import FakeDiscovery
from cluster_kit.wire import envelope, gossip
from cluster_kit.wire.envelope import NONCE_BYTES, Envelope
from cluster_kit.wire.gossip import HEADER, MAX_DATAGRAM_BYTES, Kind, Packet
from cluster_kit.wire.sealing import AUTH_TAG_BYTES, SEALED_HEADER, NotOpened, Sealing, read_clear

SOURCES = (Endpoint("10.0.0.9", 45892), Endpoint("fe80::9%eth0", 45892))
FENCE = Fence("shop", "lan")
MAX_PLAIN_BYTES = 3900  # sealed, it fits into a datagram
ANN = Node(
    name="ann@10.0.0.1", address="10.0.0.1:4370", metadata={"zone": "a"}, boot_id=BootId(1, 2)
)
NODES = (
    ANN,
    Node(name="bob@host.example", address="unix:/run/bob.sock", boot_id=BootId(3, 4)),
    Node(
        name="cat@fe80::7",
        address="[fe80::7%eth1]:4370",
        metadata={"k": "v" * 300, "": "\u00e9="},
        boot_id=BootId(5, 6),
    ),
)
PACKETS = tuple(
    Packet.of(node, FENCE, kind, leaving=kind is Kind.ANSWER)
    for node, kind in zip(NODES, Kind, strict=False)
)


def check_gossip(datagram: bytes) -> bool:
    """An encoded packet decodes to its equal, and names a node wherever it comes from."""
    try:
        packet = gossip.decode(datagram)
    except RemoteProtocolError:
        return False
    if packet is None:
        return False
    for source in SOURCES:
        node = packet.node(source)
        assert (node.name, node.boot_id) == (packet.name, packet.boot_id)
        assert_metadata(node.metadata)
    if len(datagram) <= MAX_DATAGRAM_BYTES - 64:  # what was left out of it may be added
        again = gossip.encode(packet)
        assert gossip.decode(again) == packet
    return True


def check_envelope(plain: bytes) -> bool:
    """An envelope is encoded to what decodes to its equal, and says where to reply to."""
    try:
        opened = envelope.decode(plain)
    except RemoteProtocolError:
        return False
    assert envelope.decode(envelope.encode(opened)) == opened
    assert len(opened.nonce) == len(opened.echo) == NONCE_BYTES
    assert len(opened.packet) + len(opened.padding) <= len(plain)
    for source in SOURCES:
        assert opened.reply_to(source).port == opened.port > 0
    return True


OURS = Sealing("ann@10.0.0.1", BootId(1, 2), keyring(1))
OTHERS = Sealing("mallory@10.0.0.3", BootId(7, 8), keyring(2))
PLAIN = envelope.encode(Envelope(host="10.0.0.1", port=4370, packet=gossip.encode(PACKETS[0])))
SEALED = {OURS.seal(plain, FENCE, 1.0): plain for plain in (PLAIN, b"", bytes(300))}
NOT_OURS = (OTHERS.seal(PLAIN, FENCE, 1.0), OURS.seal(PLAIN, Fence("shop", "wan"), 1.0))


def check_sealing(datagram: bytes) -> bool:
    """Only what a member sealed opens, and what is in the clear is what it says."""
    clear = None
    with suppress(NotOpened):
        clear = read_clear(datagram)
    if clear is not None:
        written = SEALED_HEADER + clear.fence_tag + clear.key_id
        written += b"".join(each.to_bytes(8, "big") for each in (*clear.boot, clear.stamp))
        written += bytes((len(clear.name_bytes),)) + clear.name_bytes
        assert datagram[: clear.size_bytes] == written
        assert clear.size_bytes + AUTH_TAG_BYTES <= len(datagram) <= MAX_DATAGRAM_BYTES
        assert clear.name.isprintable()
    try:
        opened = OURS.open(datagram, FENCE)
    except NotOpened:
        assert datagram not in SEALED
    else:
        assert clear is not None
        assert opened.boot == clear.boot
        assert opened.plain == SEALED[datagram]
    return clear is not None


# -- what a node makes of them ---------------------------------------------------------------------

BOB = Node(name="bob@10.0.0.2", address="10.0.0.2:4370", boot_id=BootId(3, 4))


def engine() -> GossipEngine:
    """Return the part of a node in the gossip, which has just begun."""
    begun = GossipEngine(BOB, interval_s=1.5, ttl_s=10.0, random=lambda: 0.5, fence=FENCE)
    begun.start(1.0)
    return begun


def sealed_engine() -> SealedEngine:
    sealing = Sealing("bob@10.0.0.2", BootId(3, 4), keyring(1))
    begun = SealedEngine(
        engine(), sealing, fence=FENCE, ttl_s=10.0, random=lambda: 0.5, key=bytes(range(32))
    )
    begun.hears_at(Endpoint("10.0.0.2", 45892))
    return begun


def check_engine(datagram: bytes) -> bool:
    """Without secrets, a named sender is seen, lost, or ignored with a one-line reason."""
    actions = engine().receive([Datagram(datagram, SOURCES[0])], 2.0)
    for action in actions:
        assert isinstance(
            action, Seen | Leaving | Gone | Send | Sooner | IgnoredDatagram | Distrusted
        )
        assert not isinstance(action, IgnoredDatagram) or "\n" not in action.why
        assert not isinstance(action, Send) or len(action.datagram) <= MAX_DATAGRAM_BYTES
    return any(isinstance(action, Seen | Gone) for action in actions)


def check_sealed_engine(data: bytes) -> bool:
    """A first datagram makes nobody seen: neither unsealed nor from a member yet unproven."""
    sent = OURS.seal(data[:MAX_PLAIN_BYTES], FENCE, 2.0)
    understood = False
    for datagram in (data, sent):
        begun = sealed_engine()
        actions = [*begun.receive([Datagram(datagram, SOURCES[0])], 2.0), *begun.tick(3.0)]
        assert not any(isinstance(action, Seen | Leaving | Gone) for action in actions)
        sends = [action for action in actions if isinstance(action, Send)]
        assert all(len(send.datagram) <= MAX_DATAGRAM_BYTES for send in sends)
        understood = any(isinstance(action, Send) and action.to is not None for action in actions)
    return understood


ear_context = FakeDiscovery(BOB, fence=FENCE, keyring=keyring(1)), FakeDiscovery(BOB, fence=FENCE)


def check_ear(data: bytes) -> bool:
    """What the doctor receives is described in printable words, and is bounded."""
    heard = False
    for ctx in ear_context:
        ear = TrafficSorter(ctx)
        ear.hear(
            [
                Datagram(each, SOURCES[0])
                for each in (data, OURS.seal(data[:MAX_PLAIN_BYTES], FENCE, 2.0))
            ]
        )
        assert all(text.isprintable() for text in (*ear.nodes, *ear.others, *ear.others.values()))
        heard = heard or bool(ear.nodes)
    return heard


TOLD = tuple(
    Announcement(node=node.evolve(address=None), fence=FENCE, leaving=leaving, revision=revision)
    for node, leaving, revision in zip(NODES, (False, True, False), (0, 7, 10**17), strict=True)
)


def check_txt(text: bytes) -> bool:
    """What a TXT record says is written to one that says the same."""
    try:
        told = records.decode(text)
    except RemoteProtocolError:
        return False
    assert told.node.name is not None
    assert_metadata(told.node.metadata)
    again = records.encode(told)
    assert len(again) <= MAX_TEXT_BYTES
    assert records.decode(again) == told
    return True


TARGETS = (
    Target(
        name="gossip",
        of=("cluster_kit.wire.gossip:decode",),
        check=check_gossip,
        seeds=(*map(gossip.encode, PACKETS), gossip.encode(PACKETS[0].padded(600))),
        form=MSGPACK._replace(head_bytes=len(HEADER)),
    ),
    Target(
        name="envelope",
        of=("cluster_kit.wire.envelope:decode",),
        check=check_envelope,
        seeds=(
            PLAIN,
            envelope.encode(Envelope(host=None, port=1, padding=bytes(99))),
            envelope.encode(Envelope(host="::1", port=9)),
        ),
        form=MSGPACK,
    ),
    Target(
        name="sealing",
        of=(
            "cluster_kit.wire.sealing:Sealing.open",
            "cluster_kit.wire.sealing:read_clear",
            "cluster_kit.wire.sealing:is_sealed",
        ),
        check=check_sealing,
        seeds=(*SEALED, *NOT_OURS),
    ),
    Target(
        name="gossip-engine",
        of=(
            "cluster_kit.strategies.gossip.engine:GossipEngine.receive",
            "cluster_kit.strategies.gossip.engine:read",
        ),
        check=check_engine,
        seeds=tuple(map(gossip.encode, PACKETS)),
        form=MSGPACK._replace(head_bytes=len(HEADER)),
    ),
    Target(
        name="gossip-sealed",
        of=("cluster_kit.strategies.gossip.sealed:SealedEngine.receive",),
        check=check_sealed_engine,
        seeds=(
            PLAIN,
            envelope.encode(
                Envelope(
                    host="10.0.0.1", port=4370, nonce=bytes(range(16)), echo=bytes(range(16, 32))
                )
            ),
        ),
        form=MSGPACK,
    ),
    Target(
        name="gossip-ear",
        of=("cluster_kit.strategies.gossip.diagnosis:TrafficSorter.hear",),
        check=check_ear,
        seeds=(PLAIN, *map(gossip.encode, PACKETS)),
        form=MSGPACK._replace(head_bytes=len(HEADER)),
    ),
    Target(
        name="mdns-txt",
        of=("cluster_kit.strategies.mdns.records:decode",),
        check=check_txt,
        seeds=tuple(map(records.encode, TOLD)),
        max_bytes=9000,
    ),
)
