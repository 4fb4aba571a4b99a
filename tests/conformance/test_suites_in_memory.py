"""The parts that use no network but the one they are given, held to their suites in memory, in virtual time."""

from cluster_kit.connectors.tcp import TcpConnector
from cluster_kit.testing import ConnectorConformance, InMemory


class TestTcpInMemory(InMemory, ConnectorConformance):
    def make_connector(self):
        return TcpConnector()
