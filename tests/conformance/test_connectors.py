"""The built-in connectors keep the contract."""

from made_up_certificates import Authority

from cluster_kit.connectors.none import NoneConnector
from cluster_kit.connectors.tcp import TcpConnector
from cluster_kit.security.keys import Keyring, SecretKeys
from cluster_kit.testing import ConnectorConformance

KEYS = SecretKeys(id=bytes(8), authority=bytes(32), datagrams=bytes(32))
CERTIFICATES = Authority("root").certificates("127.0.0.1")


class TestTcp(ConnectorConformance):
    silence_s = 5.0

    def make_connector(self):
        return TcpConnector()


class TestTcpWithSecret(TestTcp):
    keyring = Keyring(KEYS)


class TestTcpWithBoth(TestTcp):
    keyring = Keyring(KEYS, certificates=CERTIFICATES)


class TestNone(ConnectorConformance):
    def make_connector(self):
        return NoneConnector()
