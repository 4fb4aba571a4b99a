"""Built-in parts that use only the network they are given, held to their suites in memory."""

import pytest
from made_up_certificates import Authority

from cluster_kit.connectors.tcp import TcpConnector
from cluster_kit.security.keys import Keyring, SecretKeys
from cluster_kit.strategies.gossip import GossipStrategy
from cluster_kit.testing import ConnectorConformance, InMemory, StrategyConformance

KEYS = SecretKeys(id=bytes(8), authority=bytes(32), datagrams=bytes(32))
CERTIFICATES = Authority("root").certificates("127.0.0.1")


class TestTcpInMemory(InMemory, ConnectorConformance):
    def make_connector(self):
        return TcpConnector()


class TestTcpWithSecretInMemory(TestTcpInMemory):
    keyring = Keyring(KEYS)


class TestTcpWithCertificatesInMemory(TestTcpInMemory):
    keyring = Keyring(certificates=CERTIFICATES)


class TestTcpWithBothInMemory(TestTcpInMemory):
    keyring = Keyring(KEYS, certificates=CERTIFICATES)


class TestGossipInMemory(InMemory, StrategyConformance):
    @pytest.fixture
    def strategy(self):
        return GossipStrategy(interval_s=0.05, ttl_s=2.0)


class TestSealedGossipInMemory(TestGossipInMemory):
    keyring = Keyring(SecretKeys(id=b"k" * 8, authority=b"a" * 32, datagrams=b"d" * 32))
