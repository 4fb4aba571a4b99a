"""The examination of one source, in this process, with a strategy and a connector that
misbehave.
"""

import asyncio
import logging
import socket
from contextlib import closing, suppress

import pytest

from cluster_kit import load_config
from cluster_kit.abc import Connector, Failed, Found, Gone, Seen, Strategy
from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.errors import DiscoveryError
from cluster_kit.events import Reason
from cluster_kit.network.system import SystemNetwork
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.pipe.messages import Beat
from cluster_kit.pipe.socket_channel import SocketChannel
from cluster_kit.worker import examiner
from cluster_kit.worker.examiner import Diagnosed, ExaminationDone, Examine, Examiner

DEADLINE_S = 30.0
ANN = Node(name="ann@127.0.0.1", boot_id=BootId(1, 1))
BOB = Node(name="bob@127.0.0.1", address="127.0.0.1:4002")
CAT = Node(name="cat@127.0.0.1", address="127.0.0.1:4003")


class Process:
    """Outlives the examination."""

    def end(self, code):
        raise AssertionError(f"whoever listens is there: exit code {code}")


class Source(Strategy):
    """Vouches for bob."""

    async def discover(self, ctx):
        yield Found([BOB])


class Links(Connector):
    """Has nothing to say of anybody."""

    async def start(self, *arguments):
        raise AssertionError("an examination links to nobody")

    connect = disconnect = stop = start


@pytest.fixture(autouse=True)
def _logging():
    yield
    logging.disable(logging.NOTSET)


def examine(strategy=Source, connector=Links, wait_s=0.2, pace=None, **settings):
    """Return all that is told; ``pace`` is for the examiner, ``settings`` for the topology."""
    config = load_config(
        {"topologies": {"t": {"strategy": strategy, "connector": connector, **settings}}}
    )
    order = Examine(
        topology=config.topologies["t"],
        source=0,
        local=ANN,
        fence=Fence("shop", "t"),
        wait_s=wait_s,
    )

    async def scenario():
        ours, theirs = (SocketChannel(end) for end in socket.socketpair())
        with closing(ours):
            with closing(theirs):
                async with asyncio.timeout(DEADLINE_S):
                    examination = Examiner(
                        order, theirs, network=SystemNetwork(), process=Process(), **(pace or {})
                    )
                    await examination.main()
            return ours.receive_rest()

    messages = asyncio.run(scenario())
    assert isinstance(messages[-1], ExaminationDone)
    return [
        (message.step, message.finding) for message in messages if isinstance(message, Diagnosed)
    ]


def of(step, told):
    return [finding for each, finding in told if each == step]


# -- the diagnosis ---------------------------------------------------------------------------------


class Explains(Source):
    async def diagnose(self, ctx):
        assert not ctx.announce
        yield Finding(asked="who", got=f"{ctx.local.name} in {ctx.fence.cluster}")
        yield Finding(asked="what", got="nothing", outcome=Outcome.EMPTY)


def test_findings_come_first_and_in_order_then_what_was_discovered():
    told = examine(Explains)
    assert [(step, finding.asked) for step, finding in told] == [
        ("source", "who"),
        ("source", "what"),
        ("discovery", "nodes it discovers"),
    ]
    assert told[0][1].got == "ann@127.0.0.1 in shop"


class Raises(Source):
    async def diagnose(self, ctx):
        yield Finding(asked="who", got="bob")
        raise SystemExit("boom")


class YieldsText(Source):
    async def diagnose(self, ctx):
        yield "bob"


class IsNoGenerator(Source):
    def diagnose(self, ctx):
        return [Finding(asked="who", got="bob")]


class HasNoOutcome(Source):
    async def diagnose(self, ctx):
        yield Finding(asked="who", got="bob", outcome="fine")


class NeverDone(Source):
    async def diagnose(self, ctx):
        while True:
            yield Finding(asked="who", got="bob")


class TellsAtLength(Source):
    async def diagnose(self, ctx):
        yield Finding(asked="a" * 10**6, got="b" * 10**6, cause="c" * 10**6)


def test_findings_are_bounded(monkeypatch):
    monkeypatch.setattr(examiner, "MAX_FINDINGS", 10)
    findings = of("source", examine(NeverDone))
    assert len(findings) == 11
    assert "more than 10 findings" in findings[-1].got


def test_texts_are_bounded():
    finding = of("source", examine(TellsAtLength))[0]
    assert {len(finding.asked), len(finding.got), len(finding.cause)} == {examiner.MAX_CHARS}


@pytest.mark.parametrize("strategy", [Raises, YieldsText, IsNoGenerator, HasNoOutcome])
def test_fault_of_a_diagnosis_is_a_finding(strategy):
    told = examine(strategy)
    last = of("source", told)[-1]
    assert last.outcome is Outcome.FAILED
    assert last.got.startswith("raised ")
    assert "a fault of the plugin" in last.cause
    assert of("discovery", told)[0].outcome is Outcome.OK


class NeverEnds(Source):
    async def diagnose(self, ctx):
        yield Finding(asked="who", got="bob")
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        await asyncio.sleep(3600)


def test_diagnosis_without_end_is_given_up_though_it_resists():
    first, last = of("source", examine(NeverEnds, pace={"diagnose_s": 0.1}))
    assert first.got == "bob"
    assert last.got == "not complete after 0.1 s"


# -- what is discovered ----------------------------------------------------------------------------


class Silent(Source):
    async def discover(self, ctx):
        await asyncio.sleep(3600)
        yield


def test_silent_strategy_is_an_empty_finding():
    [finding] = of("discovery", examine(Silent))
    assert finding.outcome is Outcome.EMPTY
    assert finding.got.startswith("no nodes within 0.")


class Empty(Source):
    async def discover(self, ctx):
        yield Found([ANN])
        await asyncio.sleep(3600)


def test_empty_answer_is_an_empty_finding():
    [finding] = of("discovery", examine(Empty))
    assert finding.outcome is Outcome.EMPTY


class Sick(Source):
    async def discover(self, ctx):
        yield Found([])
        yield Failed(DiscoveryError("sick: no answer"))


class Crashes(Source):
    async def discover(self, ctx):
        yield Found([])
        raise RuntimeError("boom")


class DiscoversNothing(Source):
    def discover(self, ctx):
        raise RuntimeError("boom")


class DiscoversAList(Source):
    def discover(self, ctx):
        return []


class DiscoversText(Source):
    async def discover(self, ctx):
        yield "bob"


@pytest.mark.parametrize(
    ("strategy", "got"),
    [
        (Sick, "sick: no answer"),
        (Crashes, "discover raised RuntimeError: boom"),
        (DiscoversNothing, "discover raised RuntimeError: boom"),
        (
            DiscoversAList,
            (
                "discover raised TypeError: discover returned []: expected an async generator, "
                "'async def' with 'yield'"
            ),
        ),
        (
            DiscoversText,
            "discover raised TypeError: it yielded 'bob': expected an observation such as Found",
        ),
    ],
)
def test_failure_to_discover_is_a_finding(strategy, got):
    [finding] = of("discovery", examine(strategy))
    assert (finding.outcome, finding.got) == (Outcome.FAILED, got)


class Mended(Source):
    async def discover(self, ctx):
        yield Failed(DiscoveryError("sick: no answer"))
        yield Seen(BOB, 10.0)
        yield Seen(CAT, 10.0)
        yield Gone(CAT.name, Reason.LEFT)


def test_last_word_of_the_source_counts():
    [finding] = of("discovery", examine(Mended))
    assert (finding.outcome, finding.got) == (Outcome.OK, "1: bob@127.0.0.1")


class Complete(Source):
    closed = False

    async def discover(self, ctx):
        try:
            yield Found([])
            yield Found([BOB])
            await asyncio.sleep(3600)
        finally:
            Complete.closed = True


def test_complete_answer_ends_the_listening_and_the_strategy_is_closed():
    async def scenario():
        async with asyncio.timeout(DEADLINE_S / 2):
            return await asyncio.to_thread(examine, Complete, wait_s=3600.0)

    assert of("discovery", asyncio.run(scenario()))[0].got == "1: bob@127.0.0.1"
    assert Complete.closed


# -- the nodes -------------------------------------------------------------------------------------


class Crowd(Source):
    async def discover(self, ctx):
        yield Found(Node(address=f"10.0.0.1:{port}") for port in range(1000, 1100))


class Tries(Links):
    async def diagnose(self, node, ctx):
        return Finding(asked=node.key, got="answers")


def test_of_a_crowd_only_so_many_are_tried():
    told = examine(Crowd, Tries)
    [finding] = of("discovery", told)
    assert finding.got == (
        "100: 10.0.0.1:1000, 10.0.0.1:1001, 10.0.0.1:1002, 10.0.0.1:1003, 10.0.0.1:1004 and 95 "
        "more; the first 64 are tried"
    )
    assert [finding.asked for finding in of("node", told)] == [
        f"10.0.0.1:{port}" for port in range(1000, 1064)
    ]


def test_connector_without_diagnosis_has_no_node_findings():
    assert of("node", examine()) == []


class TriesInVain(Links):
    async def diagnose(self, node, ctx):
        await asyncio.sleep(3600)


def test_node_that_does_not_answer_is_given_up_after_the_time_for_a_connect():
    [finding] = of("node", examine(connector=TriesInVain, connect_timeout_s=0.1))
    assert (finding.outcome, finding.asked, finding.got) == (
        Outcome.FAILED,
        BOB.name,
        "no answer within 0.1 s",
    )


class TryingRaises(Links):
    async def diagnose(self, node, ctx):
        raise RuntimeError("boom")


def test_fault_of_a_connector_is_a_finding():
    [finding] = of("node", examine(connector=TryingRaises))
    assert finding.got == "the connector's diagnose raised RuntimeError: boom"


# -- a sign of life --------------------------------------------------------------------------------


def test_examiner_sends_beats_while_it_waits(monkeypatch):
    beats = []
    send = SocketChannel.send
    monkeypatch.setattr(
        SocketChannel, "send", lambda self, message: (beats.append(message), send(self, message))
    )
    examine(Silent, pace={"beat_s": 0.01})
    assert sum(isinstance(message, Beat) for message in beats) > 2


class TwoNodes(Source):
    async def discover(self, ctx):
        yield Found([BOB, CAT])


class BobHangs(Links):
    async def diagnose(self, node, ctx):
        if node == BOB:
            await asyncio.Event().wait()
        return Finding(asked=node.key, got="answers")


def test_a_node_that_answers_is_reported_before_one_that_does_not():
    found = of("node", examine(TwoNodes, BobHangs, connect_timeout_s=0.5))
    expected = [(CAT.name, "answers"), (BOB.name, "no answer within 0.5 s")]
    assert [(finding.asked, finding.got) for finding in found] == expected
