"""The strategy ``directory``: the contract, and what is its own."""

import asyncio
import json
import os
from dataclasses import replace

import pytest

from cluster_kit import Gone, Node, Outcome, Seen
from cluster_kit.testing import FakeDiscovery, Listener, StrategyConformance
from cluster_kit_example.directory import DirectoryStrategy

ANN = Node(name="ann@127.0.0.1", address="127.0.0.1:45001")
ENTRY = {
    "cluster": "conformance",
    "group": "conformance",
    "name": "dan@127.0.0.1",
    "address": "127.0.0.1:45004",
    "metadata": {"zone": "a"},
    "boot": [1, 2],
}


class TestDirectory(StrategyConformance):
    @pytest.fixture
    def strategy(self, tmp_path):
        self.path = tmp_path / "nodes"
        self.path.mkdir()
        return DirectoryStrategy(path=self.path, interval_s=0.02)

    def break_source(self):
        self.path.rename(self.path.with_name("away"))

    def mend_source(self):
        self.path.with_name("away").rename(self.path)
        put(self.path, "dan")  # alone, a node has nothing to say


@pytest.fixture
def strategy(tmp_path):
    return DirectoryStrategy(path=tmp_path, interval_s=0.02)


def put(path, stem, **changes):
    file = path / f"{stem}.node"
    file.write_text(json.dumps(ENTRY | changes))
    return file


def is_seen(name):
    return lambda observation: isinstance(observation, Seen) and observation.node.name == name


def test_node_is_read_as_it_was_written(strategy, tmp_path):
    async def scenario():
        put(tmp_path, "dan")
        async with Listener(strategy, FakeDiscovery(ANN)) as heard:
            seen = await heard.until(is_seen("dan@127.0.0.1"), "dan")
            assert seen.ttl_s == strategy.ttl_s
            assert seen.node.address == "127.0.0.1:45004"
            assert seen.node.metadata == {"zone": "a"}

    asyncio.run(scenario())


def test_new_metadata_is_written_at_once(tmp_path):
    slow = DirectoryStrategy(path=tmp_path, interval_s=3600, ttl_s=7200)
    quick = replace(slow, interval_s=0.02)

    async def scenario():
        ctx = FakeDiscovery(ANN)
        async with Listener(slow, ctx), Listener(quick, FakeDiscovery(ANN.evolve(name="bob@127.0.0.1"))) as bob:
            await bob.until(is_seen("ann@127.0.0.1"), "ann")
            ctx.change(local=ctx.local.evolve(metadata={"zone": "b"}))
            await bob.until(lambda o: isinstance(o, Seen) and o.node.metadata == {"zone": "b"}, "ann's new metadata")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "changes",
    [{"cluster": "elsewhere"}, {"group": "elsewhere"}, {"name": "no host"}, {"boot": None}, {"metadata": {"zone": 1}}],
    ids=lambda changes: next(iter(changes)),
)
def test_foreign_or_malformed_file_is_passed_over(strategy, tmp_path, changes):
    async def scenario():
        put(tmp_path, "aaa", **changes)  # read before dan's
        (tmp_path / "aab.node").write_bytes(b"\xff" * 10_000)
        put(tmp_path, "dan")
        async with Listener(strategy, FakeDiscovery(ANN)) as heard:
            await heard.until(is_seen("dan@127.0.0.1"), "dan")
            assert {observation.node.name for observation in heard.observations} == {"dan@127.0.0.1"}

    asyncio.run(scenario())


def test_file_that_is_not_renewed_is_passed_over(strategy, tmp_path):
    async def scenario():
        os.utime(put(tmp_path, "aaa", name="old@127.0.0.1"), (0, 0))
        put(tmp_path, "dan")
        async with Listener(strategy, FakeDiscovery(ANN)) as heard:
            await heard.until(is_seen("dan@127.0.0.1"), "dan")
            assert not any(map(is_seen("old@127.0.0.1"), heard.observations))

    asyncio.run(scenario())


def test_removed_file_is_a_goodbye(strategy, tmp_path):
    async def scenario():
        file = put(tmp_path, "dan")
        async with Listener(strategy, FakeDiscovery(ANN)) as heard:
            await heard.until(is_seen("dan@127.0.0.1"), "dan")
            file.unlink()
            gone = await heard.until(lambda observation: isinstance(observation, Gone), "dan's goodbye")
            assert (gone.name, gone.boot_id.started_ms) == ("dan@127.0.0.1", 1)

    asyncio.run(scenario())


def test_another_directory_in_its_place_says_nothing_about_anybody(tmp_path):
    path, other = tmp_path / "nodes", tmp_path / "other"
    path.mkdir()
    other.mkdir()
    strategy = DirectoryStrategy(path=path, interval_s=0.02)

    async def scenario():
        put(path, "dan")
        put(other, "cat", name="cat@127.0.0.1")
        async with Listener(strategy, FakeDiscovery(ANN)) as heard:
            await heard.until(is_seen("dan@127.0.0.1"), "dan")
            path.rename(tmp_path / "away")
            other.rename(path)
            await heard.until(is_seen("cat@127.0.0.1"), "cat")
            assert not any(isinstance(observation, Gone) for observation in heard.observations)

    asyncio.run(scenario())


def diagnosed(strategy):
    async def collect():
        ctx = FakeDiscovery(ANN, announce=False)
        return [finding async for finding in strategy.diagnose(ctx)]

    [finding] = asyncio.run(collect())
    return finding


def test_diagnosis_names_the_other_nodes(strategy, tmp_path):
    put(tmp_path, "ann", name="ann@127.0.0.1")
    put(tmp_path, "cat", name="cat@127.0.0.1", cluster="elsewhere")
    put(tmp_path, "dan")
    finding = diagnosed(strategy)
    assert finding.outcome is Outcome.OK
    assert finding.got == "3 in all; of other nodes in this cluster and group: dan@127.0.0.1"


def test_diagnosis_of_a_directory_without_other_nodes_is_empty_and_leaves_it_so(strategy, tmp_path):
    assert diagnosed(strategy).outcome is Outcome.EMPTY
    assert list(tmp_path.iterdir()) == []


def test_diagnosis_of_a_missing_directory_failed(tmp_path):
    finding = diagnosed(DirectoryStrategy(path=tmp_path / "away"))
    assert (finding.outcome, finding.got) == (Outcome.FAILED, "no such file or directory")
    assert finding.cause == "create or mount it, writable for this user"
