"""Forged gossip in the names of others, beside TCP links: it parts nobody who is linked."""

import signal
import socket

import pytest
from gossip_process import options
from msgspec.structs import replace

from cluster_kit.wire.gossip import Kind, decode, encode

pytestmark = pytest.mark.once

DEADLINE_S = 30.0


class Mallory:
    """Hears the group, and speaks to it."""

    def __init__(self, given):
        self._group = (given["multicast_addr"], given["port"])
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        membership = socket.inet_aton(self._group[0]) + socket.inet_aton("127.0.0.1")
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        self._socket.setsockopt(
            socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1")
        )
        self._socket.bind(self._group)
        self._socket.settimeout(DEADLINE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def overhear(self, name):
        """Return a packet of the node."""
        while True:
            packet = decode(self._socket.recv(4096))
            if packet is not None and packet.name == name:
                return packet

    def say(self, packet):
        self._socket.sendto(encode(packet), self._group)


NAMES = ("ann@127.0.0.1", "bob@127.0.0.1", "cid@127.0.0.1")
# so that a link that is given up in one of them is down before all have heard the last one
ROUNDS = 3
NOBODY_PORT = 1


def goodbye(packet):
    return replace(packet, kind=Kind.GOODBYE)


def leaving(packet):
    return replace(packet, leaving=True)


def later_run_is_leaving(packet):
    started_ms, nonce = packet.boot
    return replace(packet, boot=(started_ms + 1000, nonce), leaving=True)


def stranger(packet, number):
    """Return the same of an unknown node that nobody can link to."""
    return replace(
        packet,
        kind=Kind.HEARTBEAT,
        name=f"zoe{number}@127.0.0.1",
        boot=(1, number),
        port=NOBODY_PORT,
    )


@pytest.mark.parametrize("forged", [goodbye, leaving, later_run_is_leaving])
def test_forged_words_part_no_linked_nodes(cluster, forged):
    given = options()
    file = cluster.write(
        "forged.yaml", {"lan": {"strategy": "gossip", "connector": "tcp", "config": given}}
    )
    runs = {name: cluster.run(name, file=file) for name in NAMES}
    pairs = [(run, other) for name, run in runs.items() for other in NAMES if other != name]
    with Mallory(given) as mallory:
        for run, other in pairs:
            run.wait_for("node_up", node=other)
        overheard = [mallory.overhear(name) for name in NAMES]
        for number in range(ROUNDS):
            for packet in overheard:
                mallory.say(forged(packet))
            last = stranger(overheard[0], number)
            mallory.say(last)
            for run in runs.values():
                # so it has heard all that was said before
                run.wait_for("node_found", node=last.name)
            assert [run.heard("node_down") for run in runs.values()] == [[], [], []]
    downs = []
    for name in NAMES[:-1]:
        leaver = runs.pop(name)
        leaver.signal(signal.SIGTERM)
        assert leaver.wait() == 0, leaver.errors
        downs.append(("node_down", name))
        for run in runs.values():
            # which it says over the link, so that has been up until now
            run.wait_for("node_down", node=name, reason="left")
            assert run.heard("node_down") == downs
