"""Signs of life, round trips and bounds on strangers, with time as an argument."""

import pytest

from cluster_kit.connectors.tcp.accept import MAX_HALF_OPEN, MAX_HALF_OPEN_PER_HOST, HalfOpen
from cluster_kit.connectors.tcp.heartbeat import Heartbeat
from cluster_kit.wire.frames import Ping, Pong


class TestSilence:
    def test_peer_is_silent_when_nothing_was_heard_for_long_enough(self):
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
    def test_dialler_measures_and_acceptor_is_told(self, start_s):
        dialler, acceptor = Heartbeat(start_s, 3.5), Heartbeat(start_s, 3.5)
        ping = dialler.ask(start_s)
        assert acceptor.asked(ping) is None
        assert dialler.told(Pong(token=ping.token), start_s + 0.0123) == pytest.approx(0.0123, abs=1e-5)
        assert acceptor.asked(dialler.ask(start_s + 1)) == pytest.approx(0.0123, abs=1e-5)

    def test_made_up_token_measures_nothing(self):
        heartbeat = Heartbeat(1000.0, 3.5)
        assert heartbeat.told(Pong(token=(heartbeat.ask(1000.0).token + 1_000_000) % 2**32), 1000.5) is None

    def test_reply_at_once_is_not_unknown(self):
        heartbeat = Heartbeat(5.0, 3.5)
        heartbeat.told(Pong(token=heartbeat.ask(5.0).token), 5.0)
        assert heartbeat.ask(6.0).rtt_us == 1

    def test_unknown_round_trip_is_none(self):
        assert Heartbeat(0.0, 3.5).asked(Ping(token=0, rtt_us=0)) is None


class TestHalfOpen:
    def test_one_host_cannot_take_all_places(self):
        half_open = HalfOpen()
        assert all(half_open.admit(conn, "203.0.113.7") for conn in range(MAX_HALF_OPEN_PER_HOST))
        assert not half_open.admit(1000, "203.0.113.7")
        assert half_open.admit(1001, "203.0.113.8")

    def test_this_machine_may_take_all_places_but_no_more(self):
        half_open = HalfOpen()
        assert all(half_open.admit(conn, "127.0.0.1") for conn in range(MAX_HALF_OPEN))
        assert not half_open.admit(1000, "127.0.0.1")
        assert not half_open.admit(1001, "203.0.113.7")

    def test_released_place_is_free_again(self):
        half_open = HalfOpen()
        for conn in range(MAX_HALF_OPEN_PER_HOST):
            half_open.admit(conn, "203.0.113.7")
        half_open.release(5)
        half_open.release(5)
        assert half_open.admit(1000, "203.0.113.7")
        assert not half_open.admit(1001, "203.0.113.7")
