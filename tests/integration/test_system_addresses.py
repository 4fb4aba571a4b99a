"""Addresses, names, interfaces, errors and clock of the system's network."""

import asyncio
import errno
import os
import resource
import socket
import time

import pytest
from system_network import few_descriptors, needs_ipv6, pair, run, serving

from cluster_kit import Endpoint, NetworkError, NetworkFault
from cluster_kit.network import faults
from cluster_kit.network.system import SystemNetwork


def test_every_errno_of_the_contract_has_its_fault():
    told = {
        number: faults.network_error(OSError(number, os.strerror(number))).fault
        for number in errno.errorcode
    }
    assert told[errno.EIO] is NetworkFault.FAILED
    known = set(told.values()) | {
        faults.network_error(socket.gaierror(socket.EAI_NONAME, "Name unknown")).fault
    }
    assert known == set(NetworkFault)


def test_errors_have_the_words_of_the_system():
    async def scenario(network):
        unused = socket.create_server(("127.0.0.1", 0))
        to = Endpoint(*unused.getsockname())
        unused.close()
        with pytest.raises(NetworkError, match=r"^connection refused$") as caught:
            await network.dial(to)
        assert caught.value.fault is NetworkFault.REFUSED
        assert isinstance(caught.value.__cause__, ConnectionRefusedError)

    run(scenario)


@needs_ipv6
def test_ipv4_address_is_given_as_such_where_a_socket_serves_both():
    async def scenario(network):
        async with serving(network, Endpoint("::", 0)) as (listener, accepted):
            dialled = await network.dial(Endpoint("127.0.0.1", listener.here.port))
            stream = await accepted.get()
            assert stream.here == dialled.there == Endpoint("127.0.0.1", listener.here.port)
            assert stream.there == dialled.here
            stream.abort()
            dialled.abort()

    run(scenario)


@needs_ipv6
def test_streams_by_ipv6():
    async def scenario(network):
        here, there = await pair(network, Endpoint("::1", 0))
        assert here.there == there.here
        assert here.there.host == there.there.host == "::1"
        here.abort()
        there.abort()

    run(scenario)


def link_local():
    """Return an IPv6 address of the link of this machine, with its interface."""
    found = [each for each in SystemNetwork().interfaces() if each.address.startswith("fe80:")]
    return f"{found[0].address}%{found[0].name}" if found else None


@pytest.mark.skipif(link_local() is None, reason="no IPv6 address of the link")
def test_address_of_the_link_has_its_interface():
    async def scenario(network):
        address = link_local()
        assert network.has_address(address)
        assert await network.resolve(address) == [address]
        here, there = await pair(network, Endpoint(address, 0))
        assert {end.host for stream in (here, there) for end in (stream.here, stream.there)} == {
            address
        }
        here.abort()
        there.abort()

    run(scenario)


@pytest.mark.parametrize(
    ("address", "is_ours"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("0.0.0.0", True),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
        ("x", False),
    ],
)
def test_has_address(address, is_ours):
    assert SystemNetwork().has_address(address) is is_ours


def test_interfaces_report_loopback():
    (loopback,) = [each for each in SystemNetwork().interfaces() if each.address == "127.0.0.1"]
    assert (loopback.name, loopback.is_up, loopback.is_loopback) == ("lo", True, True)


def test_no_descriptor_no_interfaces():
    with few_descriptors():
        found = SystemNetwork().interfaces()
    assert found == []


def test_name_is_looked_up_and_each_address_is_reported_once():
    async def scenario(network):
        assert await network.resolve("localhost", version=4) == ["127.0.0.1"]
        assert await network.resolve("127.0.0.1") == ["127.0.0.1"]
        for host, version in (("no-such-host.invalid", None), ("127.0.0.1", 6)):
            with pytest.raises(NetworkError) as caught:
                await network.resolve(host, version=version)
            assert caught.value.fault is NetworkFault.NO_SUCH_NAME

    run(scenario)


def test_clock_and_randomness_are_those_of_the_system():
    async def scenario(network):
        assert abs(network.clock.monotonic_s() - asyncio.get_running_loop().time()) < 60
        assert abs(network.clock.wall_s() - time.time()) < 60
        assert network.random("jitter").random() != network.random("jitter").random()
        assert network.most_streams >= resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    run(scenario)
