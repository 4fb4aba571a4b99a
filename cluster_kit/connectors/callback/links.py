"""Opens, closes and lists the links that functions of the application hold."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cluster_kit.abc import LinkReport
from cluster_kit.config.callback import Callback
from cluster_kit.connectors.callback.calls import Calls
from cluster_kit.connectors.callback.open_links import OpenLinks
from cluster_kit.errors import IGNORED, ClusterKitError, ConnectError, ConnectReason, text_of
from cluster_kit.events import Reason
from cluster_kit.node import Node, is_other_run
from cluster_kit.throttle import Throttle

if TYPE_CHECKING:
    from cluster_kit.connectors.callback import CallbackConnector

log = logging.getLogger("cluster_kit.connectors.callback")

CALL_S = 3.0  # for disconnect and list_nodes; less than the time that a worker has to stop


class CallbackLinks:
    """The links of one node, until ``stop``; create it in a running event loop.

    Args:
        options: The functions of the application.
        local: The node.
        links: Receives the reports.
        call_s: How long a call of ``disconnect`` or ``list_nodes`` may take.
    """

    def __init__(
        self,
        options: CallbackConnector,
        local: Node,
        links: LinkReport,
        *,
        call_s: float = CALL_S,
    ) -> None:
        self._options = options
        self._local = local
        self._links = links
        self._calls = Calls()
        self._call_s = call_s
        self._open = OpenLinks()
        self._unwanted: dict[str, Node] = {}
        self._throttle = Throttle()
        self._polling = asyncio.create_task(self._poll())

    async def connect(self, node: Node) -> Node:
        """Link to ``node``, unless it is linked already."""
        self._unwanted.pop(node.key, None)
        if await self._calls.settled(_closing(node)) is not False:
            self._report_down(node.key, Reason.UNWANTED)
        linked = self._open.up.get(node.key)
        if linked is not None and is_other_run(linked, node):
            await self._close_earlier_run(linked)
        if node.key not in self._open.up:
            answer = await self._calls.call(node.key, self._options.open, node)
            _check_answer(answer, self._options.open, node)
            self._report_up(node)
        self._report_changed(node)
        return self._open.up.get(node.key, node)

    async def _close_earlier_run(self, node: Node) -> None:
        """Close the link to a run of a node that another run has replaced."""
        await self._close(node, Reason.REPLACED)
        if node.key in self._open.up:
            message = f"callback: the link to an earlier run of {str(node)!r} is not closed yet"
            raise ConnectError(message, node=node.key, reason=ConnectReason.FAILED)

    async def disconnect(self, node: Node) -> None:
        """Close the link; try again at intervals for as long as the function refuses."""
        if node.key in self._open.up or node.key in self._calls:
            self._unwanted[node.key] = node
            await self._close(node)

    async def stop(self) -> None:
        """Close all links, each within ``call_s``, and report them down."""
        self._polling.cancel()
        await asyncio.wait([self._polling])
        linked = list(self._open.up.values())
        await asyncio.gather(*(self._close(node, Reason.SHUTDOWN) for node in linked))
        for key in sorted(self._open.up):
            self._report_down(key, Reason.SHUTDOWN)

    async def _poll(self) -> None:
        """At intervals, ask for the list, and close the links whose function has refused so far."""
        while True:
            if self._options.peers is not None:
                await self._apply_list(self._options.peers)
            await asyncio.sleep(self._options.interval_s)
            await asyncio.gather(*map(self._close, list(self._unwanted.values())))

    async def _close(self, node: Node, reason: Reason = Reason.UNWANTED) -> None:
        """Call ``disconnect``; the link stays up if the function refuses or fails."""
        close = self._options.close
        try:
            async with asyncio.timeout(self._call_s):
                await self._calls.settled(node.key)
                if close is not None:
                    answer = await self._calls.call(_closing(node), close, node)
                    if answer is False:
                        raise ClusterKitError(f"callback: {close} returned False")
        except (TimeoutError, ClusterKitError) as exc:
            why = text_of(exc) or f"no answer within {self._call_s:g} s"
            self._warn("disconnect", f"{node} stays linked: {why}")
        else:
            self._unwanted.pop(node.key, None)
            self._report_down(node.key, reason)

    async def _apply_list(self, peers: Callback) -> None:
        """Report how the list differs from our links; if the call fails, nothing changes."""
        if "list_nodes" not in self._calls:  # otherwise this gets the answer to an earlier call
            self._open.list_requested()
        try:
            async with asyncio.timeout(self._call_s):
                listed = _nodes_of(await self._calls.call("list_nodes", peers), peers)
        except (TimeoutError, ClusterKitError) as exc:
            why = text_of(exc) or f"no answer from {peers} within {self._call_s:g} s"
            self._warn("list_nodes", f"links are unchanged: {why}")
        else:
            differences = self._open.compare(listed, self._local)
            for node in differences.closed:
                self._report_down(node.key, Reason.CLOSED)
            for node in differences.opened:
                self._report_up(node)
            for node in self._open.with_metadata_of(listed):
                self._report_changed(node)

    def _report_up(self, node: Node) -> None:
        if self._open.open(node):
            self._links.up(node)

    def _report_down(self, key: str, reason: Reason) -> None:
        node = self._open.close(key)
        if node is not None:
            self._links.down(node, reason)

    def _report_changed(self, node: Node) -> None:
        if self._open.change(node):
            self._links.updated(node)

    def _warn(self, about: str, message: str) -> None:
        passes = self._throttle.passes(about, asyncio.get_running_loop().time())
        log.log(logging.WARNING if passes else logging.DEBUG, "%s: %s", about, message)


def _closing(node: Node) -> str:
    return f"disconnect {node.key}"


def _check_answer(answer: Any, callback: Callback, node: Node) -> None:
    """Raise ``ConnectError`` for an answer of ``connect`` that doesn't mean linked."""
    if answer is None or answer is True:
        return
    if answer == IGNORED:
        message, reason = f"{callback} does not want {str(node)!r}", ConnectReason.IGNORED
    elif answer is False:
        message, reason = f"{callback} could not link to {str(node)!r}", ConnectReason.FAILED
    else:
        got = type(answer).__name__
        expected = "None, True, False or IGNORED"
        message = f"{callback} returned a {got} for {str(node)!r}: expected {expected}"
        reason = ConnectReason.PROTOCOL
    raise ConnectError(f"callback: {message}", node=node.key, reason=reason)


def _nodes_of(answer: Any, callback: Callback) -> list[Node]:
    """Return what ``list_nodes`` returned, which may be nodes, names or addresses, as nodes."""
    if isinstance(answer, str | bytes) or not isinstance(answer, Iterable):
        got = type(answer).__name__
        raise ClusterKitError(f"callback: {callback} returned a {got}: expected names or nodes")
    try:
        return [each if isinstance(each, Node) else _node_of(each) for each in answer]
    except Exception as exc:  # the answer may be an iterator of the application
        why = text_of(exc)
        raise ClusterKitError(f"callback: {callback} did not return nodes: {why}") from exc


def _node_of(text: str) -> Node:
    return Node(name=text) if "@" in text else Node(address=text)
