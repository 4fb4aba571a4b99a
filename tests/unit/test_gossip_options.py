"""The options of ``gossip``: what is refused, and where it serves."""

import pytest

from cluster_kit.errors import ConfigError
from cluster_kit.strategies.gossip import GossipStrategy


def test_defaults_are_those_of_libcluster():
    gossip = GossipStrategy()
    assert (gossip.port, gossip.if_addr, gossip.multicast_addr) == (45892, "0.0.0.0", "230.1.1.251")
    assert (gossip.multicast_if, gossip.multicast_ttl, gossip.broadcast_only) == (None, 1, False)


@pytest.mark.parametrize(
    "given",
    [
        {"port": 0},
        {"port": 65536},
        {"multicast_ttl": -1},
        {"multicast_ttl": 256},
        {"interval_s": 0.0},
        {"interval_s": -1.0},
        {"interval_s": float("nan")},
        {"interval_s": float("inf")},
        {"ttl_s": 4.4},
        {"ttl_s": float("nan")},
        {"ttl_s": float("inf")},
        {"multicast_addr": "group"},
        {"multicast_addr": "10.0.0.255"},
        {"multicast_addr": "230.1.1.251", "broadcast_only": True},
        {"multicast_addr": "ff12::1%eth0"},
        {"multicast_addr": "fe80::1"},
        {"multicast_addr": "ff12::1", "broadcast_only": True},
        {"multicast_if": "eth/0"},
        {"multicast_if": ""},
        {"multicast_if": "$(NODE_IP)"},
        {"multicast_if": "eth0,eth1"},
        {"if_addr": "$NODE_IP"},
        {"if_addr": "*"},
        {"multicast_if": "10.0.1"},
        {"if_addr": "gateway.example.com"},
        {"if_addr": "10.0.0.1", "multicast_addr": "ff12::1"},
        {"if_addr": "fd00::1", "multicast_addr": "239.1.1.1"},
        {"if_addr": "fd00::1", "multicast_if": "10.0.0.1"},
        {"if_addr": "127.0.0.1", "broadcast_only": True, "multicast_addr": "127.255.255.255"},
    ],
    ids=str,
)
def test_bad_option_is_named(given):
    with pytest.raises(ConfigError) as caught:
        GossipStrategy(**given)
    assert any(str(caught.value).startswith(option) for option in given)


@pytest.mark.parametrize("interval_s", [0.05, 0.1, 0.2, 1.5, 2.3])
def test_three_intervals_are_enough(interval_s):
    GossipStrategy(interval_s=interval_s, ttl_s=round(3 * interval_s, 2))


@pytest.mark.parametrize(
    ("host", "given"),
    [
        ("::1", {}),
        ("127.0.0.1", {"multicast_addr": "ff12::1"}),
        ("localhost", {"multicast_addr": "ff12::1"}),
        ("fd00::7", {"multicast_if": "::1"}),
    ],
)
def test_multicast_of_ipv6_on_loopback_is_refused(host, given):
    with pytest.raises(ValueError, match="Linux carries no IPv6 multicast on loopback"):
        GossipStrategy(**given).serves_on(host)


@pytest.mark.parametrize(
    ("host", "given", "address"),
    [
        ("127.0.0.1", {}, "127.0.0.1"),
        ("10.0.0.7", {}, "10.0.0.7"),
        ("web.example", {}, "web.example"),
        ("fd00::7", {}, "fd00::7"),
        ("127.0.0.1", {"multicast_addr": "ff12::1", "multicast_if": "eth0"}, "eth0"),
        ("10.0.0.7", {"multicast_if": "127.0.0.1"}, "127.0.0.1"),
        ("127.0.0.1", {"multicast_if": "10.0.0.7"}, "10.0.0.7"),
        ("127.0.0.1", {"if_addr": "10.0.0.7"}, "10.0.0.7"),
        ("127.0.0.1", {"if_addr": "0:0::0"}, "127.0.0.1"),
        ("127.0.0.1", {"broadcast_only": True, "multicast_addr": "10.0.0.255"}, "10.0.0.255"),
        ("127.0.0.1", {"broadcast_only": True, "multicast_addr": "127.255.255.255"}, "127.0.0.1"),
    ],
)
def test_serves_where_strangers_could_reach_it(host, given, address):
    assert GossipStrategy(**given).serves_on(host) == address
