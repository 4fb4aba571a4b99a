"""Strategies that break one rule each; ``StrategyConformance`` must fail exactly at ``breaks``.

Collected by ``test_offending_strategies`` only, in processes of its own.
"""

import asyncio
import socket
from contextlib import aclosing
from dataclasses import dataclass

import pytest

from cluster_kit.abc import Failed, Found, Gone, Leaving, Seen, Strategy
from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.errors import DiscoveryError
from cluster_kit.events import Reason
from cluster_kit.node import Node
from cluster_kit.testing import StrategyConformance

TICK_S = 0.02
DAN = Node(name="dan@127.0.0.1", address="127.0.0.1:45004")
leaked = []


class Suite(StrategyConformance):
    listen_s = 0.1
    deadline_s = 1.0

    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch):
        for module in ("leaving", "shutdown"):
            monkeypatch.setattr(f"cluster_kit.testing.strategies.{module}.GOODBYE_S", 0.4)

    @pytest.fixture
    def strategy(self):
        self.instance = self.cls()
        return self.instance


class TroubledSuite(Suite):
    def break_source(self):
        self.instance.broken = True

    def mend_source(self):
        self.instance.broken = False


def breaks(*rules):
    """Run the suite on an implementation that breaks ``rules``."""

    def register(cls):
        name = f"Test{cls.__name__}"
        globals()[name] = type(
            name,
            (TroubledSuite if hasattr(cls, "broken") else Suite,),
            {"cls": cls, "breaks": frozenset(rules), "__module__": __name__},
        )
        return cls

    return register


@breaks()
class Plain(Strategy):
    """Sound: repeats its one answer."""

    async def discover(self, ctx):
        while True:
            yield Found([DAN])
            await asyncio.sleep(TICK_S)


@breaks("test_options_survive_the_way_to_the_worker")
@dataclass
class ChangesItsOptions(Plain):
    interval_s: float = 1.0

    def __post_init__(self):
        self.interval_s *= 2


@breaks("test_being_built_does_nothing")
class LooksWhenItIsBuilt(Plain):
    def __init__(self):
        with socket.socket():
            pass


@breaks(
    "test_discover_returns_an_async_generator",
    "test_raises_nothing_while_the_source_works",
    "test_closing_leaves_nothing_behind",
    "test_closing_an_unstarted_run_leaves_nothing_behind",
)
class IsNoGenerator(Plain):
    def discover(self, ctx):
        return Unclosable(super().discover(ctx))


class Unclosable:
    def __init__(self, inner):
        self.inner = inner

    def __aiter__(self):
        return self

    async def __anext__(self):
        return await anext(self.inner)


@breaks("test_yields_only_well_formed_observations")
class YieldsBareNode(Plain):
    async def discover(self, ctx):
        yield Found([DAN])
        yield DAN


@breaks("test_yields_only_well_formed_observations", "test_seen_node_is_seen_again_in_time")
class YieldsSeenForNoTime(Plain):
    async def discover(self, ctx):
        yield Seen(DAN, ttl_s=0.0)


@breaks("test_raises_nothing_while_the_source_works")
class Raises(Plain):
    async def discover(self, ctx):
        yield Found([DAN])
        raise RuntimeError("boom")


@breaks("test_raises_nothing_while_the_source_works")
class FailsWithoutCause(Plain):
    async def discover(self, ctx):
        yield Failed(DiscoveryError("plain: nothing is wrong"))


@breaks("test_closing_ends_within_its_second")
class SaysGoodbyeSlowly(Plain):
    async def discover(self, ctx):
        try:
            await asyncio.sleep(60)
            yield
        finally:
            await asyncio.sleep(1)


@breaks("test_closing_leaves_nothing_behind")
class LeaksWhenClosed(Plain):
    async def discover(self, ctx):
        try:
            yield Found([DAN])
            await asyncio.sleep(60)
        except GeneratorExit:
            leaked.append(asyncio.create_task(asyncio.sleep(60)))
            raise


@breaks("test_cancelled_while_waiting_leaves_nothing_behind")
class LeaksWhenCancelled(Plain):
    async def discover(self, ctx):
        sock = socket.socket()
        leaked.append(sock)
        try:
            yield Found([DAN])
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise
        except GeneratorExit:
            sock.close()


@breaks("test_closing_an_unstarted_run_leaves_nothing_behind")
class LeaksWhenNeverStarted(Plain):
    def discover(self, ctx):
        leaked.append(socket.socket())
        return self._discover(leaked[-1])

    async def _discover(self, sock):
        with sock:
            yield Found([DAN])
            await asyncio.sleep(60)


@breaks("test_can_run_again_after_closing")
class RunsOnce(Plain):
    def __init__(self):
        self.rest = [Found([DAN])]

    async def discover(self, ctx):
        yield self.rest.pop(0) if self.rest else Found([])


@breaks("test_runs_of_one_instance_are_independent")
class EndsWithAnotherRun(Plain):
    open = False

    async def discover(self, ctx):
        self.open = True
        try:
            while self.open:
                yield Found([DAN])
                await asyncio.sleep(TICK_S)
        finally:
            self.open = False


@breaks()
class Diagnosed(Plain):
    """Sound: has something to say of its source."""

    async def diagnose(self, ctx):
        yield Finding(asked="plain", got="dan")


@breaks("test_diagnosis_yields_findings_and_ends")
class YieldsTextForAFinding(Plain):
    async def diagnose(self, ctx):
        yield "plain: dan"


@breaks("test_diagnosis_yields_findings_and_ends")
class YieldsFindingOfTwoLines(Plain):
    async def diagnose(self, ctx):
        yield Finding(asked="plain", got="dan\nand nobody else")


@breaks("test_diagnosis_yields_findings_and_ends")
class RaisesInDiagnosis(Plain):
    async def diagnose(self, ctx):
        yield Finding(asked="plain", got="dan")
        raise RuntimeError("boom")


@breaks("test_diagnosis_yields_findings_and_ends")
class DiagnosesWithoutEnd(Plain):
    async def diagnose(self, ctx):
        yield Finding(asked="plain", got="dan")
        await asyncio.sleep(60)


@breaks("test_diagnosis_yields_findings_and_ends")
class LeaksInDiagnosis(Plain):
    async def diagnose(self, ctx):
        leaked.append(socket.socket())
        yield Finding(asked="plain", got="dan")


@breaks()
class Board(Strategy):
    """Sound: everybody writes on one board and reads it."""

    announces = True

    def __init__(self):
        self.notes = {}  # by boot

    async def discover(self, ctx):
        before = frozenset(self.notes)
        try:
            while True:
                if self.may_write(ctx):
                    self.write(ctx)
                self.tell(ctx)
                notes = [
                    note
                    for boot_id, note in self.notes.items()
                    if note[0] == ctx.fence and self.reads(boot_id, before)
                ]
                yield Found(node for _, node, _ in notes)
                for _, node, leaving in notes:
                    if leaving:
                        yield Leaving(node.name)
                await asyncio.sleep(TICK_S)
        finally:
            self.goodbye(ctx)

    def write(self, ctx):
        self.notes[ctx.local.boot_id] = (ctx.fence, ctx.local, ctx.leaving)

    def may_write(self, ctx):
        return ctx.announce

    def tell(self, ctx):
        ctx.announced()

    def reads(self, boot_id, before):
        return True

    def goodbye(self, ctx):
        self.notes.pop(ctx.local.boot_id, None)


@breaks("test_two_nodes_find_each_other")
class IgnoresEarlierNodes(Board):
    def reads(self, boot_id, before):
        return boot_id not in before


@breaks("test_reports_that_it_has_announced")
class NeverCallsAnnounced(Board):
    def tell(self, ctx):
        pass


@breaks("test_observer_is_not_announced")
class AnnouncesWhileLooking(Board):
    def may_write(self, ctx):
        return True


@breaks("test_diagnosis_announces_nothing")
class AnnouncesInDiagnosis(Board):
    async def diagnose(self, ctx):
        self.write(ctx)
        yield Finding(asked="board", got=f"{len(self.notes)} nodes")


@breaks("test_goodbye_is_observed", "test_goodbye_follows_closing_at_a_yield")
class LeavesWithoutGoodbye(Board):
    def goodbye(self, ctx):
        pass


@breaks()
class Polled(Strategy):
    """Sound: asks a source that can break."""

    broken = False

    async def discover(self, ctx):
        while True:
            if self.broken:
                async with aclosing(self.trouble()) as observations:
                    async for observation in observations:
                        yield observation
            else:
                yield Found([DAN])
            await asyncio.sleep(TICK_S)

    async def trouble(self):
        yield Failed(DiscoveryError("polled: the source is broken"))


@breaks()
class PolledAndDiagnosed(Polled):
    """Sound: says what is wrong with its source."""

    async def diagnose(self, ctx):
        yield Finding(
            asked="polled", got="no answer" if self.broken else "dan", outcome=self.outcome()
        )

    def outcome(self):
        return Outcome.FAILED if self.broken else Outcome.OK


@breaks("test_diagnosis_reports_a_broken_source")
class DiagnosesHealthInTrouble(PolledAndDiagnosed):
    def outcome(self):
        return Outcome.OK


@breaks("test_diagnosis_reports_a_broken_source")
class DiagnosisRaisesInTrouble(PolledAndDiagnosed):
    def outcome(self):
        if self.broken:
            raise DiscoveryError("polled: the source is broken")
        return Outcome.OK


@breaks("test_broken_source_is_reported_not_raised")
class IsSilentInTrouble(Polled):
    async def trouble(self):
        return
        yield


@breaks("test_broken_source_is_reported_not_raised", "test_recovers_when_the_source_recovers")
class RaisesInTrouble(Polled):
    async def trouble(self):
        raise DiscoveryError("polled: the source is broken")
        yield


@breaks("test_broken_source_removes_no_node")
class IsEmptyInTrouble(Polled):
    async def trouble(self):
        yield Found([])
        yield Failed(DiscoveryError("polled: the source is broken"))


@breaks("test_broken_source_removes_no_node")
class SaysGoneInTrouble(Polled):
    async def trouble(self):
        yield Gone(DAN.name, Reason.GONE)
        yield Failed(DiscoveryError("polled: the source is broken"))


@breaks("test_recovers_when_the_source_recovers")
class GivesUpInTrouble(Polled):
    async def trouble(self):
        yield Failed(DiscoveryError("polled: the source is broken"))
        await asyncio.sleep(60)
