"""What secrets and certificates protect: links and datagrams between the nodes of one cluster.

``keys`` makes keys of secrets, ``links`` protects streams, by the trust that secrets (``authority``)
or certificates (``files``) give, and ``cluster_kit.wire.sealing`` datagrams. ``Security`` is what a
connector or strategy has of it.
"""

from __future__ import annotations

from cluster_kit.security.security import Security

__all__ = ["Security"]
