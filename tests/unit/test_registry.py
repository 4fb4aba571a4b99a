"""``RegistryStrategy``: what is written of a node, and what is made of the entries of others."""

import asyncio
import json
import threading

import pytest

from cluster_kit import DiscoveryError, Failed, Gone, Leaving, Node, Reason, RegistryStrategy, Seen
from cluster_kit.node import BootId, Fence
from cluster_kit.registry.entry import MAX_ENTRY_CHARS, Entry
from cluster_kit.testing import FakeDiscovery, Listener

FENCE = Fence("conformance", "conformance")
BOOT = BootId(1_700_000_000_000, 7)
ANN = Node(name="ann@127.0.0.1", address="127.0.0.1:45001")
BOB = Node(name="bob@127.0.0.1", address="127.0.0.1:45002", metadata={"zone": "a"}, boot_id=BOOT)


class Shelf(RegistryStrategy):
    """A store in memory that nothing ever expires from, with an error or a delay."""

    interval_s = 0.02
    ttl_s = 0.3

    def __init__(self):
        self.kept = {}
        self.error = None
        self.ttls = []

    async def put(self, key, value, ttl_s):
        await self.values("")
        self.kept[key] = value
        self.ttls.append(ttl_s)

    async def values(self, prefix):
        if self.error == "hangs":
            await asyncio.sleep(60)
        if self.error:
            raise self.error
        return list(self.kept.values())


def entry(node=BOB, **changes):
    told = {
        "node": node,
        "boot_id": node.boot_id,
        "fence": FENCE,
        "ttl_s": 60.0,
        "state": "here",
        "renewal": 1,
    }
    return Entry(**told | changes)


def test_entry_is_read_as_it_was_written():
    written = entry(state="leaving")
    assert Entry.decode(written.encode()) == written
    assert Entry.decode(written.encode().encode()) == written


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster": None, "node": None},
        {"node": {"address": "127.0.0.1:1", "boot_id": str(BOOT)}},
        {"node": {"name": "bob@127.0.0.1"}},
        {"node": {"name": "bob"}},
        {"ttl_s": 0},
        {"ttl_s": 1e9},
        {"ttl_s": float("nan")},
        {"cluster": 0},
        {"group": [float("nan")]},
        {"state": "asleep"},
        {"state": ["here"]},
        {"renewal": None},
        {"renewal": float("inf")},
    ],
    ids=str,
)
def test_malformed_entry_is_none(changes):
    assert Entry.decode(json.dumps(json.loads(entry().encode()) | changes)) is None


@pytest.mark.parametrize(
    "value", [None, 7, b"\xff", "", "[]", "null", "[" * 10_000, " " * MAX_ENTRY_CHARS + "{}"]
)
def test_invalid_entry_decodes_to_none(value):
    assert Entry.decode(value) is None


def observed(shelf, script):
    async def scenario():
        ctx = FakeDiscovery(ANN)
        async with Listener(shelf, ctx) as heard:
            await script(heard, ctx)
        return heard.observations

    return asyncio.run(scenario())


def test_entry_has_the_fence_in_its_key_and_its_time_to_live():
    shelf = Shelf()

    async def script(heard, ctx):
        await heard.happens(ctx.has_announced)
        assert list(shelf.kept) == [f"conformance/conformance/{ctx.local.boot_id}"]
        assert set(shelf.ttls) == {shelf.ttl_s}

    observed(shelf, script)


def test_change_is_written_at_once():
    shelf = Shelf()
    shelf.interval_s = 3600

    async def script(heard, ctx):
        await heard.happens(ctx.has_announced)
        shelf.kept["bob"] = entry().encode()
        ctx.change(leaving=True)
        await heard.until(Seen)

    observed(shelf, script)
    assert '"state": "gone"' in next(iter(shelf.kept.values()))


def test_entry_that_is_not_renewed_is_seen_for_the_rest_of_its_time_only():
    shelf = Shelf()
    shelf.kept["bob"] = entry(ttl_s=0.5).encode()
    shelf.kept["cat"] = entry(
        BOB.evolve(name="cat@127.0.0.1", boot_id=BootId(1, 1)), ttl_s=60.0
    ).encode()

    async def script(heard, ctx):
        first = await heard.until(Seen, where=lambda seen: seen.node == BOB)
        while (
            await heard.hear(
                lambda said: said.node == BOB, since=len(heard.observations), within_s=0.4
            )
        ) is not None:
            pass
        last = [said for said in heard.observations if said.node == BOB][-1]
        assert 0 < last.ttl_s < first.ttl_s == 0.5
        assert (
            await heard.hear(lambda said: said.node != BOB, since=len(heard.observations))
            is not None
        )

    observed(shelf, script)


def test_goodbye_and_leaving_of_the_run_that_was_seen():
    shelf = Shelf()

    async def script(heard, ctx):
        shelf.kept["bob"] = entry(state="leaving").encode()
        assert (await heard.until(Leaving)).name == BOB.name
        shelf.kept["older"] = entry(BOB.evolve(boot_id=BootId(1, 1)), state="gone").encode()
        await heard.until(Seen, since=len(heard.observations) + 1)
        assert not [said for said in heard.observations if isinstance(said, Gone)]
        shelf.kept["bob"] = entry(state="gone").encode()
        assert await heard.until(Gone) == Gone(BOB.name, Reason.LEFT, BOOT)

    observed(shelf, script)


def test_of_two_runs_the_newer_one_is_seen():
    shelf = Shelf()
    newer = BOB.evolve(boot_id=BootId(BOOT.started_ms + 1, 0))

    async def script(heard, ctx):
        shelf.kept["newer"], shelf.kept["older"] = entry(newer).encode(), entry().encode()
        await heard.until(Seen, where=lambda seen: seen.node == newer, since=1)

    seen = {said.node for said in observed(shelf, script)}
    assert seen == {newer}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OSError(111, "Connection refused"),
            "shelf: cannot use the store: Connection refused; see whether it runs",
        ),
        (DiscoveryError("shelf: wrong password", strategy="shelf"), "shelf: wrong password"),
        ("hangs", "shelf: cannot use the store: no answer within 0.1 s"),
    ],
)
def test_store_that_fails_is_reported_and_works_again(error, told):
    shelf = Shelf()

    async def script(heard, ctx):
        await heard.happens(ctx.has_announced)
        ctx.has_announced.clear()
        shelf.error = error
        failed = await heard.until(Failed)
        assert str(failed.error).startswith(told)
        shelf.error = None
        assert await heard.happens(ctx.has_announced)

    observed(shelf, script)


def test_run_that_raises_says_no_goodbye():
    shelf = Shelf()

    async def script(heard, ctx):
        await heard.happens(ctx.has_announced)
        shelf.error = RuntimeError("boom")
        with pytest.raises(RuntimeError, match="boom"):
            await heard.until(Gone)

    observed(shelf, script)
    assert '"state": "here"' in next(iter(shelf.kept.values()))


def test_goodbye_to_a_store_that_hangs_ends_in_time():
    shelf = Shelf()
    shelf.ttl_s = 60.0

    async def script(heard, ctx):
        await heard.happens(ctx.has_announced)
        shelf.error = "hangs"
        async with asyncio.timeout(10):
            await heard.close()
        assert heard.ended

    observed(shelf, script)


class SlowShelf(Shelf):
    """A store that is first written in a thread, which goes on when whoever waits for it is
    cancelled.
    """

    ttl_s = 60.0

    def __init__(self):
        super().__init__()
        self.begun, self.may_end = threading.Event(), threading.Event()

    async def put(self, key, value, ttl_s):
        await asyncio.to_thread(self.keep, key, value)

    def keep(self, key, value):
        if not self.begun.is_set():
            self.begun.set()
            self.may_end.wait(60)
        self.kept[key] = value


def test_goodbye_comes_after_a_write_that_is_under_way():
    shelf = SlowShelf()

    async def scenario():
        async with Listener(shelf, FakeDiscovery(ANN)) as heard:
            await asyncio.to_thread(shelf.begun.wait, 60)
            asyncio.get_running_loop().call_later(0.1, shelf.may_end.set)
            await heard.close()

    asyncio.run(scenario())
    assert [Entry.decode(value).state for value in shelf.kept.values()] == ["gone"]
