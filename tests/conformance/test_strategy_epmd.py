"""The EPMD strategies keep the contract, with Debian's real EPMD."""

import pytest
from epmd_server import EpmdServer

from cluster_kit.strategies.epmd import EpmdStrategy
from cluster_kit.strategies.erlang_hosts import ErlangHostsStrategy
from cluster_kit.strategies.local_epmd import LocalEpmdStrategy
from cluster_kit.testing import StrategyConformance


class EpmdConformance(StrategyConformance):
    tells_changes = False

    @pytest.fixture(autouse=True)
    def _epmd(self, require):
        require("epmd")
        with EpmdServer() as self.epmd:
            yield

    @property
    def options(self):
        return {"epmd_port": self.epmd.port, "interval_s": 0.1, "gone_after_s": 5.0}

    def break_source(self):
        self.epmd.kill()

    def mend_source(self):
        self.epmd.start()


class TestEpmd(EpmdConformance):
    @pytest.fixture
    def strategy(self):
        return EpmdStrategy(
            hosts=("ann@127.0.0.1", "bob@127.0.0.1", "cat@127.0.0.1"), **self.options
        )


class TestLocalEpmd(EpmdConformance):
    @pytest.fixture
    def strategy(self):
        return LocalEpmdStrategy(**self.options)


class TestErlangHosts(EpmdConformance):
    @pytest.fixture
    def strategy(self, tmp_path):
        path = tmp_path / ".hosts.erlang"
        path.write_text("'127.0.0.1'.\n")
        return ErlangHostsStrategy(path=path, **self.options)
