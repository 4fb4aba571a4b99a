"""Nodes that seal their gossip, for tests: what they say, and what is recorded and replayed."""

from gossip_lan import DELAY_S, FENCE, KEYRING, Lan

from cluster_kit.abc import Gone, Seen
from cluster_kit.node import BootId, Node
from cluster_kit.wire import envelope
from cluster_kit.wire.envelope import Envelope
from cluster_kit.wire.gossip import Kind, Packet, encode
from cluster_kit.wire.sealing import Sealing

SOON_S = 10 * DELAY_S
MALLORY = ("10.66.6.6", 666)


def sealed_lan(**given):
    return Lan(keyring=KEYRING, **given)


def member(number=1, *, name=None, metadata=None):
    """Return a node that has the secret, and its sealing."""
    boot_id = BootId(1_000_000 + number, number)
    node = Node(
        name=name or f"member{number}@10.1.0.1",
        address="10.1.0.1:4000",
        boot_id=boot_id,
        metadata=metadata or {},
    )
    return node, Sealing(node.name, boot_id, KEYRING)


def said(
    node,
    sealing,
    kind=Kind.HEARTBEAT,
    *,
    now_s=0.0,
    fence=FENCE,
    host="10.1.0.1",
    packet=None,
    **given,
):
    """Return what a member says."""
    packet = encode(Packet.of(node, fence, kind, leaving=False)) if packet is None else packet
    return sealing.seal(
        envelope.encode(Envelope(host=host, port=50_001, packet=packet, **given)), fence, now_s
    )


def recorded(lan, peer=None):
    """Return all that was sent so far, by one node or by all, each once."""
    return list(dict.fromkeys(send.datagram for _, by, _, send in lan.sent if peer in (None, by)))


def replay(lan, peer, recordings):
    """Have a node hear recordings from somewhere else; return what it made of them."""
    return [action for datagram in recordings for action in lan.deliver(peer, datagram, MALLORY)]


def observations(actions):
    return [action for action in actions if isinstance(action, Seen | Gone)]
