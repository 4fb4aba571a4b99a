"""The addresses of hosts, with a clock that is turned by hand."""

import pytest

from cluster_kit.strategies.mdns.hosts import GRACE_S, MAX_ADDRESSES, MAX_HOSTS, Hosts


@pytest.fixture
def hosts():
    return Hosts()


def hear(hosts, address, now_s=0.0, *, host="web.local.", ttl_s=120, replaces=True):
    hosts.hear(host, address, now_s, ttl_s=ttl_s, replaces=replaces)


def test_addresses_that_come_together_belong_together(hosts):
    for address in ("10.0.0.1", "10.0.0.2", "fd00::1"):
        hear(hosts, address)
    assert hosts.addresses_of("WEB.local.", 1.0) == ["10.0.0.1", "10.0.0.2", "fd00::1"]


def test_address_replaces_those_of_its_family_that_are_older(hosts):
    hear(hosts, "10.0.0.1")
    hear(hosts, "fd00::1")
    hear(hosts, "10.0.0.2", GRACE_S)
    assert hosts.addresses_of("web.local.", GRACE_S) == ["fd00::1", "10.0.0.2"]


def test_address_that_is_shared_replaces_nothing(hosts):
    hear(hosts, "10.0.0.1")
    hear(hosts, "10.0.0.2", 5.0, replaces=False)
    assert hosts.addresses_of("web.local.", 5.0) == ["10.0.0.1", "10.0.0.2"]


def test_address_lives_as_long_as_it_says(hosts):
    hear(hosts, "10.0.0.1", ttl_s=10)
    assert hosts.addresses_of("web.local.", 9.9) == ["10.0.0.1"]
    assert hosts.addresses_of("web.local.", 10.0) == []


def test_goodbye_takes_an_address_away(hosts):
    hear(hosts, "10.0.0.1")
    hear(hosts, "10.0.0.1", 0.5, ttl_s=0)
    assert hosts.addresses_of("web.local.", 0.5) == []


def test_a_flood_of_hosts_is_bounded_and_new_ones_are_heard(hosts):
    for number in range(2 * MAX_HOSTS):
        hear(hosts, "10.0.0.1", host=f"h{number}.local.", ttl_s=4500)
    hear(hosts, "10.0.0.2", 1.0, ttl_s=5)
    assert hosts.addresses_of("web.local.", 1.0) == ["10.0.0.2"]
    assert hosts.addresses_of("h0.local.", 1.0) == []
    assert hosts.addresses_of(f"h{2 * MAX_HOSTS - 1}.local.", 1.0) == ["10.0.0.1"]


def test_a_flood_of_addresses_is_bounded(hosts):
    for number in range(2 * MAX_ADDRESSES):
        hear(hosts, f"10.0.0.{number}")
    assert len(hosts.addresses_of("web.local.", 0.0)) == MAX_ADDRESSES
