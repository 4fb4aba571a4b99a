"""Whether a certificate is one of a node, by its hosts or by its SPIFFE ID."""

import pytest

from cluster_kit.security.names import (
    MAX_ID_BYTES,
    MAX_TRUST_DOMAIN_BYTES,
    names_node,
    shown,
    trust_domain_of,
)


def dns(*names):
    return [("DNS", name) for name in names]


def ip(*names):
    return [("IP Address", name) for name in names]


def uri(*names):
    return [("URI", name) for name in names]


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("web.example.org", "web.example.org"),
        ("WEB.Example.ORG", "web.example.org"),
        ("web.example.org.", "web.example.org"),
        ("web.example.org", "WEB.example.org."),
        ("*.example.org", "web.example.org"),
        ("*.Example.org.", "web.example.org"),
        ("*.local", "web.local"),
        ("localhost", "localhost"),
        ("web-1_a", "web-1_a"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_dns_name_matches_its_host(name, host):
    assert names_node(dns("other.example", name), f"shop@{host}", None)


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("web.example.org", "other.example.org"),
        ("example.org", "web.example.org"),
        ("web.example.org", "example.org"),
        ("*.example.org", "example.org"),
        ("*.example.org", "a.web.example.org"),
        ("*.example.org", ".example.org"),
        ("*", "web"),
        ("*.", "web"),
        ("*.", "web."),
        ("*.*", "web.local"),
        ("*.*.org", "web.example.org"),
        ("w*.example.org", "web.example.org"),
        ("*b.example.org", "web.example.org"),
        ("web.*.org", "web.example.org"),
        ("web.example.*", "web.example.org"),
        ("*.example.org", "*.*.org"),
        ("*web", "*web"),
        ("*.org", "*.*.org"),
        ("\N{KELVIN SIGN}it.example", "kit.example"),
        ("web.example.org\0.evil.example", "web.example.org"),
        ("web.example.org..", "web.example.org"),
        (" web.example.org", "web.example.org"),
        ("", ""),
        ("10.0.0.1", "10.0.0.1"),
        ("*.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_dns_name_matches_no_other_host(name, host):
    assert not names_node(dns(name), f"shop@{host}", None)


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("2001:DB8:0:0:0:0:0:1\n", "2001:0db8::0001"),  # as some releases of Python write it
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("FE80:0:0:0:0:0:0:1", "fe80::1%eth0"),
        ("fe80::1", "fe80::1%3"),
    ],
)
def test_address_is_compared_as_one(name, host):
    assert names_node(ip("192.0.2.1", name), f"shop@{host}", None)


@pytest.mark.parametrize(
    ("names", "host"),
    [
        (ip("10.0.0.2"), "10.0.0.1"),
        (ip("10.0.0.1"), "10.0.0.1.example.org"),
        (ip("10.0.0.1"), "ip-10-0-0-1"),
        (ip("2001:db8::2"), "2001:db8::1"),
        (ip("::a00:1"), "10.0.0.1"),  # four of its bytes are the same, as many as the other has
        (ip("<invalid>"), "10.0.0.1"),
        (ip("web.example.org"), "web.example.org"),
        (uri("spiffe://example.org/web", "https://10.0.0.1"), "10.0.0.1"),
        ([("DirName", "web.example.org"), ("email", "shop@web.example.org")], "web.example.org"),
        ([], "web.example.org"),
    ],
)
def test_another_address_does_not_name_the_host(names, host):
    assert not names_node(names, f"shop@{host}", None)


@pytest.mark.parametrize(
    "name",
    [
        "spiffe://example.org/web",
        "spiffe://example.org/ns/shop/sa/web.server_1-A",
        "spiffe://example.org/" + "a" * (MAX_ID_BYTES - len("spiffe://example.org/")),
    ],
)
def test_spiffe_id_stands_for_any_node(name):
    assert names_node([*uri(name), *dns("elsewhere.example")], "shop@10.0.0.1", "example.org")


@pytest.mark.parametrize(
    "names",
    [
        uri("spiffe://example.com/web"),
        uri("spiffe://sub.example.org/web"),
        uri("spiffe://example.org.evil.example/web"),
        uri("SPIFFE://example.org/web"),
        uri("spiffe://Example.org/web"),
        uri("spiffe:/example.org/web"),
        uri("spiffe:example.org/web"),
        uri("https://example.org/web"),
        uri("spiffe://example.org"),  # of an authority
        uri("spiffe://example.org/"),
        uri("spiffe://example.org/web/"),
        uri("spiffe://example.org//web"),
        uri("spiffe://example.org/./web"),
        uri("spiffe://example.org/a/../web"),
        uri("spiffe://example.org/w%65b"),
        uri("spiffe://example.org/w b"),
        uri("spiffe://example.org/web\n"),
        uri("spiffe://example.org/b\u00fccher"),
        uri("spiffe://example.org:443/web"),
        uri("spiffe://example.org:/web"),
        uri("spiffe://me@example.org/web"),
        uri("spiffe://@example.org/web"),
        uri("spiffe://example.org/web?a=b"),
        uri("spiffe://example.org?/web"),
        uri("spiffe://example.org/web#a"),
        uri("spiffe:///web"),
        uri("spiffe://example.org/" + "a" * MAX_ID_BYTES),
        uri("spiffe://example.org/web", "spiffe://example.org/web"),
        uri("spiffe://example.org/web", "https://example.org"),
        dns("spiffe://example.org/web", "10.0.0.1"),
        ip("10.0.0.1"),
        [],
    ],
    ids=repr,
)
def test_foreign_or_invalid_spiffe_id_names_no_node(names):
    assert not names_node(names, "shop@10.0.0.1", "example.org")


def test_trust_domain_has_a_bound():
    longest = "a" * MAX_TRUST_DOMAIN_BYTES
    assert trust_domain_of(f"spiffe://{longest}/web") == longest
    assert trust_domain_of(f"spiffe://{longest}a/web") is None


def test_few_names_are_shown_and_none_at_any_length():
    assert shown(
        [*dns("a.example"), *ip("2001:DB8:0:0:0:0:0:1\n"), *uri("spiffe://a/b")], None
    ) == ("'a.example', '2001:DB8:0:0:0:0:0:1'")
    assert shown([*dns("a.example"), *uri("spiffe://a/b")], "a") == "'spiffe://a/b'"
    assert (
        shown(dns(*(f"a{number}" for number in range(9))), None)
        == "'a0', 'a1', 'a2', 'a3', 'a4', 4 more"
    )
    assert len(shown(dns("a\n" * 5000), None)) == 100
    assert shown([], None) == ""
