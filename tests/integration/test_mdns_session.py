"""A run in this process, with parts of its surroundings that a test can break."""

import asyncio
import secrets

from cluster_kit.abc import Failed, Seen
from cluster_kit.node import Node
from cluster_kit.strategies.mdns import MdnsStrategy, session
from cluster_kit.testing import FakeDiscovery, Listener
from cluster_kit.testing.listener import vouches

ANN = Node(name="ann@localhost", address="localhost:4000")
BOB = Node(name="bob@127.0.0.1", address="127.0.0.1:4001")
LOOKS = 5


class Restless(MdnsStrategy):
    """Looks at the interfaces twenty times a second."""

    def discover(self, ctx):
        return session.MdnsSession(self, ctx, look_s=0.05).observe()


class Looks:
    """Counts how often a run looks at the interfaces."""

    def __init__(self, monkeypatch):
        self._left = LOOKS
        self._enough = asyncio.Event()
        self._interfaces = session.devices
        monkeypatch.setattr(session, "devices", self._look)

    def _look(self):
        self._left -= 1
        if self._left == 0:
            self._enough.set()
        return self._interfaces()

    async def some_more(self):
        self._left, self._enough = LOOKS, asyncio.Event()
        async with asyncio.timeout(20):
            await self._enough.wait()


async def no_dns(host):
    return []


def test_dns_that_fails_later_changes_nothing(monkeypatch):
    async def scenario():
        strategy = Restless(service_type=f"_ck{secrets.token_hex(4)}._tcp.local.")
        looks, ctx = Looks(monkeypatch), FakeDiscovery(ANN)
        async with Listener(strategy, ctx) as ann, Listener(strategy, FakeDiscovery(BOB)) as bob:
            await bob.until(lambda each: vouches(each, ANN), "bob to find ann")
            monkeypatch.setattr(session, "look_up", no_dns)
            await looks.some_more()
            changed = ctx.local.evolve(metadata={"zone": "b"})
            ctx.change(local=changed)
            seen = await bob.until(
                lambda each: isinstance(each, Seen) and each.node.metadata == {"zone": "b"},
                "the change",
            )
            assert seen.node.address == "127.0.0.1:4000"
            assert not [each for each in ann.observations if isinstance(each, Failed)]

    asyncio.run(scenario())


def test_host_that_cannot_be_looked_up_at_first_is_used_when_it_can(monkeypatch):
    async def scenario():
        strategy = Restless(service_type=f"_ck{secrets.token_hex(4)}._tcp.local.")
        ctx = FakeDiscovery(ANN)
        with monkeypatch.context() as broken:
            broken.setattr(session, "look_up", no_dns)
            async with Listener(strategy, ctx) as ann:
                failed = await ann.until(lambda each: isinstance(each, Failed), "a failure")
                assert "cannot announce 'localhost:4000': its host has no address" in str(
                    failed.error
                )
                broken.undo()
                async with asyncio.timeout(20):
                    await ctx.has_announced.wait()

    asyncio.run(scenario())


def test_address_that_dns_cannot_carry_is_named():
    async def scenario():
        strategy = MdnsStrategy(service_type=f"_ck{secrets.token_hex(4)}._tcp.local.")
        async with Listener(
            strategy, FakeDiscovery(ANN.evolve(address="unix:/run/ann.sock"))
        ) as ann:
            failed = await ann.until(lambda each: isinstance(each, Failed), "the failure")
            assert "cannot announce 'unix:/run/ann.sock': DNS carries a host and a port" in str(
                failed.error
            )

    asyncio.run(scenario())
