"""Floods of datagrams against nodes with a secret: none gets in, none is lost, nothing grows.

``tox -e attacks`` sends 100,000 of each kind.
"""

import random
import socket
import time

import pytest
from waiting import until
from watched import FORMATION_S, FULL, GROUP, Recorder, Sockets, Watched

pytestmark = [pytest.mark.once, pytest.mark.timeout(3600 if FULL else 120)]

DATAGRAMS = 100_000 if FULL else 5_000
BATCH = 50
REPLAY_S = 60.0 if FULL else 6.0  # four heartbeats; a question is answered within milliseconds


@pytest.fixture
def watched(caplog):
    with Watched(caplog) as watched:
        yield watched


@pytest.fixture
def recordings(watched):
    """Form a cluster of three; return its datagrams, also those of one that left since."""
    with Recorder(watched.port) as recorder:
        watched.form(1, 2, 3)
        gone = watched.start(4)
        for node in watched.nodes.values():
            node.wait_for(4, timeout_s=FORMATION_S)
        gone.stop()
        del watched.nodes[watched.name(4)]
        for node in watched.nodes.values():
            until(
                lambda node=node: len(node.nodes()) == 2 and len(node.nodes(state="known")) == 2,
                "it is forgotten",
            )
    assert {host for _, (host, _) in recorder.heard} == {
        f"127.0.0.{number}" for number in (1, 2, 3, 4)
    }
    return recorder.heard


def sender():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    sock.bind(("127.0.0.66", 0))
    return sock


class Attack:
    """Makes datagrams of recordings."""

    def __init__(self, recordings):
        self._random = random.Random(1)
        self._recordings = [data for data, _ in recordings]

    def make(self, kind):
        return getattr(self, kind)()

    def noise(self):
        return self._random.randbytes(self._random.randint(0, 1400))

    def replayed(self):
        return self._random.choice(self._recordings)

    def truncated(self):
        data = self.replayed()
        return data[: self._random.randrange(len(data))]

    def flipped(self):
        data = bytearray(self.replayed())
        for _ in range(self._random.randint(1, 4)):
            bit = self._random.randrange(8 * len(data))
            data[bit // 8] ^= 1 << bit % 8
        return bytes(data)


def test_datagrams_of_strangers_change_nothing(watched, recordings):
    attack = Attack(recordings)
    own = sorted({source for _, source in recordings if source[0] != "127.0.0.4"})
    targets = [(GROUP, watched.port), *own]
    sockets = Sockets([port for _, port in targets])
    watched.began()
    with sender() as sock:
        for kind in ("noise", "replayed", "truncated", "flipped"):
            for number in range(DATAGRAMS):
                sock.sendto(attack.make(kind), targets[number % len(targets)])
                if number % BATCH == 0:
                    sockets.are_read()
        sockets.are_read()
    assert sockets.dropped() < DATAGRAMS / 10, "hardly anything has arrived"
    watched.unharmed()
    watched.start(5).wait_for(4, timeout_s=FORMATION_S)
    watched.unharmed(5)


def test_recordings_are_nothing_to_a_node_that_has_just_started(watched, recordings):
    watched.began()
    fresh = watched.start(5)
    until_s = time.monotonic() + REPLAY_S
    sockets = Sockets([watched.port])
    with sender() as sock:
        while time.monotonic() < until_s:
            for data, _ in recordings:
                sock.sendto(data, (GROUP, watched.port))
            sockets.are_read()
        fresh.wait_for(4, timeout_s=FORMATION_S)
    watched.unharmed(5)
