"""Signs of life and round trips, with time as an argument; and the beat on a virtual clock."""

import asyncio

import pytest

from cluster_kit.attended import AttendedClock
from cluster_kit.connectors.tcp.heartbeat import Heartbeat
from cluster_kit.connectors.tcp.pulse import Pulse
from cluster_kit.testing import run_virtually
from cluster_kit.wire.frames import Ping, Pong
from cluster_kit.wire.link import LinkState, Role


class TestSilence:
    def test_peer_counts_as_silent_after_silent_s(self):
        heartbeat = Heartbeat(now_s=100.0, silent_s=3.5)
        assert heartbeat.silent_at_s == 103.5

    def test_each_sign_of_life_counts_anew(self):
        heartbeat = Heartbeat(now_s=100.0, silent_s=3.5)
        heartbeat.heard(103.0)
        assert heartbeat.silent_at_s == 106.5

    def test_unanswered_probe_is_silence(self):
        heartbeat = Heartbeat(now_s=100.0, silent_s=3.5)
        heartbeat.probe(100.0, within_s=2.0)
        assert heartbeat.probing
        assert heartbeat.silent_at_s == 102.0

    def test_answered_probe_is_over(self):
        heartbeat = Heartbeat(now_s=100.0, silent_s=3.5)
        heartbeat.probe(100.0, within_s=2.0)
        heartbeat.heard(101.0)
        assert not heartbeat.probing
        assert heartbeat.silent_at_s == 104.5

    def test_second_probe_does_not_put_off_the_verdict_of_the_first(self):
        heartbeat = Heartbeat(now_s=100.0, silent_s=3.5)
        heartbeat.probe(100.0, within_s=2.0)
        heartbeat.probe(101.0, within_s=2.0)
        assert heartbeat.silent_at_s == 102.0


class TestRoundTrip:
    @pytest.mark.parametrize("start_s", [0.0, 12.5, 2**32 / 1e6 - 0.0001, 1e6])
    def test_dialler_measures_and_acceptor_gets_the_result(self, start_s):
        dialler, acceptor = Heartbeat(start_s, 3.5), Heartbeat(start_s, 3.5)
        ping = dialler.ping(start_s)
        assert acceptor.rtt_reported(ping) is None
        assert dialler.rtt_measured(Pong(token=ping.token), start_s + 0.0123) == pytest.approx(
            0.0123, abs=1e-5
        )
        again = dialler.ping(start_s + 1)
        assert acceptor.rtt_reported(again) == pytest.approx(0.0123, abs=1e-5)
        assert max(ping.token, again.token) < 2**32

    def test_made_up_token_measures_nothing(self):
        heartbeat = Heartbeat(1000.0, 3.5)
        assert (
            heartbeat.rtt_measured(
                Pong(token=(heartbeat.ping(1000.0).token + 1_000_000) % 2**32), 1000.5
            )
            is None
        )

    def test_reply_at_once_is_not_unknown(self):
        heartbeat = Heartbeat(5.0, 3.5)
        heartbeat.rtt_measured(Pong(token=heartbeat.ping(5.0).token), 5.0)
        assert heartbeat.ping(6.0).rtt_us == 1

    def test_round_trip_is_reported_in_microseconds(self):
        assert Heartbeat(0.0, 3.5).rtt_reported(Ping(token=0, rtt_us=1500)) == 0.0015

    def test_unknown_round_trip_is_none(self):
        assert Heartbeat(0.0, 3.5).rtt_reported(Ping(token=0, rtt_us=0)) is None


class FakeSession:
    """A connection that keeps when it is asked for a sign of life."""

    def __init__(self, role, state=LinkState.UP, deadline_s=0.0):
        self.loop = asyncio.get_running_loop()
        self.is_dialled = role is Role.DIALLER
        self.is_up = state is LinkState.UP
        self.heartbeat = Heartbeat(self.loop.time(), silent_s=3.5)
        self.deadline_s = deadline_s
        self.asked_at_s = []

    @property
    def overdue_at_s(self):
        return self.heartbeat.silent_at_s if self.is_up else self.deadline_s

    def send(self, frame):
        self.asked_at_s.append(self.loop.time())


class Beating:
    """A pulse over some connections, and when it gives each of them up."""

    def __init__(self, **sessions):
        self.sessions = sessions
        self.given_up = {}
        self.loop = asyncio.get_running_loop()
        clock = AttendedClock(self.loop.time, 1.0)
        self.pulse = Pulse(clock, 1.0, dict(enumerate(sessions.values())), self.give_up)

    def give_up(self, session):
        (name,) = [name for name, each in self.sessions.items() if each is session]
        self.given_up.setdefault(name, self.loop.time())

    async def beat(self, seconds):
        await asyncio.sleep(seconds)
        self.pulse.stop()


class TestPulse:
    def test_dialler_asks_once_each_heartbeat_and_the_acceptor_never(self):
        async def scenario():
            dialled, accepted = FakeSession(Role.DIALLER), FakeSession(Role.ACCEPTOR)
            slow = FakeSession(Role.ACCEPTOR, LinkState.GREETED, deadline_s=1.25)  # is judged then
            await Beating(dialled=dialled, accepted=accepted, slow=slow).beat(3.2)
            assert dialled.asked_at_s == [0.0, 1.0, 2.0, 3.0]
            assert accepted.asked_at_s == []

        run_virtually(scenario())

    def test_dialler_sends_no_ping_before_the_link_is_up(self):
        async def scenario():
            greeted = FakeSession(Role.DIALLER, LinkState.GREETED, deadline_s=9.0)
            await Beating(greeted=greeted).beat(3.2)
            assert greeted.asked_at_s == []

        run_virtually(scenario())

    def test_no_ping_is_sent_after_the_stop(self):
        async def scenario():
            dialled = FakeSession(Role.DIALLER)
            await Beating(dialled=dialled).beat(0.5)
            await asyncio.sleep(5.0)
            assert dialled.asked_at_s == [0.0]

        run_virtually(scenario())

    def test_silent_link_and_slow_handshake_are_given_up_in_time(self):
        async def scenario():
            slow = FakeSession(Role.ACCEPTOR, LinkState.GREETED, deadline_s=2.25)
            beating = Beating(silent=FakeSession(Role.ACCEPTOR), slow=slow)
            await beating.beat(6.0)
            assert 3.5 <= beating.given_up["silent"] <= 4.0
            assert 2.25 <= beating.given_up["slow"] <= 2.75

        run_virtually(scenario())

    @pytest.mark.parametrize(
        ("from_s", "to_s", "given_up_s"),
        [
            (2.5, 20.0, 20.5),  # 17 s late, which don't count, and 3.5 s that do
            (3.2, 5.0, 5.5),  # 1 s late; the peer is overdue, but may have been heard meanwhile
        ],
    )
    def test_late_beat_extends_the_deadline_by_its_delay(self, from_s, to_s, given_up_s):
        async def scenario():
            beating = Beating(silent=FakeSession(Role.ACCEPTOR))
            loop = asyncio.get_running_loop()
            loop.call_at(from_s, loop.pause)
            loop.timeline.call_at(to_s, loop.resume)
            await beating.beat(30.0)
            assert beating.given_up["silent"] == pytest.approx(given_up_s)

        run_virtually(scenario())
