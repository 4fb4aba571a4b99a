"""The options of the DNS strategies, and what is wrong with those that can't work.

The application imports this module too, so it loads neither an event loop nor another package.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from cluster_kit.abc import Strategy
from cluster_kit.errors import ConfigError, faults_of
from cluster_kit.host import ip_of
from cluster_kit.node import Node, split_address

MAX_NAME_CHARS = 253  # RFC 1035, section 2.3.4, as text without the final dot
DNS_PORT = 53
RESOLV_CONF = "/etc/resolv.conf"
_LONGEST_ADDRESS = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"
_SEPARATOR = re.compile(r"[\s,]+")
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")

Family = Literal["any", "ipv4", "ipv6"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsOptions(Strategy):
    """Asks for one or more names, again and again.

    Args:
        query: The name, or several separated by commas.
        port: The port of every node.
        node_basename: First part of the nodes' names. Without it, nodes are asked for their names.
        family: Which addresses count.
        resolver: Addresses of name servers, as ``ip`` or ``ip:port``, separated by commas.
        interval_s: Seconds from one answer to the next question.
        confirmations: How many answers in a row must lack a node before it is gone.
    """

    query: str
    port: int | None = None
    node_basename: str | None = None
    family: Family = "any"
    resolver: str | None = None
    interval_s: float = 5.0
    confirmations: int = 2


def is_host_name(name: str) -> bool:
    """Whether ``name`` can be looked up and dialled."""
    return len(name.rstrip(".")) <= MAX_NAME_CHARS and _HOST_NAME.fullmatch(name) is not None


def read_name(option: str, name: str) -> str:
    """Return a single name as it is."""
    if ip_of(name) is not None:
        cure = "that is an address, which needs no DNS: list it in strategy static"
        raise ConfigError(f"{option} {name!r}: {cure}")
    if not is_host_name(name):
        expected = "expected letters, digits, '-' and '_' between dots"
        raise ConfigError(f"{option} {name!r}: not a DNS name: {expected}")
    return name


def read_names(option: str, text: str) -> tuple[str, ...]:
    """Split names that are separated by commas or blanks."""
    names = tuple(dict.fromkeys(filter(None, _SEPARATOR.split(text))))
    if not names:
        expected = "expected a DNS name, or several separated by commas"
        raise ConfigError(f"{option} {text!r}: {expected}")
    return tuple(read_name(option, name) for name in names)


def read_servers(text: str | None) -> tuple[tuple[str, int], ...]:
    """Split addresses of name servers, each with its port; none where none are given."""
    if text is None:
        return ()
    return tuple(map(_server, filter(None, _SEPARATOR.split(text)))) or (_server(text),)


def _server(entry: str) -> tuple[str, int]:
    try:
        ip = ip_of(entry)
        host, port = split_address(entry) if ip is None else (str(ip), DNS_PORT)
        if ip_of(host) is None or port == 0:
            raise ValueError("a resolver is named by its address")
    except ValueError as exc:
        expected = "the address of a name server, such as 10.0.0.2 or [fd00::2]:5353"
        raise ConfigError(f"resolver {entry!r}: expected {expected}") from exc
    return host, port


def faults_of_polling(option: str, interval_s: float, confirmations: int) -> Iterator[str]:
    """Check the interval, and the answers that it takes before a node is gone."""
    if not 0 < interval_s <= 86_400:
        yield f"{option} {interval_s:g}: expected seconds, more than 0 and at most a day"
    if confirmations < 1:
        expected = "expected how many answers in a row must lack a node, at least 1"
        yield f"confirmations {confirmations}: {expected}"


def faults_of_identity(option: str, basename: str | None, port: int | None) -> Iterator[str]:
    """Check the first part of the nodes' names, and their port."""
    if port is not None and not 1 <= port <= 65535:
        yield f"port {port}: expected 1 to 65535, the port on which every node serves"
    if basename is not None:
        try:
            Node(name=f"{basename}@{_LONGEST_ADDRESS}")
        except ValueError:
            yield f"{option} {basename!r}: expected the part of a node's name before the '@'"


def faults_of_addresses(
    option: str, basename: str | None, port: int | None, resolver: str | None
) -> Iterator[str]:
    """Check what address records need besides; the system resolves unless a resolver is named."""
    if port is None and basename is None:
        yield (
            "port is missing: give the port on which every node serves, such as that of the "
            f"connector, or {option} where nodes are dialled by name"
        )
    if resolver is not None:
        yield from faults_of(read_servers, resolver)
        yield from missing_dnspython("resolver")


def faults_of_services(strategy: str, resolver: str | None) -> Iterator[str]:
    """Check what SRV records need besides."""
    yield from faults_of(read_servers, resolver)
    yield from missing_dnspython(f"strategy {strategy}")


def missing_dnspython(purpose: str) -> Iterator[str]:
    """Check that the extra ``dns`` is installed."""
    if find_spec("dns") is None or find_spec("dns.asyncresolver") is None:
        yield f"{purpose} needs the package dnspython: run pip install 'cluster-kit[dns]'"
