"""Connector ``callback``: functions of the application open, close and list the links.

The functions run in the worker, not in the application's process, so what they hold open ends with
the worker. If another program holds the links on their behalf, ``list_nodes`` finds out after a
restart which links there are.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from cluster_kit.abc import Connector, LinkReport
from cluster_kit.config.bounds import Bounds, faults_of_bounds
from cluster_kit.config.callback import Callback
from cluster_kit.errors import ConnectError, raise_all
from cluster_kit.fault import Fault
from cluster_kit.node import Node

if TYPE_CHECKING:
    from cluster_kit.connectors.callback.links import CallbackLinks

_LIST = "list_nodes"


@dataclass(kw_only=True, eq=False)
class CallbackConnector(Connector):
    """Links that functions of the application hold.

    Args:
        connect: Called with the node; returns ``None`` or true if it is linked now, false to be
            called again, ``IGNORED`` if the link is not wanted.
        disconnect: Called with the node; returns false to be called again, else the link is down.
        list_nodes: Returns the names or nodes that are linked now; without it a link is up until
            ``disconnect``.
        interval_s: Seconds from one list to the next.
    """

    open: Callback = field(metadata={"option": "connect"})
    close: Callback | None = field(default=None, metadata={"option": "disconnect"})
    peers: Callback | None = field(default=None, metadata={"option": _LIST})
    interval_s: Annotated[float, Bounds(gt=0)] = 5.0

    introduces = False

    def __post_init__(self) -> None:
        self._running: CallbackLinks | None = None
        raise_all(_faults(self))

    async def start(self, local: Node, links: LinkReport) -> Node:
        """Return ``local`` as it is: only the functions know where it can be reached."""
        from cluster_kit.connectors.callback.links import CallbackLinks

        self._running = CallbackLinks(self, local, links)
        return local

    async def connect(self, node: Node) -> Node:
        """Link to ``node``, unless it is linked already."""
        if self._running is None:
            why = "the connector is not running; start it first"
            raise ConnectError(f"callback: cannot link to {node.key!r}: {why}", node=node.key)
        return await self._running.connect(node)

    async def disconnect(self, node: Node) -> None:
        """Close the link; try again at intervals for as long as the function refuses."""
        if self._running is not None:
            await self._running.disconnect(node)

    async def stop(self) -> None:
        """Close all links, and report them down."""
        running, self._running = self._running, None
        if running is not None:
            await running.stop()


def _faults(options: CallbackConnector) -> Iterator[Fault]:
    yield from faults_of_bounds(options)
    node = Node(name="web@127.0.0.1")
    yield from _faults_of_call("connect", options.open, node)
    yield from _faults_of_call("disconnect", options.close, node)
    yield from _faults_of_call(_LIST, options.peers)


def _faults_of_call(option: str, callback: Callback | None, *last: Node) -> Iterator[Fault]:
    """Yield a fault if a function does not accept the arguments that it will get."""
    if callback is None:
        return
    try:
        signature = inspect.signature(callback.load())
    except (TypeError, ValueError):  # some built-in functions have none
        return
    try:
        signature.bind(*callback.args, *last)
    except TypeError as exc:
        called = ", ".join([*map(repr, callback.args), *("node" for _ in last)])
        what = f"{callback} does not take what it is called with, ({called}): {exc}"
        yield Fault((option,), what)
