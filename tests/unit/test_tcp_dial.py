"""Dials: when each endpoint of an address is tried, and what a failure is called."""

import asyncio
from types import SimpleNamespace

import pytest

from cluster_kit.connectors.tcp.dial import MAX_ENDS, STAGGER_S, OwnEndpoints, Route
from cluster_kit.connectors.tcp.faults import network_fault
from cluster_kit.errors import ConnectReason, NetworkError, NetworkFault
from cluster_kit.network import Endpoint, Stream
from cluster_kit.testing import run_virtually

PORT = 4370
A, B, C = (Endpoint(host, PORT) for host in ("10.0.0.1", "10.0.0.2", "10.0.0.3"))


class FakeStream(Stream):
    def __init__(self, there):
        self.here, self.there = Endpoint("10.0.0.9", 1), there
        self.aborted = False

    def abort(self):
        self.aborted = True

    start = send = close = unsent_bytes = None


class Script:
    """A network that answers each dial after some seconds, with a stream or a fault, and keeps what
    was asked of it.
    """

    def __init__(self, *outcomes):
        self.outcomes = dict(outcomes)
        self.dialled = []
        self.given_up = []
        self.streams = []

    async def resolve(self, host):
        return [end.host for end in self.outcomes]

    async def dial(self, to):
        self.dialled.append((to, asyncio.get_running_loop().time()))
        after_s, fault = self.outcomes[to]
        try:
            await asyncio.sleep(after_s)
        except asyncio.CancelledError:
            self.given_up.append(to)
            raise
        if fault:
            raise NetworkError("as scripted", fault=fault)
        self.streams.append(FakeStream(to))
        return self.streams[-1]


def dial(script, avoid=lambda _: False, times=1):
    """Dial ``times`` times by one route; return the route, and each outcome with when it was
    there.
    """

    async def scenario():
        route, outcomes = Route(script, f"seed.test:{PORT}", avoid), []
        for _ in range(times):
            try:
                outcomes.append((await route.dial()).there)
            except NetworkError as error:
                outcomes.append(error.fault)
        return route, outcomes, asyncio.get_running_loop().time()

    return run_virtually(scenario())


HANGS = (3600.0, None)


def answers(after_s=0.0):
    return (after_s, None)


def fails(fault=NetworkFault.REFUSED, after_s=0.0):
    return (after_s, fault)


def test_first_address_that_answers_is_taken():
    script = Script((A, answers()), (B, answers()))
    route, outcomes, now_s = dial(script)
    assert (outcomes, now_s) == ([A], 0.0)
    assert route.at == A
    assert route.has_more


def test_slow_address_does_not_hold_up_the_next():
    script = Script((A, HANGS), (B, HANGS), (C, answers(0.1)))
    _, outcomes, now_s = dial(script)
    assert (outcomes, now_s) == ([C], pytest.approx(2 * STAGGER_S + 0.1))
    assert script.dialled == [(A, 0.0), (B, STAGGER_S), (C, 2 * STAGGER_S)]
    assert script.given_up == [A, B]


def test_refused_address_makes_way_at_once():
    assert dial(Script((A, fails()), (B, answers())))[1:] == ([B], 0.0)


def test_first_address_may_still_win_when_the_next_is_under_way():
    script = Script((A, answers(0.3)), (B, HANGS))
    _, outcomes, now_s = dial(script)
    assert (outcomes, now_s) == ([A], pytest.approx(0.3))
    assert script.given_up == [B]


def test_pending_address_may_still_win_when_the_last_is_refused():
    script = Script((A, answers(1.0)), (B, fails()))
    assert dial(script)[1:] == ([A], 1.0)


def test_of_two_that_answer_at_once_the_one_that_was_tried_first_is_taken_and_the_other_closed():
    for _ in range(20):  # tasks lie in memory in another order each time
        script = Script((A, answers(2 * STAGGER_S)), (B, answers(STAGGER_S)))
        assert dial(script)[1] == [A]
        assert {stream.there: stream.aborted for stream in script.streams} == {A: False, B: True}


def test_address_that_fails_as_another_answers_is_not_logged(caplog):
    script = Script((A, answers(2 * STAGGER_S)), (B, fails(after_s=STAGGER_S)))
    assert dial(script)[1] == [A]
    assert caplog.messages == []


def test_next_dial_goes_on_with_what_was_not_tried():
    script = Script((A, answers()), (B, fails()), (C, answers()))
    route, outcomes, _ = dial(script, times=2)
    assert outcomes == [A, C]
    assert not route.has_more


def test_last_failure_is_reported():
    script = Script((A, fails(NetworkFault.TIMEOUT)), (B, fails(NetworkFault.UNREACHABLE)))
    assert dial(script)[1] == [NetworkFault.UNREACHABLE]


def test_ways_to_avoid_are_left_out():
    route, outcomes, _ = dial(Script((A, answers()), (B, answers())), avoid=lambda end: end == A)
    assert outcomes == [B]
    assert not route.is_avoided
    route, outcomes, _ = dial(Script((A, answers())), avoid=lambda end: end == A)
    assert outcomes == [NetworkFault.NO_SUCH_NAME]
    assert route.is_avoided


def test_given_up_dial_leaves_nothing():
    script = Script((A, HANGS), (B, HANGS))

    async def scenario():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(Route(script, f"seed.test:{PORT}").dial(), 1.0)

    run_virtually(scenario())
    assert script.given_up == [A, B]


def test_stream_that_has_won_is_aborted_if_the_dial_is_given_up_while_the_others_are_called_off():
    script = Script((A, HANGS), (B, answers()))

    async def scenario():
        dialling = asyncio.create_task(Route(script, f"seed.test:{PORT}").dial())
        script.given_up = SimpleNamespace(append=lambda to: dialling.cancel())
        await asyncio.wait([dialling])
        assert dialling.cancelled()

    run_virtually(scenario())
    assert [stream.aborted for stream in script.streams] == [True]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (NetworkFault.REFUSED, ConnectReason.REFUSED),
        (NetworkFault.RESET, ConnectReason.RESET),
        (NetworkFault.TIMEOUT, ConnectReason.TIMEOUT),
        (NetworkFault.UNREACHABLE, ConnectReason.UNREACHABLE),
        (NetworkFault.NO_SUCH_NAME, ConnectReason.UNREACHABLE),
        (NetworkFault.IN_USE, ConnectReason.FAILED),
        (NetworkFault.FORBIDDEN, ConnectReason.FAILED),
        (NetworkFault.NOT_OURS, ConnectReason.UNREACHABLE),
        (NetworkFault.DOWN, ConnectReason.UNREACHABLE),
        (NetworkFault.UNSUPPORTED, ConnectReason.FAILED),
        (NetworkFault.EXHAUSTED, ConnectReason.FAILED),
        (NetworkFault.FAILED, ConnectReason.FAILED),
    ],
)
def test_each_fault_is_a_reason_and_keeps_its_words(fault, reason):
    found = network_fault(NetworkError("words of the system", fault=fault))
    assert found.reason is reason
    assert "words of the system" in found.cause


def test_reasons_of_all_faults_are_tried():
    (mark,) = test_each_fault_is_a_reason_and_keeps_its_words.pytestmark
    assert [fault for fault, _ in mark.args[1]] == list(NetworkFault)


class TestOwnEnds:
    def test_end_is_ours_for_a_minute(self):
        now_s = 0.0
        ends = OwnEndpoints(lambda: now_s)
        ends.add(A)
        assert ends.include(A)
        assert not ends.include(B)
        assert not ends.include(None)
        now_s = 61.0
        assert not ends.include(A)

    def test_only_a_few_endpoints_are_remembered(self):
        now_s = 0.0
        ends = OwnEndpoints(lambda: now_s)
        for port in range(MAX_ENDS + 1):
            ends.add(Endpoint(A.host, port))
        assert ends.include(Endpoint(A.host, MAX_ENDS - 1))
        assert not ends.include(Endpoint(A.host, MAX_ENDS))
        now_s = 61.0
        ends.add(B)
        assert ends.include(B)
