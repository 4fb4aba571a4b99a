"""Processes on a network in memory that freeze and die."""

import asyncio

import pytest
from memory_hosts import PORT, Reader, group_of, texts

from cluster_kit import Endpoint, NetworkError, NetworkFault
from cluster_kit.testing import (
    Cut,
    MemoryNetwork,
    Timeline,
    VirtualLoop,
)


class Machine:
    """A host with a process on it."""

    def __init__(self, memory, number):
        self.host = memory.host(f"10.0.0.{number}")
        self.loop = VirtualLoop(memory.timeline, name=f"process {number}")

    def run(self, coroutine):
        return self.loop.create_task(coroutine)


@pytest.fixture
def machines():
    """Return two machines, of which the first has dialled the second."""
    timeline = Timeline()
    memory = MemoryNetwork(timeline=timeline)
    ann, bob = Machine(memory, 1), Machine(memory, 2)
    ann.memory = memory

    async def serve():
        listener = await bob.host.listen(Endpoint("10.0.0.2", PORT))
        bob.readers = []
        listener.start(lambda stream: bob.readers.append(Reader(stream)))

    async def dial():
        ann.stream = await ann.host.dial(Endpoint("10.0.0.2", PORT))
        ann.reader = Reader(ann.stream)

    bob.run(serve())
    timeline.run(1)
    ann.run(dial())
    timeline.run(2)
    yield timeline, ann, bob
    assert not timeline.unhandled
    timeline.close()


def test_each_end_is_called_in_the_loop_of_its_process(machines):
    timeline, ann, bob = machines
    loops = []
    bob.readers[0].received = lambda data: loops.append(asyncio.get_running_loop())
    ann.stream.send(b"hello")
    timeline.run(3)
    assert loops == [bob.loop]


def test_the_kernel_of_a_frozen_process_accepts_and_receives_but_nothing_is_read(machines):
    timeline, ann, bob = machines
    bob.loop.pause()

    async def dial_again():
        stream = await ann.host.dial(Endpoint("10.0.0.2", PORT))
        stream.send(b"to the second")

    ann.run(dial_again())
    ann.stream.send(b"to the first")
    ann.stream.send(bytes(1_000_000))
    timeline.run(10)
    assert bob.readers[0].got == []
    assert len(bob.readers) == 1
    assert ann.stream.unsent_bytes > 500_000
    bob.loop.resume()
    timeline.run(11)
    assert bob.readers[0].data == b"to the first" + bytes(1_000_000)
    assert bob.readers[1].data == b"to the second"


def test_a_frozen_process_gets_the_datagrams_that_fit_in_its_kernel(machines):
    timeline, ann, bob = machines
    ann_joins, bob_joins = ann.run(group_of(ann.host)), bob.run(group_of(bob.host))
    timeline.run(3)
    ((said, _),), ((_, heard),) = ann_joins.result(), bob_joins.result()
    bob.loop.pause()
    for number in range(1000):
        said.send(b"%d" % number)
    timeline.run(4)
    assert heard == []
    bob.loop.resume()
    timeline.run(5)
    assert texts(heard) == [b"%d" % number for number in range(len(heard))]
    assert 400 < len(heard) < 600


def test_the_streams_of_a_killed_process_are_reset_and_its_port_is_free(machines):
    timeline, ann, bob = machines
    refused = []

    async def dial_again():
        try:
            await ann.host.dial(Endpoint("10.0.0.2", PORT))
        except NetworkError as error:
            refused.append(error.fault)

    bob.loop.kill()
    ann.run(dial_again())
    timeline.run(3)
    assert ann.reader.ended_s is not None
    assert refused == [NetworkFault.REFUSED]
    assert bob.readers[0].ended_s is None  # nothing of it runs any more
    again = VirtualLoop(timeline, name="again")
    listening = again.create_task(bob.host.listen(Endpoint("10.0.0.2", PORT)))
    timeline.run(4)
    assert listening.result().here == Endpoint("10.0.0.2", PORT)


def test_a_process_that_is_killed_while_it_dials_opens_nothing(machines):
    timeline, ann, bob = machines
    ann.run(ann.host.dial(Endpoint("10.0.0.2", PORT)))
    timeline.call_at(2.0007, ann.loop.kill)  # on the way back
    timeline.run(3)
    assert len(bob.readers) == 1


def test_a_process_killed_while_cut_off_is_noticed_when_its_peer_sends(machines):
    timeline, ann, bob = machines
    cut = ann.memory.add(Cut())
    bob.loop.kill()
    timeline.run(10)
    assert ann.reader.ended_s is None
    ann.memory.remove(cut)
    timeline.run(11)
    assert ann.reader.ended_s is None
    ann.loop.call_soon(ann.stream.send, b"are you there?")
    timeline.run(12)
    assert ann.reader.ended_s is not None
