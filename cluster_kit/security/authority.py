"""Chain and trust of links from secrets alone: whoever holds one can make a certificate that the others accept, nobody else."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import quote, unquote

from msgspec import Struct

from cluster_kit.errors import UntrustedError
from cluster_kit.node import Node
from cluster_kit.security.certificates import Authority, new_seed, pem_of_certificate, pem_of_key
from cluster_kit.security.keys import Keyring
from cluster_kit.wire.tls import new_context

SCHEME = "cluster-kit://"
_OWN_FILES = "/proc/self/fd"
_TITLE = "cluster_kit "
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which Python has no name for


class Proof(Struct, frozen=True):
    """What the other end of a link has proved.

    Attributes:
        name: Of the node.
        secret: The id of the secret that it used.
    """

    name: str
    secret: bytes | None = None


class Trust(Protocol):
    """How a node proves itself, and whom it believes.

    Attributes:
        accepting: For streams that others open.
        dialling: For streams that this node opens.
    """

    accepting: ssl.SSLContext
    dialling: ssl.SSLContext

    def read(self, certificate: Mapping[str, Any]) -> Proof:
        """Return what a certificate proves that was verified.

        Args:
            certificate: As ``ssl.SSLObject.getpeercert`` returns it.

        Raises:
            UntrustedError: It is none of a node.
        """


class SecretTrust(Trust):
    """The trust that secrets give. The key that proves this node is made here, and its certificate with it.

    Nothing in it depends on the time: whoever holds the secret could make a certificate for any, and a machine whose clock is
    wrong must be let in.

    Args:
        name: Of this node.
        keyring: The keys of the secrets.
    """

    def __init__(self, name: str, keyring: Keyring) -> None:
        authorities = [Authority(keys.authority, _TITLE + keys.id.hex()) for keys in keyring.accepted]
        seed = new_seed()
        leaf = authorities[0].certify(seed, uri_of(name))
        self.accepting, self.dialling = (new_context(dialled=dialled) for dialled in (False, True))
        with _as_file(pem_of_certificate(leaf) + pem_of_key(seed)) as path:
            for context in (self.accepting, self.dialling):
                context.verify_flags |= _NO_CHECK_TIME
                for authority in authorities:
                    context.load_verify_locations(cadata=authority.certificate)
                context.load_cert_chain(path)

    def read(self, certificate: Mapping[str, Any]) -> Proof:
        """Return the name of the node, and which secret its certificate was made with."""
        uris = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
        titles = [value for row in certificate.get("issuer", ()) for kind, value in row if kind == "commonName"]
        try:
            (uri,), (title,) = uris, titles
            return Proof(name_in(uri), bytes.fromhex(title.removeprefix(_TITLE)))
        except ValueError as exc:
            raise UntrustedError(f"its certificate names no node: {exc}") from exc


def uri_of(name: str) -> str:
    """Return the URI that stands for a node in certificates."""
    return SCHEME + quote(name, safe="@")


def name_in(uri: str) -> str:
    """Return the name of the node that a URI stands for.

    Raises:
        ValueError: It stands for none.
    """
    name = Node(name=unquote(uri.removeprefix(SCHEME), errors="strict")).name
    if name is None or not uri.startswith(SCHEME):
        raise ValueError(f"{uri!r:.80}: expected a URI that begins with {SCHEME!r}")
    return name


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """Yield the path of a file that holds ``data``, since ``ssl`` takes keys from files only.

    It is in memory where the system has such files; else nobody but this user can read it, and it is gone afterwards.
    """
    if hasattr(os, "memfd_create") and os.access(_OWN_FILES, os.X_OK):
        with os.fdopen(os.memfd_create("cluster_kit"), "wb") as file:
            file.write(data)
            file.flush()
            yield f"{_OWN_FILES}/{file.fileno()}"
        return
    import tempfile  # loads much, for the few systems that need it

    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.name
