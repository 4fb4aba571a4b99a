"""The strategy ``directory``: the contract, and its own features."""

import asyncio
import os

import pytest

from cluster_kit import Failed, Gone, Node, Outcome, Seen
from cluster_kit.testing import FakeDiscovery, Listener, StrategyConformance
from cluster_kit_example.directory import DirectoryStrategy

ANN = Node(name="ann@127.0.0.1", address="127.0.0.1:45001")
DAN = Node(name="dan@127.0.0.1", address="127.0.0.1:45004", metadata={"zone": "a"})


class TestDirectory(StrategyConformance):
    @pytest.fixture
    def strategy(self, tmp_path):
        self.path = tmp_path / "nodes"
        self.path.mkdir()
        return DirectoryStrategy(path=self.path, interval_s=0.05, ttl_s=2.0)

    def break_source(self):
        self.path.rename(self.path.with_name("away"))

    def mend_source(self):
        self.path.with_name("away").rename(self.path)


class TestDirectoryThatComesBackEmpty(TestDirectory):
    """As a share does that isn't mounted."""

    def mend_source(self):
        for file in self.path.with_name("away").iterdir():
            file.unlink()
        super().mend_source()


@pytest.fixture
def strategy(tmp_path):
    return DirectoryStrategy(path=tmp_path, interval_s=0.05, ttl_s=2.0)


def test_node_has_one_file_which_says_at_the_end_that_it_has_left(strategy, tmp_path):
    async def scenario():
        dan = FakeDiscovery(DAN)
        async with Listener(strategy, FakeDiscovery(ANN)) as ann:
            async with Listener(strategy, dan):
                seen = await ann.until(Seen, "dan")
                assert seen.node == dan.local
                assert len(list(tmp_path.glob("*.node"))) == 2
            gone = await ann.until(Gone, "dan's goodbye")
            assert (gone.name, gone.boot_id) == (DAN.name, dan.local.boot_id)

    asyncio.run(scenario())
    assert len(list(tmp_path.iterdir())) == 2


def left_by(strategy, node):
    """Return the file that ``node`` leaves behind when it crashes."""

    async def scenario():
        ctx = FakeDiscovery(node)
        async with Listener(strategy, ctx) as heard:
            await heard.happens(ctx.has_announced)
            return [(file, file.read_bytes()) for file in strategy.path.glob("*.node")]

    ((file, content),) = asyncio.run(scenario())
    file.write_bytes(content)
    return file


def heard_by_ann(strategy, within_s):
    async def scenario():
        async with Listener(strategy, FakeDiscovery(ANN)) as ann:
            await ann.hear(within_s=within_s)
            return ann.observations

    return asyncio.run(scenario())


def test_file_that_is_not_renewed_is_passed_over_and_at_last_removed(strategy):
    file = left_by(strategy, DAN)
    now_s = file.stat().st_mtime
    os.utime(file, (now_s - 10, now_s - 10))
    assert heard_by_ann(strategy, within_s=0.3) == []
    assert file.exists()
    os.utime(file, (0, 0))
    assert heard_by_ann(strategy, within_s=0.3) == []
    assert not file.exists()


def test_files_that_are_not_entries_are_skipped(strategy, tmp_path):
    (tmp_path / "aaa.node").write_bytes(b"\xff" * 100_000)
    (tmp_path / "aab.node").write_text("{}")
    assert heard_by_ann(strategy, within_s=0.3) == []


def test_missing_directory_is_reported(tmp_path):
    away = DirectoryStrategy(path=tmp_path / "away", interval_s=0.05, ttl_s=2.0)

    async def scenario():
        async with Listener(away, FakeDiscovery(ANN)) as heard:
            failed = await heard.until(Failed)
            cause = f"cannot use '{tmp_path / 'away'}': no such file or directory; create"
            assert f"directory: {cause}" in str(failed.error)

    asyncio.run(scenario())


def diagnosed(strategy):
    async def collect():
        ctx = FakeDiscovery(ANN, announce=False)
        return [finding async for finding in strategy.diagnose(ctx)]

    [finding] = asyncio.run(collect())
    return finding


def test_diagnosis_names_the_other_nodes(strategy):
    left_by(strategy, DAN)
    finding = diagnosed(strategy)
    assert (finding.outcome, finding.got) == (Outcome.OK, "other nodes: dan@127.0.0.1")


def test_diagnosis_of_a_directory_without_other_nodes_is_empty_and_leaves_it_so(strategy, tmp_path):
    assert diagnosed(strategy).outcome is Outcome.EMPTY
    assert list(tmp_path.iterdir()) == []


def test_diagnosis_of_a_missing_directory_failed(tmp_path):
    finding = diagnosed(DirectoryStrategy(path=tmp_path / "away"))
    assert (finding.outcome, finding.got) == (Outcome.FAILED, "no answer")
    assert "create or mount it" in finding.cause
