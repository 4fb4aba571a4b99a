"""Whether a certificate that an authority issued is one of a node. Pure.

By the host in the node's name, as a browser would compare it, or by a SPIFFE ID.

Source: RFC 9525 (service identity in TLS); the SPIFFE ID and X.509-SVID standards.
"""

from __future__ import annotations

from collections.abc import Collection


def names_node(subject_names: Collection[tuple[str, str]], node: str, trust_domain: str | None) -> bool:
    """Return whether a certificate may stand for a node.

    Args:
        subject_names: Its subject alternative names, each with its kind as ``ssl.SSLObject.getpeercert`` calls it: ``DNS``,
            ``IP Address``, ``URI``.
        node: The name of the node, such as ``shop@10.0.0.1``.
        trust_domain: Where one is given, the certificate must have a SPIFFE ID of it, whatever the name of the node.
    """
    raise NotImplementedError
