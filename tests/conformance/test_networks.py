"""The system's network, the one in memory and one that a user wrote, held to the contract."""

from delayed_network import DelayedNetwork, LateNetwork
from protected_network import BOTH, FILES, SECRET, ProtectedNetwork

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


class Protected(NetworkConformance):
    """A protected stream sends only once the other end is started; all else is as contracted."""

    keyring = SECRET

    def make_network(self):
        return ProtectedNetwork(super().make_network(), self.keyring)

    def make_other(self):
        return ProtectedNetwork(super().make_other(), self.keyring)

    def test_the_end_is_not_reported_before_start(self):
        async def scenario(ann, bob):
            async with self.pair(ann, bob) as (ours, theirs):
                closing = self.reader(ours)
                ours.send(b"last words")
                ours.close()
                reader = self.reader(theirs)
                assert not reader.losses
                await reader.ended()
                assert bytes(reader.data) == b"last words"
                await closing.ended()

        self.play(scenario, "ann", "bob")


class TestProtectedSystemNetwork(Protected, TestSystemNetwork):
    def make_other(self):
        return self.make_network()


class TestProtectedMemoryNetwork(Protected, TestMemoryNetwork):
    pass


class TestProtectedDelayedNetwork(Protected, TestDelayedNetwork):
    pass


class TestProtectedLateNetwork(Protected, TestLateNetwork):
    pass


class TestProtectedSystemNetworkByFiles(TestProtectedSystemNetwork):
    keyring = FILES


class TestProtectedMemoryNetworkByFiles(TestProtectedMemoryNetwork):
    keyring = FILES


class TestProtectedSystemNetworkByBoth(TestProtectedSystemNetwork):
    keyring = BOTH


class TestProtectedMemoryNetworkByBoth(TestProtectedMemoryNetwork):
    keyring = BOTH


class TestProtectedLateNetworkByBoth(TestProtectedLateNetwork):
    keyring = BOTH
