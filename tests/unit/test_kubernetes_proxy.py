"""Which proxy is used for which server: the tables are those of Go's own tests, and of its
documentation.
"""

import pytest

from cluster_kit.strategies.kubernetes.proxy import is_exempt, proxy_for

# golang.org/x/net/http/httpproxy, proxy_test.go: UseProxyTests. True: reached without a proxy.
NO_PROXY = (
    "foobar.com, .barbaz.net, *.wildcard.io, 192.168.1.1, 192.168.1.2:81, 192.168.1.3:80, "
    "10.0.0.0/30, "
    "2001:db8::52:0:1, [2001:db8::52:0:2]:443, [2001:db8::52:0:3]:80, 2002:db8:a::45/64"
)
HOSTS = [
    ("localhost", True),
    ("127.0.0.1", True),
    ("127.0.0.2", True),
    ("::1", True),
    ("::2", False),
    ("192.168.1.1", True),
    ("192.168.1.2", False),
    ("192.168.1.3", True),
    ("192.168.1.4", False),
    ("10.0.0.2", True),
    ("2001:db8::52:0:1", True),
    ("2001:db8::52:0:2", False),
    ("2001:db8::52:0:3", True),
    ("2002:db8:a::123", True),
    ("fe80::424b:c8be:1643:a1b6", False),
    ("barbaz.net", False),
    ("www.barbaz.net", True),
    ("foobar.com", True),
    ("www.foobar.com", True),
    ("foofoobar.com", False),
    ("baz.com", False),
    ("localhost.net", False),
    ("local.localhost", False),
    ("barbarbaz.net", False),
    ("wildcard.io", False),
    ("nested.wildcard.io", True),
    ("awildcard.io", False),
]


@pytest.mark.parametrize(("host", "exempt"), HOSTS)
def test_hosts_of_go_s_table(host, exempt):
    assert is_exempt(host, 80, NO_PROXY) is exempt


@pytest.mark.parametrize("no_proxy", ["*", "other.com, *"])
@pytest.mark.parametrize("host", [host for host, _ in HOSTS])
def test_an_asterisk_stands_for_all(host, no_proxy):
    assert is_exempt(host, 80, no_proxy)


@pytest.mark.parametrize(
    ("no_proxy", "host", "exempt"),
    [
        ("", "example.com", False),
        (",, ,", "example.com", False),
        (":1", "example.com", False),
        ("[]:443", "example.com", False),
        ("ample.com", "example.com", False),
        ("EXAMPLE.com", "Example.COM", True),
        ("example.com:443", "www.example.com", True),
        ("example.com:444", "example.com", False),
        ("*.example.com:443", "www.example.com", True),
        (".example.com:443", "example.com", False),
        (".svc,.cluster.local", "kubernetes.default.svc", True),
        ("10.96.0.0/12", "10.96.0.1", True),
        ("10.96.0.0/12", "10.112.0.1", False),
        ("10.96.0.1/12", "10.97.0.1", True),
        ("10.96.0.0/33", "10.96.0.1", False),
        ("10.96.0.0/255.240.0.0", "10.96.0.1", False),
        ("10.96.0.1:443", "10.96.0.1", True),
        ("10.96.0.", "10.96.0.1", False),
        ("96.0.1", "10.96.0.1", False),
        ("fd00::/8", "fd00:10:96::1", True),
        ("fd00::/8", "10.96.0.1", False),
        ("FD00:10:96:0::1", "fd00:10:96::1", True),
        ("[fd00::1]:443", "fd00::1", True),
        ("[fd00::1]:6443", "fd00::1", False),
        ("10.96.0.0/12", "::ffff:10.96.0.1", True),
        (".\u793a\u4f8b.com", "www.\u793a\u4f8b.com", True),
        ("xn--fsq092h.com", "www.\u793a\u4f8b.com", True),
        ("\u793a\u4f8b.com", "www.xn--fsq092h.com", True),
        ("example.com", "1000::%25.example.com", False),
    ],
)
def test_each_form_of_an_exception(no_proxy, host, exempt):
    assert is_exempt(host, 443, no_proxy) is exempt


def url_of(server="https://10.96.0.1:443", proxy_url=None, **environ):
    proxy = proxy_for(server, environ, proxy_url)
    return proxy and proxy.url


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("cache.corp.example.com:1234", "http://cache.corp.example.com:1234"),
        ("cache.corp.example.com", "http://cache.corp.example.com"),
        ("localhost", "http://localhost"),
        ("https://cache.corp.example.com", "https://cache.corp.example.com"),
        ("http://jane:hush@proxy:3128/", "http://jane:hush@proxy:3128/"),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
    ],
)
def test_a_proxy_may_be_written_in_each_of_these_forms(given, url):
    assert url_of(HTTPS_PROXY=given) == url
    assert url_of(proxy_url=given) == url


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTP_PROXY": "http://plain"}, None),
        ({"HTTPS_PROXY": "upper", "https_proxy": "lower"}, "http://upper"),
        ({"HTTPS_PROXY": "", "https_proxy": "lower"}, "http://lower"),
        ({"https_proxy": "lower", "NO_PROXY": "", "no_proxy": "10.0.0.0/8"}, None),
        (
            {"https_proxy": "lower", "NO_PROXY": "example.com", "no_proxy": "10.0.0.0/8"},
            "http://lower",
        ),
    ],
)
def test_which_variable_counts(environ, url):
    assert url_of(**environ) == url


def test_server_port_defaults_to_the_https_port():
    assert url_of("https://api.test", HTTPS_PROXY="proxy", NO_PROXY="api.test:443") is None
    assert (
        url_of("https://api.test:6443", HTTPS_PROXY="proxy", NO_PROXY="api.test:443")
        == "http://proxy"
    )


def test_this_host_needs_no_proxy():
    assert url_of("https://127.0.0.1:6443", HTTPS_PROXY="proxy") is None
    assert url_of("http://127.0.0.1:8001", HTTPS_PROXY="proxy", HTTP_PROXY="proxy") is None


def test_that_of_the_kubeconfig_wins_and_knows_no_exceptions():
    assert url_of(proxy_url="first", HTTPS_PROXY="second", NO_PROXY="*") == "http://first"
    assert url_of(proxy_url="", HTTPS_PROXY="second") == "http://second"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            "socks5://jane:hush@10.0.0.1:1080",
            "HTTPS_PROXY names the proxy 'socks5://10.0.0.1:1080': expected http://host:port",
        ),
        ("http://", "HTTPS_PROXY names the proxy 'http://': expected"),
        ("http://proxy:port", "HTTPS_PROXY names a proxy whose port is invalid"),
        (
            "http://[::1:3128",
            "HTTPS_PROXY names a proxy whose address can't be read: expected http://host:port",
        ),
        (
            "http://hush\u2100@proxy",
            "HTTPS_PROXY names a proxy whose address can't be read: expected http://host:port",
        ),
        (
            "http://hush:12#ss@proxy:3128",
            "HTTPS_PROXY names a proxy with more than credentials, a host and a port",
        ),
        (
            "http://hush:12?ss@proxy:3128",
            "HTTPS_PROXY names a proxy with more than credentials, a host and a port",
        ),
        (
            "http://hush:12/ss@proxy:3128",
            "HTTPS_PROXY names a proxy with more than credentials, a host and a port",
        ),
        (
            "hush:12/ss@proxy:3128",
            "HTTPS_PROXY names a proxy with more than credentials, a host and a port",
        ),
        (
            "socks5://hush:12#ss@proxy",
            "HTTPS_PROXY names a proxy with more than credentials, a host and a port",
        ),
    ],
)
def test_a_proxy_that_can_t_be_used_is_refused(given, told):
    with pytest.raises(ValueError) as caught:
        url_of(HTTPS_PROXY=given)
    assert str(caught.value).startswith(told)
    assert "hush" not in str(caught.value)


def test_a_message_has_no_credentials():
    proxy = proxy_for("https://10.96.0.1", {"HTTPS_PROXY": "http://jane:hush@proxy:3128"})
    assert str(proxy) == "proxy http://proxy:3128 (HTTPS_PROXY)"
    assert "hush" not in repr(proxy)
