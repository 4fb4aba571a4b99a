"""What gossip says when the network does not do as it is told."""

import pytest

from cluster_kit.errors import NetworkError, NetworkFault
from cluster_kit.network import Group
from cluster_kit.strategies.gossip.group import not_joined, not_sent

GROUP = Group("239.1.1.1", 45892, via="10.0.0.1", heard_on="10.0.0.1")
BROADCAST = Group("10.0.0.255", 45892, via="10.0.0.1", heard_on="10.0.0.1", is_broadcast=True)
GONE = "its interface is down or gone"


def error(fault):
    return NetworkError("the system's words", fault=fault)


@pytest.mark.parametrize(
    ("fault", "cure"),
    [
        (NetworkFault.IN_USE, "the port is in use by a program that doesn't share it"),
        (NetworkFault.FORBIDDEN, "no permission; choose a port above 1023, on all nodes"),
        (
            NetworkFault.NOT_OURS,
            "no interface of this machine has that address; correct the host in the node's name",
        ),
        (NetworkFault.UNSUPPORTED, "this machine has no IPv6; use a host with an IPv4 address"),
        (NetworkFault.EXHAUSTED, "the system's words"),
    ],
)
def test_group_that_can_not_be_joined(fault, cure):
    assert f"cannot use 239.1.1.1:45892 on '10.0.0.1': {cure}" in str(
        not_joined(GROUP, error(fault))
    )


@pytest.mark.parametrize(
    ("group", "fault", "cure"),
    [
        (GROUP, NetworkFault.FORBIDDEN, "a firewall forbids it; allow UDP to that port"),
        (
            BROADCAST,
            NetworkFault.FORBIDDEN,
            "a firewall forbids it, or it is no broadcast address of this network",
        ),
        (GROUP, NetworkFault.UNREACHABLE, GONE),
        (GROUP, NetworkFault.DOWN, GONE),
        (BROADCAST, NetworkFault.NOT_OURS, GONE),
        (GROUP, NetworkFault.FAILED, "the system's words"),
    ],
)
def test_group_that_can_not_be_sent_to(group, fault, cure):
    assert f"on '10.0.0.1': {cure}" in str(not_sent(group, error(fault)))


def test_interface_of_an_address_is_not_named_twice():
    group = Group("ff12::1", 45892, via="fe80::1%eth0", heard_on="fe80::1%eth0")
    assert "cannot use [ff12::1]:45892 on 'fe80::1': " in str(
        not_joined(group, error(NetworkFault.IN_USE))
    )
