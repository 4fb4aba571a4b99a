"""What ``InMemory`` provides to suites: strangers, and peers that crash and freeze."""

import asyncio

from cluster_kit import BootId, Node, Reason
from cluster_kit.abc import Seen
from cluster_kit.connectors.tcp import TcpConnector
from cluster_kit.strategies.gossip import GossipStrategy
from cluster_kit.testing import InMemory

ANN = Node(name="ann@127.0.0.1", address="127.0.0.1:45001")
BOB = Node(name="bob@127.0.0.1", address="127.0.0.1:45002")


class Suite(InMemory):
    deadline_s = 20.0

    def make_connector(self):
        return TcpConnector()

    def _boot(self, basename):
        return Node(
            name=f"{basename}@127.0.0.1", metadata={"told by": basename}, boot_id=BootId(1, 0)
        )


def play(scenario):
    suite = Suite()
    suite.run(scenario(suite))


def test_strangers_send_and_receive_and_half_close():
    async def scenario(suite):
        heard = []

        async def answer(reader, writer):
            heard.append(await reader.read())  # until the other half is closed
            writer.write(b"answer")
            writer.close()

        async with suite.listen_raw(answer) as address:
            reader, writer = await suite.dial_raw(address)
            writer.write(b"question")
            writer.write_eof()
            writer.write(b"too late")
            assert await reader.read() == b"answer"
            assert heard == [b"question"]
            writer.close()
            await writer.wait_closed()

    play(scenario)


def test_a_peer_that_crashes_or_freezes_is_noticed_by_the_connector():
    async def scenario(suite):
        for end, reason in (("crash", Reason.CLOSED), ("freeze", Reason.SILENT)):
            ann, links = suite.make_connector(), suite.make_links(boot_id=BootId(2, 0))
            await ann.start(ANN.evolve(address=None, boot_id=links.boot_id), links)
            async with suite.peer_apart("bob") as bob:
                await ann.connect(bob.node)
                await links.expect("up", "bob@127.0.0.1")
                if end == "crash":
                    await bob.crash()
                else:
                    bob.freeze()
                assert (await links.expect("down", "bob@127.0.0.1")).reason is reason
            await ann.stop()

    play(scenario)


def test_a_peer_can_dial():
    async def scenario(suite):
        ann, links = suite.make_connector(), suite.make_links(boot_id=BootId(2, 0))
        node = await ann.start(ANN.evolve(address=None, boot_id=links.boot_id), links)
        async with suite.peer_apart("bob", dial=node) as bob:
            await links.expect("up", bob.node.key)
        await ann.stop()

    play(scenario)


def test_a_frozen_bystander_expires():
    async def scenario(suite):
        strategy = GossipStrategy(port=45892, interval_s=0.1, ttl_s=2.0)
        seen_at_s, now_s = [], asyncio.get_running_loop().time

        async def watch():
            async for observation in strategy.discover(suite.discovery()):
                if isinstance(observation, Seen) and observation.node.name == BOB.name:
                    seen_at_s.append(now_s())

        with suite.bystander(strategy, suite.discovery(BOB)) as bob:
            watching = asyncio.create_task(watch())
            await asyncio.sleep(5)
            bob.freeze()
            frozen_at_s = now_s()
            await asyncio.sleep(10)
            watching.cancel()
        assert frozen_at_s - 2.0 <= seen_at_s[-1] <= frozen_at_s + 2.0

    play(scenario)


def test_each_scenario_has_a_network_of_its_own():
    async def scenario(suite):
        assert suite.memory is suite.memory
        assert suite.make_network() is not suite.make_other()
        networks.append(suite.memory)

    networks, suite = [], Suite()
    for _ in range(2):
        suite.run(scenario(suite))
    assert networks[0] is not networks[1]
