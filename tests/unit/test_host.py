"""Hosts have one canonical form; a text that can't be a host is refused with advice."""

import pytest

from cluster_kit.host import canonical_host


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("LocalHost", "localhost"),
        ("localhost.", "localhost"),
        ("Web-1.Shop.Example.", "web-1.shop.example"),
        ("my_service", "my_service"),
        ("XN--Bcher-KVA.example", "xn--bcher-kva.example"),
        ("10.0.0.5", "10.0.0.5"),
        ("10.0.0.5.", "10.0.0.5"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("0000::0001", "::1"),
        ("2001:DB8::AbCd", "2001:db8::abcd"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("::ffff:10.0.0.5", "10.0.0.5"),
        ("::FFFF:a00:5", "10.0.0.5"),
        ("FE80:0::1%Eth0.5", "fe80::1%Eth0.5"),
        ("fe80::1%2", "fe80::1%2"),
        ("fe80::1%25", "fe80::1%25"),
        ("fe80::1%251", "fe80::1%251"),
        ("ff02::1%eth0", "ff02::1%eth0"),
        ("::1%lo", "::1"),
        ("2001:db8::1%eth0", "2001:db8::1"),
        ("eth0.router.example", "eth0.router.example"),
        ("1password.example", "1password.example"),
        ("3com", "3com"),
    ],
)
def test_canonical_form(given, canonical):
    assert canonical_host(given) == canonical


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "empty"),
        ("$(POD_IP)", "write ${POD_IP}"),
        ("$POD_IP", "write ${POD_IP}"),
        (
            "${HOST}",
            (
                "'${HOST}' is only expanded in configuration files, with one '$'; in Python, pass "
                "the value itself"
            ),
        ),
        ("${HOST:-x}", "write ${HOST}"),
        ("%POD_IP%", "write ${POD_IP}"),
        ("{{ pod }}", "not expanded"),
        ("10.0.0.5:4370", "a port does not belong"),
        ("[fd00::1]:4370", "a port does not belong"),
        ("host:", "a port does not belong"),
        ("http://x", "a URL"),
        ("host/path", "no '/'"),
        ("10.0.0.0/8", "no '/'"),
        ("[::1]", "write ::1"),
        ("::1::", "not an IPv6 address"),
        ("fe80::1%", "not an IPv6 address"),
        ("fe80::1%25eth0", "write %eth0"),
        ("fe80::1%25eth0.100", "write %eth0.100"),
        ("::1%25lo", "write %lo"),
        ("::1%a@b", "not an IPv6 address"),
        ("fe80::1%a@b", "not an IPv6 address"),
        ("a,b", "one host"),
        ("a b", "one host"),
        ("host\n", "one host"),
        ("bücher.example", "xn--"),
        ("\N{KELVIN SIGN}ube", "xn--"),
        ("\N{FULLWIDTH DIGIT ONE}0.0.0.1", "xn--"),
        ("127.1", "four numbers"),
        ("10.0.0.05", "four numbers"),
        ("10.0.0.256", "four numbers"),
        ("2130706433", "four numbers"),
        ("0x7f000001", "four numbers"),
        ("ETH0", "network interface"),
        ("enp0s31f6", "network interface"),
        ("lo", "network interface"),
        ("eth0.100", "network interface"),
        ("enp0s31f6.4094", "network interface"),
        ("eth0.12345", "four numbers"),
        ("-web", "letters, digits"),
        ("a..b", "letters, digits"),
        ("<pod-ip>", "letters, digits"),
        ("x" * 64, "letters, digits"),
        (".".join(["x" * 60] * 5), "letters, digits"),
    ],
)
def test_invalid_host_is_refused_with_advice(given, why):
    with pytest.raises(ValueError, match=r"^host ") as raised:
        canonical_host(given)
    assert why in str(raised.value)
    assert "\n" not in str(raised.value)
