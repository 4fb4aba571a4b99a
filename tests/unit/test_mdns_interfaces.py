"""Which interfaces are used, and how unusable ones are reported."""

import asyncio
from dataclasses import replace

import pytest

from cluster_kit.netdevice import NetDevice
from cluster_kit.strategies.mdns.interfaces import (
    InterfaceAddress,
    Nearby,
    choose,
    devices,
    look_up,
)

LO = NetDevice("lo", 1, ("127.0.0.1", "::1"), is_loopback=True, has_multicast=False)
ETH = NetDevice("eth0", 2, ("10.0.0.1", "10.0.0.9", "fd00::1", "fe80::1"))
BRIDGE = NetDevice("docker0", 3, ("172.17.0.1",))


def ways(*wanted, known=(LO, ETH, BRIDGE), ip_version="v4"):
    return [str(way) for way in choose(wanted, known, ip_version)[0]]


def fault(interface, ip_version="v4"):
    found, (fault,) = choose([interface.name], [LO, interface], ip_version)
    assert found == []
    return str(fault)


def test_only_what_was_chosen_is_used():
    assert ways("10.0.0.1") == ["10.0.0.1 (eth0)"]


def test_an_address_is_used_as_given_and_a_name_by_its_first():
    assert ways("10.0.0.9") == ["10.0.0.9 (eth0)"]
    assert ways("eth0") == ["10.0.0.1 (eth0)"]


@pytest.mark.parametrize(
    ("scope", "found"), [("", "eth0"), ("%eth0", "eth0"), ("%eth1", "eth1"), ("%4", "eth1")]
)
def test_scope_says_which_of_two_interfaces_with_one_address_is_meant(scope, found):
    other = NetDevice("eth1", 4, ("10.1.0.1", "fe80::1"))
    assert ways(f"fe80::1{scope}", known=[LO, ETH, other], ip_version="v6") == [
        f"fe80::1 ({found})"
    ]


def test_an_interface_is_used_once():
    assert ways("eth0", "10.0.0.1") == ["10.0.0.1 (eth0)"]


def test_any_address_of_loopback_is_on_loopback():
    assert ways("127.8.9.10") == ["127.8.9.10 (lo)"]


@pytest.mark.parametrize(
    ("ip_version", "found"),
    [("v4", ["10.0.0.1"]), ("v6", ["fd00::1"]), ("all", ["10.0.0.1", "fd00::1"])],
)
@pytest.mark.parametrize("wanted", ["eth0", "10.0.0.1", "fd00::1"])
def test_each_protocol_has_its_address(ip_version, found, wanted):
    assert ways(wanted, ip_version=ip_version) == [f"{address} (eth0)" for address in found]


def test_unusable_interface_does_not_stop_the_others():
    found, faults = choose(["eth7", "lo"], [LO, ETH], "v4")
    assert found == [InterfaceAddress("lo", 1, "127.0.0.1")]
    assert len(faults) == 1


@pytest.mark.parametrize(
    ("wanted", "what"),
    [
        ("eth7", "interface 'eth7': no interface has that name or address"),
        ("10.9.9.9", "interface '10.9.9.9': no interface has that address"),
    ],
)
def test_unknown_interface_is_named_with_those_there_are(wanted, what):
    (fault,) = choose([wanted], [LO, ETH], "v4")[1]
    assert what in str(fault)
    assert "lo (127.0.0.1, ::1), eth0 (10.0.0.1, 10.0.0.9, fd00::1, fe80::1)" in fault.cure


def test_fault_is_named_with_its_cure():
    assert (
        fault(NetDevice("eth1", 4, (), is_up=False))
        == "interface eth1: it is down; bring it up: ip link set eth1 up"
    )
    assert "no carrier" in fault(NetDevice("eth1", 4, ("10.0.0.1",), has_carrier=False))
    assert "ip link set wg0 multicast on" in fault(
        NetDevice("wg0", 4, ("10.0.0.1",), has_multicast=False)
    )
    assert "has no address of IPv6" in fault(NetDevice("eth1", 4, ("10.0.0.1",)), "v6")


@pytest.mark.parametrize(
    ("used", "source", "heard"),
    [
        ("lo", ("127.0.0.1", 5353), True),
        ("lo", ("10.0.0.1", 5353), False),
        ("lo", ("192.168.9.9", 5353), False),
        ("lo", ("::1", 5353, 0, 0), True),
        ("eth0", ("127.0.0.1", 5353), False),
        ("eth0", ("10.0.0.7", 5353), True),
        ("eth0", ("172.17.0.2", 5353), False),
        ("eth0", ("192.168.9.9", 5353), True),
        ("eth0", ("::ffff:10.0.0.7", 5353, 0, 0), True),
        ("eth0", ("::ffff:172.17.0.2", 5353, 0, 0), False),
        ("eth0", ("fd00::7", 5353, 0, 0), True),
        ("eth0", ("fe80::7", 5353, 0, 2), True),
        ("eth0", ("fe80::7%eth0", 5353, 0, 2), True),
        ("eth0", ("fe80::7", 5353, 0, 3), False),
    ],
)
def test_only_what_comes_in_where_we_listen_is_heard(used, source, heard):
    known = [
        replace(LO, prefixes=(8, 128)),
        replace(ETH, prefixes=(24, 24, 64, 64)),
        replace(BRIDGE, prefixes=(16,)),
    ]
    assert Nearby(choose([used], known, "v4")[0], known).hears(source) is heard


def test_of_two_interfaces_on_one_network_that_in_use_counts():
    known = [NetDevice(f"eth{number}", number, (f"10.0.0.{number}",), (24,)) for number in (1, 2)]
    assert Nearby(choose(["eth2"], known, "v4")[0], known).hears(("10.0.0.1", 5353))


def test_this_machine_has_loopback():
    (way,) = choose(["127.0.0.1"], devices(), "v4")[0]
    assert way == InterfaceAddress("lo", 1, "127.0.0.1")


@pytest.mark.parametrize(
    ("host", "first"),
    [
        ("localhost", ["127.0.0.1"]),
        ("10.0.0.1", ["10.0.0.1"]),
        ("fe80::1%eth0", ["fe80::1%eth0"]),
        ("no-such-host.invalid", []),
    ],
)
def test_host_is_looked_up_unless_it_is_an_address(host, first):
    assert asyncio.run(look_up(host))[:1] == first
