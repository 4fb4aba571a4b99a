"""Matches certificates with nodes, by the host in the node's name or by a SPIFFE ID. Pure.

Source: RFC 9525 (service identity in TLS); the SPIFFE ID and X.509-SVID standards.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from cluster_kit.host import ip_of

MAX_ID_BYTES = 2048  # SPIFFE ID, section 2.3
MAX_TRUST_DOMAIN_BYTES = 255  # as before
_MOST_SHOWN = 5

_TRUST_DOMAIN = re.compile(rf"[a-z0-9._-]{{1,{MAX_TRUST_DOMAIN_BYTES}}}")
_SEGMENT = re.compile(r"(?!\.\.?$)[A-Za-z0-9._-]+")  # neither "." nor ".."
_SPIFFE = "spiffe://"
_WILDCARD = "*."


SubjectNames = Collection[tuple[str, str]]
"""Subject alternative names, each with its kind in ``ssl.SSLObject.getpeercert``."""


def names_node(subject_names: SubjectNames, node: str, trust_domain: str | None) -> bool:
    """Return whether a certificate is valid for a node.

    Args:
        subject_names: The names in the certificate.
        node: The name of the node, such as ``shop@10.0.0.1``.
        trust_domain: If given, the certificate must have a SPIFFE ID of it instead of the host.
    """
    if trust_domain is not None:
        return is_member(subject_names, trust_domain)
    host = node.partition("@")[2]
    address = ip_of(host)
    if address is None:
        return any(_is_host(name, host) for kind, name in subject_names if kind == "DNS")
    named = (ip_of(name.strip()) for kind, name in subject_names if kind == "IP Address")
    # compared without the zone of a link-local address, which no certificate has
    return any(one and one.packed == address.packed for one in named)


def is_member(subject_names: SubjectNames, trust_domain: str) -> bool:
    """Return whether the only URI in a certificate is a SPIFFE ID of ``trust_domain``."""
    uris = [name for kind, name in subject_names if kind == "URI"]
    return len(uris) == 1 and trust_domain_of(uris[0]) == trust_domain


def trust_domain_of(uri: str) -> str | None:
    """Return the trust domain of a SPIFFE ID; ``None`` if ``uri`` is not the ID of a workload."""
    domain, _, path = uri.removeprefix(_SPIFFE).partition("/")
    if not uri.startswith(_SPIFFE) or len(uri) > MAX_ID_BYTES or not is_trust_domain(domain):
        return None
    return domain if all(_SEGMENT.fullmatch(segment) for segment in path.split("/")) else None


def is_trust_domain(text: str) -> bool:
    """Whether ``text`` can be the name of a trust domain."""
    return _TRUST_DOMAIN.fullmatch(text) is not None


def shown(subject_names: SubjectNames, trust_domain: str | None) -> str:
    """Return the relevant names of a certificate for a message: a few, each cut short."""
    kinds = ("DNS", "IP Address") if trust_domain is None else ("URI",)
    names = [f"{name.strip()!r:.100}" for kind, name in subject_names if kind in kinds]
    more = [f"{len(names) - _MOST_SHOWN} more"] if len(names) > _MOST_SHOWN else []
    return ", ".join(names[:_MOST_SHOWN] + more)


def _is_host(name: str, host: str) -> bool:
    """Whether a DNS name, which may begin with a wildcard, matches a host.

    Source: RFC 9525, section 6.3.
    """
    if not (host and name.isascii()):
        return False  # some other characters have lower case in ASCII
    name, host = (each.lower().removesuffix(".") for each in (name, host))
    if not name.startswith(_WILDCARD):
        return name == host and "*" not in name
    first, dot, rest = host.partition(".")
    return bool(first and dot and rest) and "*" not in rest and name.removeprefix(_WILDCARD) == rest
