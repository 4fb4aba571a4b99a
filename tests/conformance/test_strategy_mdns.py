"""The strategy mdns keeps the contract, by multicast on loopback."""

import asyncio
import secrets

import pytest

from cluster_kit.strategies.mdns import MdnsStrategy
from cluster_kit.testing import StrategyConformance
from cluster_kit.testing.leaks import leaves_nothing


class TestMdns(StrategyConformance):
    @pytest.fixture
    def strategy(self):
        return MdnsStrategy(service_type=f"_ck{secrets.token_hex(4)}._tcp.local.", ttl_s=5)

    @pytest.mark.parametrize("turns", range(1, 13))
    def test_cancelled_while_it_starts_leaves_nothing_behind(self, strategy, turns):
        """Its sockets open over some turns of the event loop; the run is closed in each of them."""

        async def scenario():
            async with leaves_nothing(self.deadline_s):
                starting = asyncio.ensure_future(anext(strategy.discover(self.discovery())))
                for _ in range(turns):
                    await asyncio.sleep(0)
                starting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await starting

        asyncio.run(scenario())
