"""Mutants of a working strategy that announces its node in a server of expiring keys; each breaks one rule of the contract.

Collected by ``test_offending_announcers`` only, in processes of its own.
"""

import asyncio
import json
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest
from key_server import KeyServer, ask

from cluster_kit import RegistryStrategy
from cluster_kit.abc import Failed, Found, Gone, Leaving, Seen, Strategy
from cluster_kit.errors import DiscoveryError
from cluster_kit.events import Reason
from cluster_kit.node import Node
from cluster_kit.testing import StrategyConformance
from cluster_kit.testing.strategies.ending import EndingRules

LOOK_S = 0.03
RENEW_S = 0.3
TTL_S = 1.0


class Keys:
    """What the suite is told of the source."""

    listen_s = 0.15
    deadline_s = 3.0

    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch):
        monkeypatch.setattr("cluster_kit.testing.strategies.ending.GOODBYE_S", 0.4)
        monkeypatch.setattr("cluster_kit.testing.strategies.silence.GOODBYE_S", 0.4)

    @pytest.fixture
    def strategy(self, monkeypatch):
        with KeyServer() as self.server:
            monkeypatch.setattr(self.cls, "port", self.server.port)
            yield self.cls()

    def break_source(self):
        self.server.stop()

    def mend_source(self):
        self.server.start()


def breaks(*broken, also=(), rules=StrategyConformance):
    """Run ``rules`` on an implementation that breaks some; ``also`` are rules that may fail for the same fault."""

    def register(cls):
        name = f"Test{cls.__name__}"
        wrong = {"breaks": frozenset(broken), "may_break": frozenset(also)}
        globals()[name] = type(name, (Keys, rules), {"cls": cls, "__module__": __name__} | wrong)
        return cls

    return register


@breaks()
class Base(RegistryStrategy):
    """Sound: the base class for such strategies."""

    port = 0
    interval_s = LOOK_S
    ttl_s = TTL_S

    async def put(self, key, value, ttl_s):
        await ask(self.port, key=key, value=value, ttl_s=ttl_s)

    async def values(self, prefix):
        return await ask(self.port, prefix=prefix)


@breaks()
class Registry(Strategy):
    """Sound: the same, written by hand. Those in the store are seen; a goodbye is a last entry."""

    announces = True
    port = 0

    async def discover(self, ctx):
        run = SimpleNamespace(renew_at_s=0.0, written=None, known={}, announced=False, troubled=False, looks=0)
        try:
            while True:
                try:
                    for observation in await self.look(ctx, run):
                        yield observation
                except OSError as error:
                    run.renew_at_s, run.announced = 0.0, False
                    for observation in self.trouble(run, DiscoveryError(f"registry: {error}")):
                        yield observation
                await self.pause(ctx)
        except (asyncio.CancelledError, GeneratorExit):
            await self.goodbye(ctx, run)
            raise

    async def look(self, ctx, run):
        if self.may_announce(ctx):
            await self.renew(ctx, run)
        if not run.announced:
            run.announced = True
            ctx.announced()
        entries = [json.loads(value) for value in await ask(self.port, prefix="")]
        return self.observe(ctx, run, [entry for entry in entries if self.concerns(ctx, entry)])

    def may_announce(self, ctx):
        return ctx.announce

    async def renew(self, ctx, run):
        now_s = asyncio.get_running_loop().time()
        state = self.state_of(ctx)
        if now_s >= run.renew_at_s or state != run.written:
            await self.put(ctx, state)
            run.renew_at_s, run.written = now_s + RENEW_S, state

    def state_of(self, ctx):
        return {"node": ctx.local.to_plain(), "leaving": ctx.leaving, "gone": False}

    async def put(self, ctx, state):
        value = json.dumps({"fence": [ctx.fence.cluster, ctx.fence.group], **state})
        await ask(self.port, key=f"{ctx.local.name} {ctx.local.boot_id}", value=value, ttl_s=TTL_S)

    def concerns(self, ctx, entry):
        return entry["fence"] == [ctx.fence.cluster, ctx.fence.group] and entry["node"]["boot_id"] != str(ctx.local.boot_id)

    def observe(self, ctx, run, entries):
        news = []
        for entry in sorted(entries, key=lambda entry: entry["node"]["boot_id"]):
            node = Node.from_plain(entry["node"])
            if not entry["gone"]:
                run.known[node.boot_id] = node
                news.append(self.seen(ctx, node))
                news += [Leaving(node.name)] if entry["leaving"] else []
            elif run.known.pop(node.boot_id, None):
                news.append(self.gone(node))
        return news

    def seen(self, ctx, node):
        return Seen(node, TTL_S)

    def gone(self, node):
        return Gone(node.name, Reason.LEFT, node.boot_id)

    def trouble(self, run, error):
        return [Failed(error)]

    async def pause(self, ctx):
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await ctx.changed()

    async def goodbye(self, ctx, run):
        if run.written:
            with suppress(OSError):
                await self.put(ctx, run.written | {"gone": True})


RUNS_AGAIN = "test_can_run_again_after_closing"  # it finds what the first run left
COMES_BACK = "test_source_that_comes_back_removes_nobody"


@breaks("test_broken_source_removes_nobody", also=[COMES_BACK])
class SaysGoneOfEverybodyInTrouble(Registry):
    def trouble(self, run, error):
        return [*(Gone(node.name, Reason.GONE) for node in run.known.values()), Failed(error)]


@breaks("test_foreign_nodes_are_ignored")
class IgnoresFences(Registry):
    def concerns(self, ctx, entry):
        return entry["node"]["boot_id"] != str(ctx.local.boot_id)


@breaks("test_foreign_nodes_are_ignored")
class IgnoresGroups(Registry):
    def concerns(self, ctx, entry):
        return entry["fence"][0] == ctx.fence.cluster and entry["node"]["boot_id"] != str(ctx.local.boot_id)


@breaks("test_goodbye_is_heard", also=[RUNS_AGAIN])
class NeverSaysGoodbye(Registry):
    async def goodbye(self, ctx, run):
        pass


@breaks(COMES_BACK)
class ListsWhoIsInTheStore(Registry):
    """Whoever is not in the store is gone, be it that the store has forgotten everybody."""

    def observe(self, ctx, run, entries):
        found = Found(Node.from_plain(entry["node"]) for entry in entries if not entry["gone"])
        return [found, *(Leaving(entry["node"]["name"]) for entry in entries if entry["leaving"])]


@breaks("test_never_blocks_the_event_loop")
class BlocksTheLoop(Registry):
    async def look(self, ctx, run):
        if run.looks % 10 == 0:
            time.sleep(0.3)  # noqa: ASYNC251 - that is what is wrong with it
        run.looks += 1
        return await super().look(ctx, run)


@breaks("test_who_was_seen_is_seen_again_in_time", also=["test_works_again_when_the_source_is_mended"])
class RegistersOnce(Registry):
    async def renew(self, ctx, run):
        if run.written != self.state_of(ctx):
            await super().renew(ctx, run)


@breaks("test_who_was_seen_is_seen_again_in_time")
class SeesEverybodyOnce(Registry):
    def observe(self, ctx, run, entries):
        return super().observe(ctx, run, [entry for entry in entries if self.is_news(run, entry)])

    def is_news(self, run, entry):
        known = {str(boot_id): node.to_plain() for boot_id, node in run.known.items()}
        return entry["gone"] or entry["leaving"] or known.get(entry["node"]["boot_id"]) != entry["node"]


@breaks("test_silent_node_is_not_seen_for_ever")
class SeesTheDead(Registry):
    def observe(self, ctx, run, entries):
        news = super().observe(ctx, run, entries)
        return news + [Seen(node, TTL_S) for node in run.known.values()]


@breaks("test_silent_node_is_not_seen_for_ever", also=[COMES_BACK])
class TakesSilenceForAGoodbye(Registry):
    def observe(self, ctx, run, entries):
        there = {entry["node"]["boot_id"] for entry in entries}
        lost = [boot_id for boot_id in run.known if str(boot_id) not in there]
        return [*(Gone(run.known.pop(boot_id).name) for boot_id in lost), *super().observe(ctx, run, entries)]


@breaks("test_goodbye_is_heard", "test_silent_node_is_not_seen_for_ever", also=[COMES_BACK, RUNS_AGAIN])
class LeavesItsGoodbyeToTheOthers(TakesSilenceForAGoodbye):
    """A goodbye seems to be heard, but only once the key has expired."""

    async def goodbye(self, ctx, run):
        pass


@breaks("test_changes_are_announced")
class NeverChanges(Registry):
    def state_of(self, ctx):
        ctx.first = getattr(ctx, "first", ctx.local)
        return super().state_of(ctx) | {"node": ctx.first.to_plain()}


@breaks("test_leaving_is_announced")
class NeverSaysThatItLeaves(Registry):
    def state_of(self, ctx):
        return super().state_of(ctx) | {"leaving": False}


@breaks("test_a_node_is_described_as_it_is", also=["test_goodbye_of_an_earlier_run_spares_the_next"])
class GivesOthersItsOwnRun(Registry):
    def seen(self, ctx, node):
        return Seen(node.evolve(boot_id=ctx.local.boot_id), TTL_S)


@breaks("test_a_node_is_described_as_it_is", also=["test_changes_are_announced"])
class LosesMetadata(Registry):
    def seen(self, ctx, node):
        return Seen(node.evolve(metadata={}), TTL_S)


@breaks("test_goodbye_of_an_earlier_run_spares_the_next")
class SaysGoneOfAllRuns(Registry):
    def gone(self, node):
        return Gone(node.name, Reason.LEFT)


@breaks("test_works_again_when_the_source_is_mended")
class GivesUpInTrouble(Registry):
    gave_up = False

    async def pause(self, ctx):
        await super().pause(ctx)
        if self.gave_up:
            await asyncio.sleep(60)

    def trouble(self, run, error):
        self.gave_up = True
        return super().trouble(run, error)


@breaks("test_works_again_when_the_source_is_mended")
class GivesUpAnnouncingInTrouble(Registry):
    def trouble(self, run, error):
        run.troubled = True
        return super().trouble(run, error)

    async def renew(self, ctx, run):
        if not run.troubled:
            await super().renew(ctx, run)


@breaks(
    "test_closing_ends_within_its_second",
    "test_closing_leaves_nothing_behind",
    "test_cancelled_while_waiting_leaves_nothing_behind",
    rules=EndingRules,
)
class SwallowsCancellation(Registry):
    async def pause(self, ctx):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.5)
