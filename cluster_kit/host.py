"""Hosts as text: their canonical form, and why a text cannot be a host.

Two texts have the same canonical form only if they evidently denote the same host: DNS names
regardless of case and of the final dot, and IP addresses in any notation. No name is looked up.

Source: RFC 1123 2.1 (names), RFC 4343 (case), RFC 5952 (text of IPv6), RFC 4291 2.5.5.2
(IPv4-mapped addresses), RFC 4007 11 (zones).
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

MAX_HOST_CHARS = 253  # RFC 1035 2.3.4, as text without the final dot
_MAX_SEARCHED_CHARS = 255  # where references are looked for

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# RFC 1123 has no underscore, yet names of containers and of Windows hosts do.
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.(?!-)[a-z0-9_-]{1,63})*")
# Never a DNS name: WHATWG URL, "ends in a number checker".
_NUMERIC_END = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.DOTALL)
_ZONE = re.compile(r"[A-Za-z0-9_.:~+-]{1,64}")
_URL_ZONE = re.compile(r".*:.*%25(?![0-9]*$)(.+)")  # RFC 6874; only digits are an index
_INTERFACE_NAME = re.compile(r"(?![0-9.]+$)[A-Za-z0-9_][A-Za-z0-9_.~+-]{0,14}")  # netdevice(7)
_OF_LINK = re.compile(r"(?i)fe[89ab][0-9a-f]:")  # RFC 4291 2.4
_REFERENCE = re.compile(
    r"\$[({]*([A-Za-z_][A-Za-z0-9_]*)[)}]*|\$[({]|\{\{|%([A-Za-z_][A-Za-z0-9_]*)%"
)
# Names that Linux and systemd give to interfaces, and nobody gives to a host; .100 is a VLAN.
_INTERFACE = re.compile(
    r"(?:lo|(?:eth|wlan)[0-9]+|(?:en[ops]|wlp)[0-9]\w*|enx[0-9a-f]{12})(?:\.[0-9]{1,4})?"
)

_LETTERS = "letters, digits, '-' and '_' between dots"
_WRONG = tuple(
    (re.compile(form, re.DOTALL), why)
    for form, why in (
        (r"", "it is empty"),
        (r".*[^\x00-\x7f].*", "it is not ASCII; write an international name in its xn-- form"),
        (r".*://.*", "it is a URL; write the host alone"),
        (r".*/.*", "a host has no '/', it is neither a path nor a network; write the host alone"),
        (r".*[,;\s].*", "expected one host, without commas or blanks"),
        (
            r"\[([^\]]*)\]:[0-9]*|([^:]+):[0-9]*",
            "a port does not belong to the host; write it where the port is expected",
        ),
        (r"\[(.*)\]", "brackets belong only around an IPv6 address that a port follows; write {0}"),
        (_URL_ZONE.pattern, "'%' is written as %25 only in a URL; write %{0}"),
        (r".*:.*", "it is not an IPv6 address"),
        (
            f"(?i:{_INTERFACE.pattern})",
            "it is a network interface, not an address; write the address that it has",
        ),
        (
            rf"(?i:{_NUMERIC_END.pattern})\.?",
            "expected an IPv4 address as four numbers from 0 to 255 without leading zeros",
        ),
        (r".*", f"expected an IP address or a DNS name: {_LETTERS}, at most 63 in a row"),
    )
)


@lru_cache(maxsize=4096)  # each packet and hint creates a node, always on the same few hosts
def canonical_host(host: str) -> str:
    """Return ``host`` in the form in which hosts are compared.

    A name is in lower case without its final dot. An IP address is in its canonical text; only a
    link-local or multicast address keeps its zone (``%eth0``), and an IPv4-mapped IPv6 address
    becomes the IPv4 address.

    Raises:
        ValueError: It cannot be a host; the text says why, and what to write instead.
    """
    address = ip_of(host)
    if address is not None:
        return str(address)
    name = host.lower().removesuffix(".")
    is_name = host.isascii() and _NAME.fullmatch(name) and len(name) <= MAX_HOST_CHARS
    if is_name and not _is_misread(name):
        return name
    raise ValueError(f"host {host[:80]!r}: {_why_not(host)}")


def ip_of(host: str) -> _Address | None:
    """Return ``host`` as an IP address, an IPv4-mapped one as IPv4; ``None`` for a name."""
    try:
        address = ipaddress.ip_address(host if ":" in host else host.removesuffix("."))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.scope_id is None:
        return address
    if not _ZONE.fullmatch(address.scope_id) or _URL_ZONE.fullmatch(host):
        return None
    is_scoped = address.is_link_local or address.is_multicast
    return address if is_scoped else ipaddress.IPv6Address(int(address))


def is_v6(address: str) -> bool:
    """Whether an IP address is IPv6, judged by its form."""
    return ":" in address


def is_loopback(host: str) -> bool:
    """Whether ``host`` never leaves this machine; judged by its form, without a look-up."""
    address = ip_of(host)
    if address is not None:
        return address.is_loopback
    name = host.lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost")


def is_unspecified(host: str) -> bool:
    """Whether ``host`` means all interfaces (0.0.0.0, ::): fit to listen on, not to advertise."""
    address = ip_of(host)
    return address is not None and address.is_unspecified


def is_link_local(host: str) -> bool:
    """Whether ``host`` is a link-local IPv6 address, which needs an interface to mean anything."""
    return _OF_LINK.match(host) is not None


def is_interface(text: str) -> bool:
    """Whether ``text`` has the form of a network interface's name, such as ``eth0``."""
    return _INTERFACE_NAME.fullmatch(text) is not None


def why_unexpanded(text: str) -> str | None:
    """Return what is wrong with text that contains a reference, in any syntax; else ``None``."""
    match = _REFERENCE.search(text[:_MAX_SEARCHED_CHARS])
    if match is None:
        return None
    name = match[1] or match[2] or "NAME"
    if match[0] == f"${{{name}}}":
        cure = "in Python, pass the value itself"
        return f"{match[0]!r} is only expanded in configuration files, with one '$'; {cure}"
    return f"{match[0]!r} is not expanded here; in a configuration file, write ${{{name}}}"


def _is_misread(name: str) -> bool:
    return _NUMERIC_END.fullmatch(name) is not None or _INTERFACE.fullmatch(name) is not None


def _why_not(host: str) -> str:
    unexpanded = why_unexpanded(host)
    if unexpanded:
        return unexpanded.replace("NAME", "POD_IP")
    matches = ((form.fullmatch(host), why) for form, why in _WRONG)
    return next(why.format(*match.groups()) for match, why in matches if match)
