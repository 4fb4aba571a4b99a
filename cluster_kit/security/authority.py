"""The trust that a shared secret establishes: only nodes that hold it can certify themselves."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from msgspec import Struct

from cluster_kit.errors import UntrustedError
from cluster_kit.node import Node
from cluster_kit.security.certificates import Authority, new_seed, pem_of_certificate, pem_of_key
from cluster_kit.security.key_files import as_file
from cluster_kit.security.keys import Keyring
from cluster_kit.wire.tls import Trust, breakage, new_context, refuses_us, shows_no_certificate

SCHEME = "cluster-kit://"
_TITLE = "cluster_kit "
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, for which Python has no name


class Proof(Struct, frozen=True):
    """What the other end of a link has proved.

    Attributes:
        name: The name of the node.
        secret: The id of the secret that it uses.
    """

    name: str
    secret: bytes

    def objection_to(self, name: str) -> str | None:
        """See ``cluster_kit.network.Certified``."""
        return None if name == self.name else f"has proved to be {self.name!r}"


class SecretTrust(Trust[Proof]):
    """The trust that secrets establish; makes a key and a certificate for this node.

    The validity period is not checked: a node with the secret could make a certificate for any
    time, and a machine with a wrong clock must be accepted.

    Args:
        name: The name of this node.
        keyring: The keys of its secrets.
    """

    def __init__(self, name: str, keyring: Keyring) -> None:
        secrets = keyring.accepted
        authorities = [Authority(keys.authority, _TITLE + keys.id.hex()) for keys in secrets]
        seed = new_seed()
        leaf = authorities[0].certify(seed, uri_of(name))
        self.accepting, self.dialling = (new_context(dialled=dialled) for dialled in (False, True))
        with as_file(pem_of_certificate(leaf) + pem_of_key(seed)) as path:
            for context in (self.accepting, self.dialling):
                context.verify_flags |= _NO_CHECK_TIME
                for authority in authorities:
                    context.load_verify_locations(cadata=authority.certificate)
                context.load_cert_chain(path)

    def read(self, certificate: Mapping[str, Any]) -> Proof:
        """Return the name of the node, and the secret that its certificate was made with."""
        uris = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
        issuer = [attribute for row in certificate.get("issuer", ()) for attribute in row]
        titles = [value for kind, value in issuer if kind == "commonName"]
        try:
            (uri,), (title,) = uris, titles
            return Proof(name_in(uri), bytes.fromhex(title.removeprefix(_TITLE)))
        except ValueError as exc:
            raise UntrustedError(f"its certificate names no node: {exc}") from exc

    def distrust(self, fault: ssl.SSLError | None) -> UntrustedError:
        """Return why a handshake has failed."""
        if fault is None:
            return UntrustedError("it has no secret, and this node has one")
        if isinstance(fault, ssl.SSLCertVerificationError):
            return UntrustedError("it does not hold our secret")
        if refuses_us(fault):
            return UntrustedError("it does not accept our secret")
        if shows_no_certificate(fault):
            return UntrustedError("it shows no certificate")
        return breakage(fault)


def uri_of(name: str) -> str:
    """Return the URI of a node in certificates."""
    return SCHEME + quote(name, safe="@")


def name_in(uri: str) -> str:
    """Return the name of the node with this URI.

    Raises:
        ValueError: It is not the URI of a node.
    """
    name = Node(name=unquote(uri.removeprefix(SCHEME), errors="strict")).name
    if name is None or not uri.startswith(SCHEME):
        raise ValueError(f"{uri!r:.80}: expected a URI that begins with {SCHEME!r}")
    return name
