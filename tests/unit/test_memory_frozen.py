"""What a frozen process receives on a network in memory."""

import asyncio

from cluster_kit.network import Group
from cluster_kit.testing.memory.network import MemoryNetwork
from cluster_kit.testing.virtual_time.loop import VirtualLoop
from cluster_kit.testing.virtual_time.timeline import Timeline


def test_datagrams_to_a_frozen_process_are_received_when_it_goes_on():
    timeline = Timeline()
    network = MemoryNetwork(timeline=timeline)
    heard = []

    async def run(host, hear):
        address = host.addresses[0]
        datagrams = await host.join(Group("230.1.1.251", 45892, address, address), max_bytes=100)
        datagrams.listen(hear)
        return datagrams

    sending = VirtualLoop(timeline, name="sending").create_task(
        run(network.host("10.0.0.1"), lambda datagrams: None)
    )
    frozen = VirtualLoop(timeline, name="frozen")

    def hear(datagrams):
        heard.append(([data for data, _ in datagrams], timeline.now_s, asyncio.get_running_loop()))

    frozen.create_task(run(network.host("10.0.0.2"), hear))
    timeline.run(1.0)
    frozen.pause()
    sending.result().send(b"one")
    sending.result().send(b"two")
    timeline.run(2.0)
    assert not heard
    frozen.resume()
    timeline.run(3.0)
    timeline.close()
    assert heard == [([b"one", b"two"], 2.0, frozen)]
    assert not timeline.unhandled
