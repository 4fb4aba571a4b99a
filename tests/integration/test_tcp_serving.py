"""Where a ``tcp`` connector listens, what it advertises, and how it reports that it can't."""

import asyncio
import socket

import pytest
from tcp_stage import FENCE, Local

from cluster_kit.connectors.tcp import TcpConnector
from cluster_kit.errors import ConfigError, ConnectError
from cluster_kit.node import Node
from cluster_kit.testing.fakes import RecordingLinks
from cluster_kit.testing.leaks import leaves_nothing


def announced(name="ann@127.0.0.1", **options):
    """Start and stop a connector, and return the address that it announced."""

    async def scenario():
        connector = TcpConnector(**options)
        async with leaves_nothing():
            try:
                return (await connector.start(Node(name=name), RecordingLinks(fence=FENCE))).address
            finally:
                await connector.stop()

    return asyncio.run(scenario())


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize(
    ("name", "options", "host"),
    [
        ("ann@127.0.0.1", {}, "127.0.0.1"),
        ("ann@localhost", {}, "localhost"),
        ("ann@127.0.0.2", {"host": "0.0.0.0"}, "127.0.0.2"),
        ("ann@127.0.0.2", {"host": "127.0.0.1"}, "127.0.0.1"),
        ("ann@127.0.0.1", {"advertise": "node.example.org"}, "node.example.org"),
        ("ann@127.0.0.1", {"advertise": "2001:db8::1"}, "[2001:db8::1]"),
        ("ann@127.0.0.1", {"advertise": "[2001:db8::1]"}, "[2001:db8::1]"),
    ],
)
def test_announced_host_is_one_to_dial(name, options, host):
    port = free_port()
    assert announced(name, port=port, **options) == f"{host}:{port}"


def test_ipv6():
    assert announced("ann@::1").startswith("[::1]:")


def test_advertised_port_replaces_the_one_listened_on():
    assert announced(advertise="203.0.113.7:4000") == "203.0.113.7:4000"


def test_any_free_port_is_taken_by_default():
    assert announced() != "127.0.0.1:0"


def test_port_can_be_used_again_at_once():
    port = free_port()
    assert announced(port=port) == announced(port=port)


def test_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(
            ConfigError,
            match=f"tcp: cannot listen on '127.0.0.1:{port}': the port is in use; choose",
        ) as caught:
            announced(port=port)
    assert "\n" not in str(caught.value)


def test_no_such_interface():
    with pytest.raises(ConfigError, match="no interface of this machine has that address"):
        announced(host="203.0.113.7")


def test_host_does_not_resolve():
    with pytest.raises(ConfigError, match="the host name does not resolve"):
        announced("ann@no-such-host.invalid")


def test_address_of_every_interface_is_never_announced():
    with pytest.raises(ConfigError, match="set advertise"):
        announced("ann@0.0.0.0")


def test_serves_on_its_host_or_else_the_host_of_the_name():
    assert TcpConnector().serves_on("10.0.0.1") == "10.0.0.1"
    assert TcpConnector(host="0.0.0.0").serves_on("10.0.0.1") == "0.0.0.0"


@pytest.mark.parametrize(
    ("options", "host"),
    [
        ({}, "10.0.0.1"),
        ({"host": "0.0.0.0"}, "10.0.0.1"),
        ({"host": "10.0.0.2"}, "10.0.0.2"),
        ({"host": "10.0.0.2", "advertise": "node.example.org:4000"}, "node.example.org"),
    ],
)
def test_peers_dial_the_advertised_host(options, host):
    assert TcpConnector(**options).dialled_at("10.0.0.1") == host


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 65536}, "port: invalid value 65536: expected 0 to 65535"),
        ({"port": -1}, "port: invalid value -1"),
        ({"host": ""}, "host '': it is empty; leave it out"),
        ({"host": "$(POD_IP)"}, "host '$(POD_IP)': '$(POD_IP)' is not expanded"),
        ({"host": "10.0.0.5:4370"}, "host '10.0.0.5:4370': a port does not belong"),
        ({"host": "eth0"}, "host 'eth0': it is a network interface"),
        (
            {"advertise": "http://x"},
            "advertise: invalid value 'http://x': expected host or host:port; ",
        ),
        (
            {"advertise": "$POD_IP:4000"},
            "advertise: invalid value '$POD_IP:4000': expected host or host:port; ",
        ),
        ({"advertise": "0.0.0.0"}, "advertise: invalid value '0.0.0.0': it means every interface"),
        ({"advertise": "[::]:4000"}, "means every interface"),
        (
            {"advertise": "host:port"},
            "advertise: invalid value 'host:port': expected host or host:port",
        ),
        ({"advertise": "a b"}, "advertise: invalid value 'a b'"),
        ({"advertise": ""}, "advertise: invalid value ''"),
        ({"heartbeat_s": 0}, "heartbeat_s: invalid value 0: expected more than 0 seconds"),
        ({"silent_s": 2}, "silent_s: invalid value 2: expected more than two heartbeats"),
        ({"heartbeat_s": 0.5, "silent_s": 0.9}, "expected more than two heartbeats"),
        ({"max_message_bytes": 0}, "max_message_bytes: invalid value 0: expected at least 1"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ConfigError) as caught:
        TcpConnector(**options)
    assert message in str(caught.value)


def test_silent_s_may_be_barely_above_two_heartbeats():
    assert TcpConnector(silent_s=2.1).silent_s == 2.1


def test_no_permission_for_a_low_port(monkeypatch):
    """Asked of a kernel that refuses: this test may run as root."""

    class Refusing(socket.socket):
        def bind(self, address):
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("cluster_kit.network.streams.socket.socket", Refusing)
    with pytest.raises(ConfigError, match="no permission; choose a port above 1023"):
        announced(port=80)


def test_node_without_an_address_is_reported_once(caplog):
    async def scenario():
        async with Local("a") as a, Local("b") as b:
            await a.connect(b)
            for _ in range(3):
                with pytest.raises(ConnectError, match="no address known"):
                    await a.connector.connect(Node(name="web@10.0.0.1"))

    asyncio.run(scenario())
    [record] = caplog.records
    cure = "in its strategy's options, set the port that nodes listen on"
    assert record.getMessage() == f"web@10.0.0.1: no address known; {cure}"
