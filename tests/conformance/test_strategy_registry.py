"""``RegistryStrategy`` keeps the contract, over a real server of expiring keys."""

from dataclasses import dataclass

import pytest
from key_server import KeyServer, ask

from cluster_kit import RegistryStrategy
from cluster_kit.testing import StrategyConformance


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStrategy(RegistryStrategy):
    port: int
    interval_s: float = 0.05
    ttl_s: float = 3.0

    async def put(self, key, value, ttl_s):
        await ask(self.port, key=key, value=value, ttl_s=ttl_s)

    async def values(self, prefix):
        return await ask(self.port, prefix=prefix)


class TestRegistry(StrategyConformance):
    listen_s = 0.3

    @pytest.fixture
    def strategy(self):
        with KeyServer() as self.server:
            yield KeyStrategy(port=self.server.port)

    def break_source(self):
        self.server.stop()

    def mend_source(self):
        self.server.start()

    def litter_source(self):
        litter = [
            "",
            "no JSON",
            "null",
            "[" * 15_000,
            '{"node": {"name": 1}}',
            '{"node": {"name": "no-host"}}',
            7,
            None,
        ]
        for place in ("a", "z"):  # before all entries, and after them
            self.server.keys.update(
                {f"{place}/{number}": (value, float("inf")) for number, value in enumerate(litter)}
            )
