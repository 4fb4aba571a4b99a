"""The built-in strategies keep the contract."""

import socket

import pytest

from cluster_kit.security.keys import Keyring, SecretKeys
from cluster_kit.strategies.gossip import GossipStrategy
from cluster_kit.strategies.static import StaticStrategy
from cluster_kit.testing import StrategyConformance


class TestStatic(StrategyConformance):
    @pytest.fixture
    def strategy(self):
        return StaticStrategy(nodes=("dan@127.0.0.1:45004", "127.0.0.1:45005"))


class TestGossip(StrategyConformance):
    @pytest.fixture
    def strategy(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        return GossipStrategy(port=port, interval_s=0.1, ttl_s=2.0)


class TestSealedGossip(TestGossip):
    keyring = Keyring(SecretKeys(id=b"k" * 8, authority=b"a" * 32, datagrams=b"d" * 32))
