"""Which interface gossip uses, by which protocol and to which group."""

import asyncio

import pytest

from cluster_kit.errors import ConfigError
from cluster_kit.network import Group, Interface
from cluster_kit.network.system import SystemNetwork
from cluster_kit.strategies.gossip import GossipStrategy
from cluster_kit.strategies.gossip.group import group_of, interface_with
from cluster_kit.strategies.gossip.options import GROUP_V4, GROUP_V6

KNOWN = [
    Interface("lo", "127.0.0.1", is_loopback=True, has_multicast=False),
    Interface("eth0", "10.0.0.7"),
    Interface("eth1", "10.1.0.7"),
    Interface("lo", "::1", is_loopback=True, has_multicast=False),
    Interface("eth0", "fe80::7"),
    Interface("eth0", "fd00::7"),
    Interface("eth2", "fe80::7"),
]
GROUP = "ff15::9"


class Machine(SystemNetwork):
    """A network whose machine has the interfaces above."""

    def interfaces(self):
        return KNOWN


def way(host, **options):
    return asyncio.run(group_of(GossipStrategy(**options), host, Machine()))


@pytest.mark.parametrize(
    ("host", "options", "expected"),
    [
        ("127.0.0.1", {}, ("127.0.0.1", GROUP_V4)),
        ("10.9.9.9", {}, ("10.9.9.9", GROUP_V4)),
        ("10.0.0.7", {"multicast_if": "eth1"}, ("10.1.0.7", GROUP_V4)),
        ("localhost", {}, ("127.0.0.1", GROUP_V4)),
        ("fd00::7", {}, ("fd00::7%eth0", GROUP_V6)),
        ("fd00:0::0:7", {}, ("fd00::7%eth0", GROUP_V6)),
        ("fe80::7%eth2", {}, ("fe80::7%eth2", GROUP_V6)),
        ("fd00::7", {"multicast_addr": GROUP}, ("fd00::7%eth0", GROUP)),
        ("10.0.0.7", {"multicast_addr": GROUP}, ("fd00::7%eth0", GROUP)),
        (
            "nowhere.invalid",
            {"multicast_addr": GROUP, "multicast_if": "eth2"},
            ("fe80::7%eth2", GROUP),
        ),
        ("10.0.0.7", {"multicast_if": "fd00::7"}, ("fd00::7%eth0", GROUP_V6)),
        ("fd00::7", {"multicast_addr": "239.1.1.1"}, ("10.0.0.7", "239.1.1.1")),
    ],
)
def test_way(host, options, expected):
    group = way(host, **options)
    assert (group.via, group.address) == expected
    assert group.heard_on == group.via


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
        ("10.0.0.7", "0.0.0.0", ("10.0.0.7", GROUP_V4)),
        ("10.0.0.7", "10.1.0.7", ("10.1.0.7", GROUP_V4)),
        ("10.0.0.7", "eth1", ("10.1.0.7", GROUP_V4)),
        ("fd00::7", "::", ("fd00::7%eth0", GROUP_V6)),
        ("fd00::7", "eth2", ("fe80::7%eth2", GROUP_V6)),
    ],
)
def test_group_is_joined_on_the_sending_or_the_configured_interface(host, if_addr, heard):
    group = way(host, if_addr=if_addr)
    assert (group.heard_on, group.address) == heard


def test_options_of_the_group_are_passed_on():
    assert way("10.0.0.7") == Group(
        GROUP_V4, 45892, via="10.0.0.7", heard_on="10.0.0.7", hops=1, is_broadcast=False
    )
    given = {"port": 5, "multicast_addr": "10.0.0.255", "multicast_ttl": 3, "broadcast_only": True}
    assert way("10.0.0.7", **given) == Group(
        "10.0.0.255", 5, via="10.0.0.7", heard_on="10.0.0.7", hops=3, is_broadcast=True
    )


@pytest.mark.parametrize(
    ("address", "name"), [("127.0.0.1", "lo"), ("127.8.8.8", "lo"), ("::1", "lo"), ("::2", None)]
)
def test_loopback_has_all_addresses_of_its_network(address, name):
    found = interface_with(address, KNOWN)
    assert (found and found.name) == name
