"""Protects links and datagrams between the nodes of one cluster, by secrets and certificates.

``keys`` derives keys from secrets. ``links`` protects streams by TLS, with the trust that secrets
(``authority``) or certificates (``files``) establish, and ``cluster_kit.wire.sealing`` protects
datagrams. Connectors and strategies use ``Security`` alone.
"""

from __future__ import annotations

from cluster_kit.security.security import Security

__all__ = ["Security"]
