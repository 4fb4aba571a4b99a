"""A peer changes incessantly: the application gets some of its states, and always the last one."""

import socket
import time
from contextlib import closing

import pytest
from waiting import next_of, until

from cluster_kit import NodeDown, NodeUp, NodeUpdated
from cluster_kit.membership.notifier import BURST, INTERVAL_S, UPDATES
from cluster_kit.node import BootId, Fence, Node, split_address
from cluster_kit.wire.frames import (
    Confirm,
    FrameReader,
    Goodbye,
    Hello,
    Identity,
    Update,
    Welcome,
    decode,
    encode,
)
from cluster_kit.wire.link import Farewell

pytestmark = pytest.mark.once

FLOOD = 20_000
FLAPS = 60
NAME = "mallory@127.0.0.1"


class Peer:
    """A bare socket that is linked to a node."""

    def __init__(self, status, fence, boot=1):
        self._socket = socket.create_connection(split_address(status.address), timeout=30)
        self._frames = FrameReader()
        node = Node(name=NAME, boot_id=BootId(boot, boot))
        identity = Identity.of(node, fence, leaving=False, wanted=True)
        self.say(Hello(magic="cluster_kit", version=1, identity=identity))
        assert isinstance(self._hear(), Welcome)
        self.say(Confirm())

    def say(self, *frames):
        self._socket.sendall(b"".join(encode(frame) for frame in frames))

    def close(self):
        self._socket.close()

    def _hear(self):
        while (body := self._frames.next(65536)) is None:
            data = self._socket.recv(4096)
            assert data, "turned away"
            self._frames.feed(data)
        return decode(body)


@pytest.fixture
def ann(bench):
    ann = bench.start("ann")
    until(lambda: ann.status()["lan"].address, "ann to listen")
    return ann


@pytest.fixture
def fence(bench):
    return Fence(bench.cluster, "lan")


def test_flood_of_updates_becomes_few_events_and_the_last_one_arrives(ann, fence):
    events = ann.subscribe()
    with closing(Peer(ann.status()["lan"], fence)) as peer:
        next_of(events, NodeUp, node=NAME)
        began_s = time.monotonic()
        peer.say(*(Update(metadata={"count": str(count)}, leaving=False) for count in range(FLOOD)))
        told = [next_of(events, NodeUpdated, node=NAME, timeout_s=60)]
        while told[-1].node.metadata["count"] != str(FLOOD - 1):
            told.append(next_of(events, NodeUpdated, node=NAME))
        assert len(told) <= UPDATES + 1 + (time.monotonic() - began_s) / INTERVAL_S
        counts = [int(event.node.metadata["count"]) for event in told]
        assert counts == sorted(counts)


def test_application_that_updates_its_metadata_all_the_time_reaches_the_others(bench, ann):
    bob = bench.start("bob")
    ann.wait_for(2, timeout_s=30)
    with ann.subscribe() as events:
        began_s = time.monotonic()
        for count in range(FLOOD):
            bob.update_metadata({"count": str(count)})
        told = [next_of(events, NodeUpdated)]
        while told[-1].node.metadata["count"] != str(FLOOD - 1):
            told.append(next_of(events, NodeUpdated))
        assert len(told) <= UPDATES + 1 + (time.monotonic() - began_s) / INTERVAL_S


def test_link_that_flaps_becomes_few_events_and_the_last_one_arrives(ann, fence):
    events = ann.subscribe()
    began_s = time.monotonic()
    for boot in range(1, FLAPS + 1):
        with closing(Peer(ann.status()["lan"], fence, boot)) as peer:
            peer.say(Goodbye(reason=Farewell.LEAVING))
    with closing(Peer(ann.status()["lan"], fence, FLAPS + 1)):
        last, told = BootId(FLAPS + 1, FLAPS + 1), []
        while not told or told[-1].node.boot_id != last:
            told.append(next_of(events, NodeUp | NodeDown, node=NAME))
        assert [type(event) for event in told] == [
            (NodeUp, NodeDown)[turn % 2] for turn in range(len(told))
        ]
        assert len(told) <= 2 * (BURST + 1 + (time.monotonic() - began_s) / INTERVAL_S)
        assert len(told) < 2 * FLAPS
