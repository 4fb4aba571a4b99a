"""Connector ``none``: discovery only. Nothing listens or dials; a known node counts as up."""

from __future__ import annotations

from cluster_kit.abc import Connector, LinkReport
from cluster_kit.events import Reason
from cluster_kit.node import Node, is_other_run


class NoneConnector(Connector):
    """Makes no links: reports each node up that it should connect to."""

    holds_links = False
    introduces = False

    def __init__(self) -> None:
        self._links: LinkReport | None = None
        self._up: dict[str, Node] = {}

    async def start(self, local: Node, links: LinkReport) -> Node:
        """Return ``local`` as it is: there is nothing to dial."""
        self._links = links
        return local

    async def connect(self, node: Node) -> Node:
        """Report ``node`` up, or report what has changed about it."""
        assert self._links is not None
        before = self._up.get(node.key)
        if before is not None and is_other_run(before, node):
            self._down(node.key, Reason.REPLACED)
            before = None
        self._up[node.key] = node
        if before is None:
            self._links.up(node)
        elif before != node:
            self._links.updated(node)
        return node

    async def disconnect(self, node: Node) -> None:
        """Report ``node`` down."""
        self._down(node.key, Reason.GONE)

    async def stop(self) -> None:
        """Report every node down."""
        for key in sorted(self._up):
            self._down(key, Reason.SHUTDOWN)

    def _down(self, key: str, reason: Reason) -> None:
        node = self._up.pop(key, None)
        if node is not None and self._links is not None:
            self._links.down(node, reason)
