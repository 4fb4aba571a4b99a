"""Which interface gossip uses, by which protocol and to which group."""

import asyncio

import pytest

from cluster_kit.errors import ConfigError
from cluster_kit.netdevice import Flag
from cluster_kit.strategies.gossip import GROUP_V4, GROUP_V6, GossipStrategy, ways
from cluster_kit.strategies.gossip.machine import Interface
from cluster_kit.strategies.gossip.ways import Way, heard_on, way_of

UP = Flag.UP | Flag.RUNNING
KNOWN = [
    Interface("lo", "127.0.0.1", UP | Flag.LOOPBACK),
    Interface("eth0", "10.0.0.7", UP | Flag.MULTICAST),
    Interface("eth1", "10.1.0.7", UP | Flag.MULTICAST),
    Interface("lo", "::1", UP | Flag.LOOPBACK),
    Interface("eth0", "fe80::7", UP | Flag.MULTICAST),
    Interface("eth0", "fd00::7", UP | Flag.MULTICAST),
    Interface("eth2", "fe80::7", UP | Flag.MULTICAST),
]
GROUP = "ff15::9"


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr(ways, "interfaces", lambda: KNOWN)
    monkeypatch.setattr(ways.socket, "if_nametoindex", lambda name: {"lo": 1, "eth0": 2, "eth1": 3, "eth2": 4}[name])


def way(host, **options):
    return asyncio.run(way_of(GossipStrategy(**options), host))


@pytest.mark.parametrize(
    ("host", "options", "expected"),
    [
        ("127.0.0.1", {}, Way("127.0.0.1", 0, "", GROUP_V4)),
        ("10.9.9.9", {}, Way("10.9.9.9", 0, "", GROUP_V4)),
        ("10.0.0.7", {"multicast_if": "eth1"}, Way("10.1.0.7", 0, "", GROUP_V4)),
        ("localhost", {}, Way("127.0.0.1", 0, "", GROUP_V4)),
        ("fd00::7", {}, Way("fd00::7", 2, "eth0", GROUP_V6)),
        ("fd00:0::0:7", {}, Way("fd00::7", 2, "eth0", GROUP_V6)),
        ("fe80::7%eth2", {}, Way("fe80::7", 4, "eth2", GROUP_V6)),
        ("fd00::7", {"multicast_addr": GROUP}, Way("fd00::7", 2, "eth0", GROUP)),
        ("10.0.0.7", {"multicast_addr": GROUP}, Way("fd00::7", 2, "eth0", GROUP)),
        ("nowhere.invalid", {"multicast_addr": GROUP, "multicast_if": "eth2"}, Way("fe80::7", 4, "eth2", GROUP)),
        ("10.0.0.7", {"multicast_if": "fd00::7"}, Way("fd00::7", 2, "eth0", GROUP_V6)),
        ("fd00::7", {"multicast_addr": "239.1.1.1"}, Way("10.0.0.7", 0, "", "239.1.1.1")),
    ],
)
def test_way(host, options, expected):
    assert way(host, **options) == expected


@pytest.mark.parametrize(
    ("host", "options", "why"),
    [
        ("::1", {}, "'::1': Linux carries no IPv6 multicast on loopback"),
        ("fd00::9", {}, "'fd00::9': no interface has that address; .* 10.0.0.7 \\(eth0\\)"),
        ("fe80::7%eth1", {}, "no interface has that address"),
        ("10.0.0.7", {"multicast_if": "eth7"}, "'eth7': there is no such interface"),
        ("10.1.0.7", {"multicast_addr": GROUP}, "'eth1': it has no IPv6 address"),
        ("nowhere.invalid", {}, "'nowhere.invalid': it has no address"),
        ("nowhere.invalid", {"multicast_addr": GROUP}, "it has no IPv6 address"),
    ],
)
def test_no_way(host, options, why):
    with pytest.raises(ConfigError, match=why):
        way(host, **options)


@pytest.mark.parametrize(
    ("host", "if_addr", "heard"),
    [
        ("10.0.0.7", "0.0.0.0", Way("10.0.0.7", 0, "", GROUP_V4)),
        ("10.0.0.7", "10.1.0.7", Way("10.1.0.7", 0, "", GROUP_V4)),
        ("10.0.0.7", "eth1", Way("10.1.0.7", 0, "", GROUP_V4)),
        ("fd00::7", "::", Way("fd00::7", 2, "eth0", GROUP_V6)),
        ("fd00::7", "eth2", Way("fe80::7", 4, "eth2", GROUP_V6)),
    ],
)
def test_it_hears_where_it_speaks_or_is_told_to(host, if_addr, heard):
    options = GossipStrategy(if_addr=if_addr)
    spoken = asyncio.run(way_of(options, host))
    found = heard_on(options, spoken)
    assert (found.address, found.ifindex, found.group) == (heard.address, heard.ifindex, heard.group)
