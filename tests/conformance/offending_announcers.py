"""Mutants of a strategy that announces its node in a server of expiring keys; each breaks one rule.

Collected by ``test_offending_announcers`` only, in processes of its own.
"""

import asyncio
import json
import sys
import time
from contextlib import aclosing, suppress
from types import SimpleNamespace

import pytest
from key_server import KeyServer, ask

from cluster_kit import RegistryStrategy
from cluster_kit.abc import Failed, Found, Gone, Leaving, Seen, Strategy
from cluster_kit.errors import DiscoveryError
from cluster_kit.events import Reason
from cluster_kit.node import Node
from cluster_kit.testing import StrategyConformance
from cluster_kit.testing.strategies.shutdown import ShutdownRules

LOOK_S = 0.03
RENEW_S = 0.3
TTL_S = 1.0


class Keys:
    """The overrides for the source."""

    listen_s = 0.15
    deadline_s = 3.0

    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch):
        monkeypatch.setattr("cluster_kit.testing.strategies.shutdown.GOODBYE_S", 0.4)
        monkeypatch.setattr("cluster_kit.testing.strategies.leaving.GOODBYE_S", 0.4)

    @pytest.fixture
    def strategy(self, monkeypatch):
        with KeyServer() as self.server:
            monkeypatch.setattr(self.cls, "port", self.server.port)
            yield self.cls()

    def break_source(self):
        self.server.stop()

    def mend_source(self):
        self.server.start()

    def litter_source(self):
        self.server.keys["0 litter"] = ("no entry", float("inf"))


def breaks(*broken, also=(), rules=StrategyConformance):
    """Run ``rules`` on an implementation that breaks some; ``also`` may fail for the same fault."""

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
        run = SimpleNamespace(
            renew_at_s=0.0, written=None, known={}, announced=False, troubled=False, looks=0
        )
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
        entries = self.read(await ask(self.port, prefix=""))
        return self.observe(ctx, run, [entry for entry in entries if self.concerns(ctx, entry)])

    def read(self, values):
        return [json.loads(value) for value in values if value.startswith("{")]

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
        return entry["fence"] == [ctx.fence.cluster, ctx.fence.group] and entry["node"][
            "boot_id"
        ] != str(ctx.local.boot_id)

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


LATE = "test_recovered_source_keeps_late_nodes"
YIELDS = "test_goodbye_follows_closing_at_a_yield"
STARTS = "test_starts_while_the_source_is_broken"
AGAIN = "test_reports_that_it_has_announced_again"
RUNS_AGAIN = "test_can_run_again_after_closing"  # it finds what the first run left
COMES_BACK = "test_recovered_source_removes_no_node"


@breaks("test_broken_source_removes_no_node", also=[COMES_BACK])
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
        return entry["fence"][0] == ctx.fence.cluster and entry["node"]["boot_id"] != str(
            ctx.local.boot_id
        )


@breaks("test_goodbye_is_observed", also=[YIELDS, RUNS_AGAIN])
class NeverSaysGoodbye(Registry):
    async def goodbye(self, ctx, run):
        pass


@breaks(COMES_BACK, LATE)
class ListsTheStore(Registry):
    """A node that is not in the store is gone, even if the store has lost its data."""

    def observe(self, ctx, run, entries):
        found = Found(Node.from_plain(entry["node"]) for entry in entries if not entry["gone"])
        return [found, *(Leaving(entry["node"]["name"]) for entry in entries if entry["leaving"])]


@breaks("test_never_blocks_the_event_loop", also=["test_never_blocks_the_event_loop_in_trouble"])
class BlocksTheLoop(Registry):
    async def look(self, ctx, run):
        if run.looks % 10 == 0:
            time.sleep(0.3)  # noqa: ASYNC251 - that is what is wrong with it
        run.looks += 1
        return await super().look(ctx, run)


@breaks("test_seen_node_is_seen_again_in_time", also=["test_recovers_when_the_source_recovers"])
class RegistersOnce(Registry):
    async def renew(self, ctx, run):
        if run.written != self.state_of(ctx):
            await super().renew(ctx, run)


@breaks("test_seen_node_is_seen_again_in_time")
class SeesEverybodyOnce(Registry):
    def observe(self, ctx, run, entries):
        return super().observe(ctx, run, [entry for entry in entries if self.is_news(run, entry)])

    def is_news(self, run, entry):
        known = {str(boot_id): node.to_plain() for boot_id, node in run.known.items()}
        return (
            entry["gone"]
            or entry["leaving"]
            or known.get(entry["node"]["boot_id"]) != entry["node"]
        )


@breaks("test_silent_node_is_not_seen_for_ever")
class SeesTheDead(Registry):
    def observe(self, ctx, run, entries):
        news = super().observe(ctx, run, entries)
        return news + [Seen(node, TTL_S) for node in run.known.values()]


@breaks("test_silent_node_is_not_seen_for_ever", also=[LATE, COMES_BACK])
class TakesSilenceForAGoodbye(Registry):
    def observe(self, ctx, run, entries):
        there = {entry["node"]["boot_id"] for entry in entries}
        lost = [boot_id for boot_id in run.known if str(boot_id) not in there]
        return [
            *(Gone(run.known.pop(boot_id).name) for boot_id in lost),
            *super().observe(ctx, run, entries),
        ]


@breaks(
    "test_goodbye_is_observed",
    "test_silent_node_is_not_seen_for_ever",
    also=[LATE, YIELDS, COMES_BACK, RUNS_AGAIN],
)
class LeavesItsGoodbyeToTheOthers(TakesSilenceForAGoodbye):
    """A goodbye is observed only once the key has expired."""

    async def goodbye(self, ctx, run):
        pass


@breaks("test_changes_are_announced")
class NeverChanges(Registry):
    def state_of(self, ctx):
        ctx.first = getattr(ctx, "first", ctx.local)
        return super().state_of(ctx) | {"node": ctx.first.to_plain()}


@breaks("test_leaving_is_announced")
class NeverAnnouncesLeaving(Registry):
    def state_of(self, ctx):
        return super().state_of(ctx) | {"leaving": False}


@breaks(
    "test_a_node_is_described_as_it_is", also=["test_goodbye_of_an_earlier_run_spares_the_next"]
)
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


@breaks("test_recovers_when_the_source_recovers", also=[STARTS, AGAIN])
class GivesUpInTrouble(Registry):
    gave_up = False

    async def pause(self, ctx):
        await super().pause(ctx)
        if self.gave_up:
            await asyncio.sleep(60)

    def trouble(self, run, error):
        self.gave_up = True
        return super().trouble(run, error)


@breaks("test_recovers_when_the_source_recovers", also=[STARTS, AGAIN])
class GivesUpAnnouncingInTrouble(Registry):
    def trouble(self, run, error):
        run.troubled = True
        return super().trouble(run, error)

    async def renew(self, ctx, run):
        if not run.troubled:
            await super().renew(ctx, run)


class Wrapped(Registry):
    """Sound: delegates to another generator."""

    async def discover(self, ctx):
        async with aclosing(super().discover(ctx)) as observations:
            async for observation in observations:
                yield observation


@breaks("test_a_run_that_fails_says_no_goodbye")
class TakesItsOwnFailureForTheEnd(Wrapped):
    """Closes the wrapped generator as if ordered to stop."""


@breaks("test_goodbye_follows_closing_at_a_yield")
class SaysGoodbyeOnlyAtAnAwait(Registry):
    async def goodbye(self, ctx, run):
        if not isinstance(sys.exception(), GeneratorExit):
            await super().goodbye(ctx, run)


@breaks("test_cancellation_is_raised_again", also=["test_a_run_that_fails_says_no_goodbye"])
class EndsWhereItIsCancelled(Registry):
    async def discover(self, ctx):
        with suppress(asyncio.CancelledError):
            async with aclosing(super().discover(ctx)) as observations:
                while True:
                    yield await anext(observations)


class SaysGoneOf(Registry):
    """Writes the goodbyes of other nodes, too."""

    async def goodbye(self, ctx, run):
        await super().goodbye(ctx, run)
        with suppress(OSError):
            for entry in self.read(await ask(self.port, prefix="")):
                if self.condemns(ctx, run, entry["node"]):
                    key = f"{entry['node']['name']} {entry['node']['boot_id']}"
                    await ask(
                        self.port, key=key, value=json.dumps(entry | {"gone": True}), ttl_s=TTL_S
                    )


@breaks(
    "test_goodbye_of_one_spares_the_others",
    also=[
        "test_goodbye_of_an_earlier_run_spares_the_next",
        "test_foreign_nodes_are_ignored",
        COMES_BACK,
    ],
)
class TakesEverybodyAlong(SaysGoneOf):
    def condemns(self, ctx, run, node):
        return run.written


@breaks("test_leaving_observer_removes_no_node")
class TakesItselfForItsNode(SaysGoneOf):
    def condemns(self, ctx, run, node):
        return not run.written and node["name"] == ctx.local.name


@breaks("test_the_next_run_is_described_as_it_is")
class KeepsTheFirstAddress(Registry):
    def seen(self, ctx, node):
        addresses = vars(ctx).setdefault("addresses", {})
        return Seen(node.evolve(address=addresses.setdefault(node.name, node.address)), TTL_S)


@breaks("test_goodbye_is_observed")
class SaysGoneAsOfALink(Registry):
    def gone(self, node):
        return Gone(node.name, Reason.CLOSED, node.boot_id)


@breaks("test_foreign_nodes_are_ignored")
class RunsTheFenceTogether(Registry):
    def concerns(self, ctx, entry):
        fence = "".join(entry["fence"])
        return fence == ctx.fence.cluster + ctx.fence.group and entry["node"]["boot_id"] != str(
            ctx.local.boot_id
        )


@breaks("test_foreign_nodes_are_ignored")
class IgnoresCase(Registry):
    def concerns(self, ctx, entry):
        return super().concerns(ctx, entry | {"fence": [part.lower() for part in entry["fence"]]})


@breaks("test_reports_that_it_has_announced_again")
class CallsAnnouncedOnlyOnce(Registry):
    def trouble(self, run, error):
        run.announced = bool(run.written)
        return super().trouble(run, error)


@breaks("test_recovers_when_the_source_recovers")
class GivesUpAfterThreeFailures(Registry):
    def trouble(self, run, error):
        run.failures = getattr(run, "failures", 0) + 1
        if run.failures > 2:
            raise error
        return super().trouble(run, error)


@breaks("test_starts_while_the_source_is_broken")
class NeedsItsSourceAtTheStart(Registry):
    def trouble(self, run, error):
        if not run.written:
            raise error
        return super().trouble(run, error)


@breaks("test_never_blocks_the_event_loop_in_trouble")
class BlocksTheLoopInTrouble(Registry):
    def trouble(self, run, error):
        time.sleep(0.3)
        return super().trouble(run, error)


@breaks("test_never_blocks_the_event_loop")
class BlocksTheLoopWhereItLeaves(Registry):
    def state_of(self, ctx):
        time.sleep(0.3 if ctx.leaving else 0)
        return super().state_of(ctx)


@breaks("test_litter_in_the_source_hides_no_node")
class RaisesOnLitter(Registry):
    def read(self, values):
        return [json.loads(value) for value in values]


@breaks("test_litter_in_the_source_hides_no_node")
class ReadsNothingBesideLitter(Registry):
    def read(self, values):
        return super().read(values) if all(value.startswith("{") for value in values) else []


@breaks("test_pauses_between_two_queries")
class IsAlwaysBusy(Registry):
    async def pause(self, ctx):
        await asyncio.sleep(0)


@breaks(
    "test_closing_ends_within_its_second",
    "test_closing_leaves_nothing_behind",
    "test_cancelled_while_waiting_leaves_nothing_behind",
    rules=ShutdownRules,
)
class SwallowsCancellation(Registry):
    async def pause(self, ctx):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.5)
