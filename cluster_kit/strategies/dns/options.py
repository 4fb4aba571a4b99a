"""What the options of the DNS strategies may be: text in, parts of questions out, and the faults of what can't work.

The application reads options, too, so nothing here loads an event loop or a third-party package.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from importlib.util import find_spec

from cluster_kit.errors import ConfigError, faults_of
from cluster_kit.node import Node, split_address

MAX_NAME_CHARS = 253  # RFC 1035, section 2.3.4, as text without the last dot
DNS_PORT = 53
RESOLV_CONF = "/etc/resolv.conf"
_LONGEST_ADDRESS = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"
_SEPARATOR = re.compile(r"[\s,]+")
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


def is_host_name(name: str) -> bool:
    """Whether ``name`` can be asked for and dialled."""
    return len(name.rstrip(".")) <= MAX_NAME_CHARS and _HOST_NAME.fullmatch(name) is not None


def read_name(option: str, name: str) -> str:
    """Return a single name as it is."""
    if _is_address(name):
        raise ConfigError(
            f"{option} {name!r}: that is an address, which needs no DNS: list it in strategy static"
        )
    if not is_host_name(name):
        raise ConfigError(
            f"{option} {name!r}: not a DNS name: expected letters, digits, '-' and '_' between dots"
        )
    return name


def read_names(option: str, text: str) -> tuple[str, ...]:
    """Split names that are separated by commas or blanks."""
    names = tuple(dict.fromkeys(filter(None, _SEPARATOR.split(text))))
    if not names:
        raise ConfigError(f"{option} {text!r}: expected a DNS name, or several separated by commas")
    return tuple(read_name(option, name) for name in names)


def read_servers(text: str | None) -> tuple[tuple[str, int], ...]:
    """Split addresses of name servers, each with its port; none where none are given."""
    return (
        ()
        if text is None
        else tuple(map(_server, filter(None, _SEPARATOR.split(text)))) or (_server(text),)
    )


def _server(entry: str) -> tuple[str, int]:
    try:
        host, port = (entry, DNS_PORT) if _is_address(entry) else split_address(entry)
        if not _is_address(host) or port == 0:
            raise ValueError("a resolver is named by its address")
    except ValueError as exc:
        raise ConfigError(
            f"resolver {entry!r}: expected the address of a name server, such as 10.0.0.2 or [fd00::2]:5353"
        ) from exc
    return host, port


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def faults_of_polling(interval_option: str, interval_s: float, confirmations: int) -> Iterator[str]:
    """Check how often to ask and how often to ask again before someone is gone."""
    if not 0 < interval_s <= 86_400:
        yield f"{interval_option} {interval_s:g}: expected seconds, more than 0 and at most a day"
    if confirmations < 1:
        yield f"confirmations {confirmations}: expected how many answers in a row must lack a node, at least 1"


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
    """Check what else addresses of their own need, which are asked of the system unless a resolver is named."""
    if port is None and basename is None:
        yield (
            f"port is missing: give the port on which every node serves, such as that of the connector, "
            f"or {option} where nodes are dialled by name"
        )
    if resolver is not None:
        yield from faults_of(read_servers, resolver)
        yield from missing_dnspython("resolver")


def faults_of_services(strategy: str, resolver: str | None) -> Iterator[str]:
    """Check what else SRV records need."""
    yield from faults_of(read_servers, resolver)
    yield from missing_dnspython(f"strategy {strategy}")


def missing_dnspython(purpose: str) -> Iterator[str]:
    """Check that the extra ``dns`` is installed."""
    if find_spec("dns") is None or find_spec("dns.asyncresolver") is None:
        yield f"{purpose} needs the package dnspython: run pip install 'cluster-kit[dns]'"
