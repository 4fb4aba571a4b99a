"""What can be configured, and what is refused with its cause."""

import pytest

from cluster_kit.errors import ConfigError
from cluster_kit.strategies.mdns import MdnsStrategy, options


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"interfaces": ("eth0", "")}, r"interfaces\[1\]: '' is neither"),
        ({"interfaces": ("eth0,eth1",)}, r"interfaces\[0\]: 'eth0,eth1' is neither"),
        ({"interfaces": ("$(NODE_IP)",)}, r"interfaces\[0\]: '\$\(NODE_IP\)' is neither"),
        ({"interfaces": ("10.0.0",)}, r"interfaces\[0\]: '10.0.0' is neither"),
        ({"interfaces": ("x" * 16,)}, "is neither an address nor the name of an interface"),
        ({"ip_version": "v5"}, "expected v4, v6 or all"),
        ({"ttl_s": 4}, "expected 5 to 4500"),
        ({"ttl_s": 4501}, "expected 5 to 4500"),
        ({"service_type": "_clusterkit._tcp"}, "expected _name._tcp.local."),
        ({"service_type": "clusterkit._tcp.local."}, "expected _name._tcp.local."),
        ({"service_type": "_clusterkit._sctp.local."}, "expected _name._tcp.local."),
        ({"service_type": "_clusterkit._tcp.example."}, "expected _name._tcp.local."),
        ({"service_type": "_sixteen-letters-._tcp.local."}, "expected _name._tcp.local."),
        ({"service_type": "_abcdefghijklmnop._tcp.local."}, "1 to 15 letters"),
        ({"service_type": "_a--b._tcp.local."}, "single hyphens"),
        ({"service_type": "_123._tcp.local."}, "expected _name._tcp.local."),
    ],
)
def test_unusable_option_is_refused(options, says):
    with pytest.raises(ConfigError, match=says):
        MdnsStrategy(**options)


def test_all_options_that_are_wrong_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        MdnsStrategy(interfaces=("",), ip_version="v5", ttl_s=1)
    assert [error.path for error in caught.value.errors] == ["interfaces[0]", "ip_version", "ttl_s"]


@pytest.mark.parametrize(
    "service_type",
    ["_a._tcp.local.", "_my-shop._udp.local.", "_abcdefghijklmno._tcp.local.", "_A1._TCP.local."],
)
def test_type_by_the_rules_is_taken(service_type):
    MdnsStrategy(service_type=service_type)


def test_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(options, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"run pip install 'cluster-kit\[mdns\]'"):
        MdnsStrategy()


@pytest.mark.parametrize(
    ("interfaces", "host", "serves"),
    [
        ((), "127.0.0.1", "127.0.0.1"),
        ((), "10.0.0.1", "10.0.0.1"),
        (("lo",), "10.0.0.1", "127.0.0.1"),
        (("127.0.0.1", "eth0"), "127.0.0.1", "eth0"),
        (("::1",), "127.0.0.1", "::1"),
    ],
)
def test_serves_on_what_lets_in_most(interfaces, host, serves):
    assert MdnsStrategy(interfaces=interfaces).serves_on(host) == serves
