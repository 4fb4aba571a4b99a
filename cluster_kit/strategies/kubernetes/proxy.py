"""The proxy to the API server, if any: the same that ``kubectl`` uses. Pure.

Source: Go, package ``golang.org/x/net/http/httpproxy``; Kubernetes, kubeconfig v1, ``proxy-url``.
Differs: a proxy that can't be used is refused, and not ignored.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cluster_kit.node import join_address

SCHEMES = ("http", "https")
PROXY_URL = "the kubeconfig's proxy-url"

_PORT = 443
_FORM = "http://host:port or https://host:port"


@dataclass(frozen=True, slots=True)
class Proxy:
    """The proxy between us and the API server.

    Attributes:
        url: Its address, perhaps with credentials.
        shown: The same without credentials, for messages.
        origin: Which setting names it.
    """

    url: str = field(repr=False)
    shown: str
    origin: str

    @property
    def host(self) -> str | None:
        """Its name or IP address."""
        return urlsplit(self.url).hostname

    def __str__(self) -> str:
        return f"proxy {self.shown} ({self.origin})"


def proxy_for(
    server: str, environ: Mapping[str, str], proxy_url: str | None = None
) -> Proxy | None:
    """Return the proxy for requests to ``server``.

    Args:
        server: The URL of the API server. Plain ``http://`` leads to this host, which needs none.
        environ: May hold HTTPS_PROXY and NO_PROXY, in upper or lower case.
        proxy_url: That of the kubeconfig. It wins, and NO_PROXY makes no exception to it.

    Raises:
        ValueError: The proxy can't be used.
    """
    if proxy_url:
        return _read(proxy_url, PROXY_URL)
    url = urlsplit(server)
    name, proxy = _first(environ, "HTTPS_PROXY", "https_proxy")
    _, no_proxy = _first(environ, "NO_PROXY", "no_proxy")
    is_direct = is_exempt(url.hostname or "", url.port or _PORT, no_proxy)
    return _read(proxy, name) if proxy and url.scheme == "https" and not is_direct else None


def is_exempt(host: str, port: int, no_proxy: str) -> bool:
    """Return whether requests to a host go without a proxy; those to this host always do."""
    host = _ascii(host.lower())
    ip = _ip(host)
    if host == "localhost" or (ip is not None and ip.is_loopback):
        return True
    rules = (rule.strip().lower() for rule in no_proxy.split(","))
    return any(_fits(rule, host, ip, str(port)) for rule in rules)


_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def _fits(rule: str, host: str, ip: _Ip | None, port: str) -> bool:
    if rule == "*":
        return True
    if (network := _network(rule)) is not None:
        return ip is not None and ip in network
    name, only_port = _split(rule)
    if not name or only_port not in ("", port):
        return False
    address = _ip(name)
    if address is not None or ip is not None:
        return address == ip
    only_below = name.startswith((".", "*."))
    name = _ascii(name.removeprefix("*").removeprefix(".") if only_below else name)
    return host.endswith(f".{name}") or (host == name and not only_below)


def _split(rule: str) -> tuple[str, str]:
    """Return host and port, or all of it and no port."""
    if rule.startswith("["):
        host, _, rest = rule[1:].partition("]")
        return (host, rest[1:]) if rest.startswith(":") else (rule, "")
    host, _, port = rule.partition(":")
    return (rule, "") if ":" in port else (host, port)


def _ip(host: str) -> _Ip | None:
    """Return the IP address as Go parses it, which is laxer about zones than ``host.ip_of``."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


def _network(rule: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    if not rule.rpartition("/")[2].isdecimal() or "/" not in rule:
        return None
    try:
        return ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return None


def _ascii(host: str) -> str:
    try:
        return host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError:
        return host


def _first(environ: Mapping[str, str], *names: str) -> tuple[str, str]:
    """Return the first variable that is set, and its value; of none, empty text."""
    return next(((name, environ[name]) for name in names if environ.get(name)), ("", ""))


def _read(text: str, origin: str) -> Proxy:
    text = text.strip()
    try:
        url = urlsplit(text if "://" in text else f"http://{text}")
    except ValueError:  # its text may quote credentials
        raise ValueError(
            f"{origin} names a proxy whose address can't be read: expected {_FORM}"
        ) from None
    if url.path not in ("", "/") or url.query or url.fragment:
        # What looks like the host may be part of a password, so nothing is quoted.
        raise ValueError(
            f"{origin} names a proxy with more than credentials, a host and a port: expected "
            f"{_FORM}; in a user name or password write '/' as %2F, '?' as %3F and '#' as %23"
        )
    try:
        port = url.port
    except ValueError:
        raise ValueError(
            f"{origin} names a proxy whose port is invalid: expected 1 to 65535"
        ) from None
    host = url.hostname or ""
    shown = f"{url.scheme}://{join_address(host, port) if port else host}"
    if url.scheme not in SCHEMES or not host:
        raise ValueError(
            f"{origin} names the proxy {shown!r}: expected {_FORM}; set NO_PROXY where the API "
            "server is reached without it"
        )
    return Proxy(url.geturl(), shown, origin)
