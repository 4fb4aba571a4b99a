"""The system's network, the one in memory, and one that somebody else wrote, held to the contract."""

from delayed_network import DelayedNetwork, LateNetwork

from cluster_kit.network.system import SystemNetwork
from cluster_kit.testing import InMemory, NetworkConformance


class TestSystemNetwork(NetworkConformance):
    def make_network(self):
        return SystemNetwork()


class TestMemoryNetwork(InMemory, NetworkConformance):
    pass


class TestMemoryNetworkOnLoopback(InMemory, NetworkConformance):
    address = other_address = "127.0.0.1"
    name = "localhost"

    def make_other(self):
        return self.make_network()


class TestDelayedNetwork(InMemory, NetworkConformance):
    def make_network(self):
        return DelayedNetwork(super().make_network())

    def make_other(self):
        return DelayedNetwork(super().make_other())


class TestLateNetwork(InMemory, NetworkConformance):
    def make_network(self):
        return LateNetwork(super().make_network())

    def make_other(self):
        return LateNetwork(super().make_other())
