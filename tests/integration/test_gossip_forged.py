"""What somebody on the network can do in the name of others, who speak gossip over TCP links: nothing that lasts."""

import socket

import pytest
from cli_process import Cluster
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
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
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


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path) as cluster:
        yield cluster


def test_nodes_parted_by_forged_goodbyes_are_linked_again(cluster):
    given = options()
    file = cluster.write("forged.yaml", {"lan": {"strategy": "gossip", "connector": "tcp", "config": given}})
    names = ("ann@127.0.0.1", "bob@127.0.0.1")
    ann, bob = (cluster.run(name, file=file) for name in names)
    with Mallory(given) as mallory:
        ann.wait_for("node_up", node=names[1])
        bob.wait_for("node_up", node=names[0])
        for packet in [mallory.overhear(name) for name in names]:
            mallory.say(replace(packet, kind=Kind.GOODBYE))
        ann.wait_for("node_down", node=names[1])
        bob.wait_for("node_down", node=names[0])
        ann.wait_for("node_up", times=2, node=names[1])
        bob.wait_for("node_up", times=2, node=names[0])
