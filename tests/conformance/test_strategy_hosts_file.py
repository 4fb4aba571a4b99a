"""The strategy ``hosts_file`` keeps the contract, however its file is broken."""

import pytest

from cluster_kit.strategies.hosts_file import HostsFileStrategy
from cluster_kit.testing import StrategyConformance


class TestHostsFile(StrategyConformance):
    @pytest.fixture
    def strategy(self, tmp_path):
        self.file = tmp_path / "hosts"
        self.mend_source()
        return HostsFileStrategy(path=self.file, interval_s=0.05)

    def break_source(self):
        self.file.unlink()

    def mend_source(self):
        self.file.write_text("# the shop\ndan@127.0.0.1:45004\n127.0.0.1:45005\n")


class TestHostsFileThatIsTruncated(TestHostsFile):
    def break_source(self):
        self.file.write_text("")


class TestHostsFileThatIsHalfWritten(TestHostsFile):
    def break_source(self):
        self.file.write_text("dan@127.0.0.1:450")


class TestHostsFileWithAFaultyLine(TestHostsFile):
    def break_source(self):
        self.file.write_text("dan@127.0.0.1:45004\nweb\n")
