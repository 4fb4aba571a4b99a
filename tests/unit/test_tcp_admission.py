"""Which connections are admitted: bounds on those that are not links yet, and on strangers."""

import pytest

from cluster_kit.connectors.tcp.admission import (
    KEY_EXCHANGES_PER_S,
    LEAST,
    MAX_HALF_OPEN,
    MAX_HALF_OPEN_PER_HOST,
    MAX_HOSTS,
    MAX_STRANGERS_PER_HOST,
    SPARE,
    Admission,
    HalfOpen,
    KeyExchanges,
    StrangerLinks,
    max_links,
)
from cluster_kit.connectors.tcp.incidents import MOST_HOSTS, Incidents
from cluster_kit.node import BootId, Fence, Node
from cluster_kit.testing import MemoryNetwork, run_virtually
from cluster_kit.testing.fakes import RecordingLinks
from cluster_kit.wire.frames import Identity

HOST, OTHER_HOST = "203.0.113.7", "203.0.113.8"
FENCE = Fence("shop", "web")


class Clock:
    now_s = 0.0


def peer(number):
    return Node(name=f"n{number}@there")


def crowd(strangers, host=HOST, since=0):
    """Let strangers in until there is no room; return how many came in."""
    number = since
    while strangers.admit(number, host, peer(number), open_streams=0):
        number += 1
    return number - since


def test_strangers_of_one_host_have_a_part_of_the_room():
    strangers = StrangerLinks(1000, lambda _: False)
    assert crowd(strangers) == MAX_STRANGERS_PER_HOST
    assert strangers.admit(5000, OTHER_HOST, peer(5000), open_streams=0)


def test_strangers_have_half_of_the_room_at_most():
    strangers = StrangerLinks(100, lambda _: False)
    assert crowd(strangers, "127.0.0.1") == 50
    assert not strangers.admit(5000, OTHER_HOST, peer(5000), open_streams=0)


def test_loopback_strangers_may_take_the_whole_share_of_strangers():
    strangers = StrangerLinks(1000, lambda _: False)
    assert crowd(strangers, "127.0.0.1") == 500


def test_peers_that_somebody_vouches_for_have_all_of_the_room():
    known = {peer(5000)}
    strangers = StrangerLinks(1000, lambda node: node in known)
    crowd(strangers)
    assert strangers.admit(5000, HOST, peer(5000), open_streams=999)
    assert not strangers.admit(5000, HOST, peer(5000), open_streams=1000)


def test_strangers_that_are_known_by_now_make_room_for_others():
    known = set()
    strangers = StrangerLinks(1000, lambda node: node in known)
    crowd(strangers)
    known |= {peer(0), peer(1)}
    assert crowd(strangers, since=5000) == 2


def test_connection_that_is_closed_makes_room():
    strangers = StrangerLinks(1000, lambda _: False)
    crowd(strangers)
    strangers.release(0)
    strangers.release(0)
    assert crowd(strangers, since=5000) == 1


def test_address_that_discovery_knows_lets_in_one_peer_at_a_time():
    seed = Node(address=f"{HOST}:1")
    strangers = StrangerLinks(1000, lambda node: node == seed)
    crowd(strangers)
    claims = [peer(number).evolve(address=seed.address) for number in range(3)]
    assert strangers.admit(5000, HOST, claims[0], open_streams=0)
    assert not strangers.admit(5001, HOST, claims[1], open_streams=0)
    strangers.release(5000)
    assert strangers.admit(5002, HOST, claims[2], open_streams=0)


def test_unknown_address_does_not_vouch_for_a_peer():
    strangers = StrangerLinks(1000, lambda _: False)
    crowd(strangers)
    assert not strangers.admit(5000, HOST, peer(5000).evolve(address=f"{HOST}:1"), open_streams=0)


def test_known_address_vouches_for_a_peer_dialling_from_its_host():
    """A peer on another host could only claim that address."""

    async def scenario():
        links = RecordingLinks(fence=FENCE, network=MemoryNetwork().host(HOST))
        links.known = {f"{HOST}:1", f"{OTHER_HOST}:1"}
        admission = Admission(links)

        def has_room(conn, claimed=None):
            node = peer(conn).evolve(address=claimed, boot_id=BootId(conn, 0))
            identity = Identity.of(node, FENCE, leaving=False, wanted=True)
            return admission.has_room(conn, HOST, identity, open_streams=0)

        assert all(has_room(conn) for conn in range(MAX_STRANGERS_PER_HOST))
        assert not has_room(5000)
        assert not has_room(5001, f"{OTHER_HOST}:1")
        assert not has_room(5001, "of-another-connector")
        assert has_room(5002, f"{HOST}:1")
        admission.release(0)
        assert has_room(5000)

    run_virtually(scenario())


def test_links_leave_spare_streams_but_a_few_links_are_always_allowed():
    assert max_links(SPARE + LEAST + 1) == LEAST + 1
    assert max_links(SPARE + LEAST - 1) == LEAST


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

    def test_host_without_connections_is_forgotten(self):
        half_open = HalfOpen()
        for conn in range(2):
            half_open.admit(conn, HOST)
        half_open.release(0)
        assert half_open._count == {HOST: 1}
        half_open.release(1)
        assert half_open._count == {}


def test_key_exchanges_of_one_host_come_at_a_bounded_rate():
    exchanges = KeyExchanges()
    waits_s = [exchanges.wait_s(HOST, 100.0) for _ in range(MAX_HALF_OPEN_PER_HOST + 3)]
    assert waits_s[:MAX_HALF_OPEN_PER_HOST] == pytest.approx([0.0] * MAX_HALF_OPEN_PER_HOST)
    assert waits_s[MAX_HALF_OPEN_PER_HOST:] == pytest.approx(
        [n / KEY_EXCHANGES_PER_S for n in (1, 2, 3)]
    )
    assert exchanges.wait_s(OTHER_HOST, 100.0) == 0.0


def test_host_that_waits_may_have_as_many_again():
    exchanges = KeyExchanges()
    for now_s in (100.0, 200.0):
        waits_s = [exchanges.wait_s(HOST, now_s) for _ in range(MAX_HALF_OPEN_PER_HOST + 1)]
        assert waits_s == pytest.approx([0.0] * MAX_HALF_OPEN_PER_HOST + [1 / KEY_EXCHANGES_PER_S])


def test_processes_of_this_machine_have_all_of_the_room():
    exchanges = KeyExchanges()
    assert [exchanges.wait_s("127.0.0.1", 100.0) for _ in range(MAX_HALF_OPEN)] == pytest.approx(
        [0.0] * MAX_HALF_OPEN
    )
    assert exchanges.wait_s("127.0.0.1", 100.0) > 0.001


def test_hosts_are_forgotten_once_they_have_waited():
    exchanges = KeyExchanges()
    for number in range(10 * MAX_HOSTS):
        exchanges.wait_s(f"10.0.{number // 256}.{number % 256}", number * 0.01)
    assert len(exchanges._full_at_s) <= MAX_HOSTS


class TestIncidents:
    @pytest.fixture
    def clock(self):
        return Clock()

    @pytest.fixture
    def incidents(self, clock):
        return Incidents(lambda: clock.now_s)

    def test_host_that_is_not_let_in_is_named_once_a_minute(self, caplog, clock, incidents):
        for second in range(61):
            clock.now_s = float(second)
            incidents.untrusted(HOST, "why")
        first, last = caplog.messages
        assert f"refused the node at {HOST}: why" in first
        assert last == f"{first} (and 59 more of this kind before)"

    def test_few_hosts_that_are_not_let_in_are_named(self, caplog, clock, incidents):
        for second in range(60):
            clock.now_s = float(second)
            for number in range(1000):
                incidents.untrusted(f"10.1.{number // 256}.{number % 256}", "why")
        named = [record.args[0] for record in caplog.records[:-1]]
        assert named == [f"10.1.0.{number}" for number in range(MOST_HOSTS)]
        assert "further hosts" in caplog.records[-1].getMessage()
        caplog.clear()
        clock.now_s = 60.0
        incidents.untrusted("10.2.0.0", "why")
        assert "refused the node at 10.2.0.0" in caplog.text

    def test_another_host_is_named_a_minute_after_the_first(self, caplog, clock, incidents):
        seconds = [*range(100, 100 + MOST_HOSTS), 159, 160, 160]
        for number, second in enumerate(seconds):
            clock.now_s = float(second)
            incidents.untrusted(f"10.1.0.{number}", "why")
        named = [record.args[0] for record in caplog.records if record.args]
        assert named == [f"10.1.0.{number}" for number in (*range(MOST_HOSTS), MOST_HOSTS + 1)]

    def test_each_kind_is_reported_once_in_a_while(self, caplog, incidents):
        for _ in range(3):
            incidents.no_room(HOST, peer(1))
            incidents.broken(peer(2), "why")
        full, broken = caplog.messages
        assert f"refused n1@there from {HOST}: raise the limit of open files" in full
        assert broken == "link to n2@there closed: why"
