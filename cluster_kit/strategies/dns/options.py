"""The options of the DNS strategies, and their checks.

The application imports this module too, so it loads neither an event loop nor another package.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated, Literal

from cluster_kit.abc import Strategy
from cluster_kit.config.bounds import Bounds
from cluster_kit.errors import ConfigError, faults_of
from cluster_kit.fault import Fault
from cluster_kit.host import ip_of
from cluster_kit.node import Node, split_address

MAX_NAME_CHARS = 253  # RFC 1035, section 2.3.4, as text without the final dot
DNS_PORT = 53
RESOLV_CONF = "/etc/resolv.conf"
_LONGEST_ADDRESS = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"
_SEPARATOR = re.compile(r"[\s,]+")
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")

Family = Literal["any", "ipv4", "ipv6"]
Seconds = Annotated[float, Bounds(gt=0, le=86_400)]
ServedPort = Annotated[int, Bounds(ge=1, le=65535, cure="give the port on which every node serves")]


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
    port: ServedPort | None = None
    node_basename: str | None = None
    family: Family = "any"
    resolver: str | None = None
    interval_s: Seconds = 5.0
    confirmations: Annotated[int, Bounds(ge=1)] = 2


def is_host_name(name: str) -> bool:
    """Whether ``name`` can be looked up and dialled."""
    return len(name.rstrip(".")) <= MAX_NAME_CHARS and _HOST_NAME.fullmatch(name) is not None


def read_name(option: str, name: str) -> str:
    """Return a single name as it is."""
    if ip_of(name) is not None:
        what = f"invalid value {name!r}: an address needs no DNS"
        raise ConfigError(Fault((option,), what, "list it in strategy static"))
    if not is_host_name(name):
        what = f"invalid value {name!r}: not a DNS name"
        wanted = "letters, digits, '-' and '_' between dots"
        raise ConfigError(Fault((option,), f"{what}: expected {wanted}"))
    return name


def read_names(option: str, text: str) -> tuple[str, ...]:
    """Split names that are separated by commas or blanks."""
    names = tuple(dict.fromkeys(filter(None, _SEPARATOR.split(text))))
    if not names:
        what = f"invalid value {text!r}: expected a DNS name, or several separated by commas"
        raise ConfigError(Fault((option,), what))
    return tuple(read_name(option, name) for name in names)


def read_servers(text: str | None) -> tuple[tuple[str, int], ...]:
    """Split addresses of name servers, each with its port; none where none are given."""
    if text is None:
        return ()
    entries = [entry for entry in _SEPARATOR.split(text) if entry]
    return tuple(map(_server, entries or [text]))  # blank text is a fault, too


def _server(entry: str) -> tuple[str, int]:
    try:
        ip = ip_of(entry)
        host, port = split_address(entry) if ip is None else (str(ip), DNS_PORT)
        if ip_of(host) is None or port == 0:
            raise ValueError("a resolver is named by its address")
    except ValueError as exc:
        wanted = "the address of a name server, such as 10.0.0.2 or [fd00::2]:5353"
        what = f"invalid value {entry!r}: expected {wanted}"
        raise ConfigError(Fault(("resolver",), what)) from exc
    return host, port


def faults_of_basename(option: str, basename: str | None) -> Iterator[Fault]:
    """Check the first part of the nodes' names."""
    if basename is not None:
        try:
            Node(name=f"{basename}@{_LONGEST_ADDRESS}")
        except ValueError:
            wanted = "the part of a node's name before the '@'"
            yield Fault((option,), f"invalid value {basename!r}: expected {wanted}")


def faults_of_addresses(
    option: str, basename: str | None, port: int | None, resolver: str | None
) -> Iterator[Fault]:
    """Check what address records need: a port or basename, and dnspython for a resolver."""
    if port is None and basename is None:
        cure = (
            "give the port on which every node serves, such as that of the connector, "
            f"or {option} where nodes are dialled by name"
        )
        yield Fault(("port",), "is missing", cure, missing=True)
    if resolver is not None:
        yield from faults_of(read_servers, resolver)
        yield from missing_dnspython("resolver")


def faults_of_services(strategy: str, resolver: str | None) -> Iterator[Fault]:
    """Check what SRV records need: dnspython, and usable addresses of name servers."""
    yield from faults_of(read_servers, resolver)
    yield from missing_dnspython(f"strategy {strategy}")


def missing_dnspython(purpose: str) -> Iterator[Fault]:
    """Check that the extra ``dns`` is installed."""
    if find_spec("dns") is None or find_spec("dns.asyncresolver") is None:
        what = f"{purpose} needs the package dnspython"
        yield Fault((), what, "run pip install 'cluster-kit[dns]'")
